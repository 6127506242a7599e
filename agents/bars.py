"""ticks.v1 → bars.v1, and trades that came after their bar was final → ticks.late.v1.

Shape: one `BarBuilder` a partition. Bars are full values under their own key, so a repeat after
a crash changes nothing; late trades carry their offset, and a replay publishes none twice.
"""

import asyncio
from collections.abc import Iterable, Iterator

from app.domain.builder import BarBuilder
from app.domain.trades import Trades, of_columns, of_frame
from app.engine.block import Block
from app.engine.checkpoint import Row
from app.outlets import Outlets
from app.tail import Tail


class Bars:
    """Bars of one partition; keeps a `BarBuilder`."""

    def __init__(self, builder: BarBuilder, outlets: Outlets, tail: Tail) -> None:
        self._core = builder
        self._out = outlets
        self._tail = tail
        self._late_through = -1

    @property
    def offset(self) -> int:
        """Highest offset of ticks.v1 applied."""
        return self._core.offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._core.offset = offset

    async def begin(self) -> None:
        """Learn how far ticks.late.v1 goes."""
        self._late_through = await asyncio.to_thread(self._tail.late_through, self._core.partition)

    async def apply(self, block: Block) -> None:
        """Fold one block."""
        late = self._core.fold(self._trades(block))
        new = [tick.record for tick in late if tick.offset > self._late_through]
        self._out.late(new, self._core.partition)

    def _trades(self, block: Block) -> Trades:
        columns = block.columns()
        if columns is not None:
            return of_columns(columns, block.offsets, block.appended_us)
        decoded = block.decoded()
        for row, reason, detail in decoded.bad:
            self._out.dead_letter(block, row, reason, detail)
        return of_frame(decoded.frame, block.appended_us[decoded.frame["row"].to_numpy()])

    def emit(self, *, full: bool) -> None:
        """Publish every bar that changed; longer bars' provisional values once a checkpoint."""
        self._out.bars(self._core.emit(base_only=not full), self._core.partition)

    async def idle(self, now_us: int) -> None:
        """Nothing waits for the time."""

    def save(self) -> Iterator[Row]:
        """Yield the rows of the core that changed."""
        return self._core.save()

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put the core's rows back."""
        self._core.restore(rows)
