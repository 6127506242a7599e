"""ticks.v1 → bars.v1, and trades that came after their bar was final → ticks.late.v1.

Shape: one `BarBuilder` a partition. Bars are full values under their own key, so a repeat after
a crash changes nothing; late trades carry their offset, and a replay publishes none twice. A tick
of the clock is written to clock.v1 before it counts, with the offset of ticks.v1 behind which it
does: a replay finds it there and closes the same bars at the same places.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

from app.domain import quote_bars
from app.domain.amender import Amender
from app.domain.amendments import rows_of
from app.domain.builder import BarBuilder, Late
from app.domain.quote_bars import Quotes
from app.domain.trades import Trades, of_columns, of_frame
from app.engine.block import Block
from app.engine.checkpoint import Row
from app.outlets import Outlets
from app.tail import Tail
from app.tick_log import ClockTick, TickLog


class Bars:
    """Bars of one partition; keeps a `BarBuilder`."""

    def __init__(
        self, builder: BarBuilder, outlets: Outlets, tail: Tail, log: TickLog, amender: Amender
    ) -> None:
        self._core = builder
        self._out = outlets
        self._tail = tail
        self._log = log
        self._amender = amender
        self._late_through = -1
        self._clocks: deque[ClockTick] = deque()

    @property
    def offset(self) -> int:
        """Highest offset of ticks.v1 applied."""
        return self._core.offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._core.offset = offset

    async def begin(self) -> None:
        """Learn how far ticks.late.v1 goes, and where the clock ticked beyond the state."""
        partition = self._core.partition
        self._late_through = await asyncio.to_thread(self._tail.late_through, partition)
        clocks = await asyncio.to_thread(self._log.clocks, self._core.offset)
        self._clocks = deque(each for each in clocks if each.at_us > self._core.clock_us)

    async def apply(self, block: Block) -> None:
        """Fold one block, with clock ticks, corrections and cancels at their places."""
        trades = self._trades(block)
        quotes = self._quotes(block, trades)
        late: list[Late] = []
        start = 0
        for stop in self._stops(trades):
            late += self._fold(trades.take(slice(start, stop)), quotes)
            start = stop
            self._clock_before(int(trades.offset[stop]))
            if trades.actions[stop]:
                await self._amend(block, trades, stop)
        late += self._fold(trades.take(slice(start, None)) if start else trades, quotes)
        self._clock_before(block.last_offset + 1)
        new = [tick.record for tick in late if tick.offset > self._late_through]
        self._out.late(new, self._core.partition)

    async def idle(self, now_us: int) -> None:
        """Let the clock tick where that makes a bar final, and only there.

        It counts at the time that it has in the log.
        """
        self._clock_before(self._core.offset + 1)
        if self._clocks or not self._core.is_due(now_us):
            return
        fence = self._core.partition, self._core.offset
        self._core.clock(await asyncio.to_thread(self._out.clock, now_us, *fence))

    def emit(self, *, full: bool) -> None:
        """Publish every bar that changed; longer bars' provisional values once a checkpoint."""
        self._out.bars(self._core.emit(base_only=not full), self._core.partition)

    def save(self) -> Iterator[Row]:
        """Yield the rows of the core that changed."""
        return self._core.save()

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put the core's rows back."""
        self._core.restore(rows)

    def _trades(self, block: Block) -> Trades:
        columns = block.columns()
        if columns is not None:
            return of_columns(columns, block.offsets, block.appended_us)
        decoded = block.decoded()
        for row, reason, detail in decoded.bad:
            self._out.dead_letter(block, row, reason, detail)
        return of_frame(decoded.frame, block.appended_us[decoded.frame["row"].to_numpy()])

    def _quotes(self, block: Block, trades: Trades) -> Quotes | None:
        """Return the quotes of a block; one of which nobody wants any is not decoded for them."""
        if not self._core.plans.has_quote_bars(trades.names):
            return None
        places = block.columns()
        if places is not None and not places.has_any("bid", "ask"):
            return None
        frame = block.decoded().frame
        return quote_bars.of_frame(frame, block.appended_us[frame["row"].to_numpy()])

    def _fold(self, trades: Trades, quotes: Quotes | None) -> list[Late]:
        """Fold a part of a block, with the quotes that are in it."""
        if not len(trades):
            return []
        if quotes is not None:
            quotes = quotes.between(int(trades.offset[0]), int(trades.offset[-1]) + 1)
        return self._core.fold(trades, quotes)

    def _stops(self, trades: Trades) -> list[int]:
        """Return the rows before which something else happens."""
        ends = [each.tick_offset for each in self._clocks]
        behind = np.searchsorted(trades.offset, np.array(ends, np.int64), "right").tolist()
        return sorted({*rows_of(trades), *(row for row in behind if row < len(trades))})

    def _clock_before(self, offset: int) -> None:
        """Take the recorded clock ticks that count before an offset."""
        while self._clocks and self._clocks[0].tick_offset < offset:
            self._core.clock(self._clocks.popleft().at_us)

    async def _amend(self, block: Block, trades: Trades, row: int) -> None:
        taken = self._core.take(trades, row)
        if taken is None:
            return
        name, change = taken
        times_us = int(trades.at_us[row]), int(trades.appended_us[row])
        if not await asyncio.to_thread(self._amender.amend, name, change, *times_us):
            detail = f"the log must hold all ticks of the bars of trade {change.trade_id}"
            self._out.dead_letter(
                block, int(np.searchsorted(block.offsets, change.offset)), "beyond_log", detail
            )
