"""Bars of every series of one partition: the pure core of the bars agent.

`fold` takes one block, `emit` gives what changed, `save` and `restore` carry the state across
a crash. A checkpoint is atomic (`app.engine.checkpoint`), so one offset fences the whole
partition: a record at or below `offset` is already in every bar and is not folded again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import NamedTuple

from app.domain.bars import Bar, decimal, instant, record
from app.domain.partials import fold, single
from app.domain.series import NEVER, Series
from app.domain.timeframes import Ladder
from app.domain.trades import ABSENT, Trades
from app.errors import ConfigError

Record = dict[str, object]
STATE_VERSION = 1


class Late(NamedTuple):
    """A trade that came after its base bar was final: its offset, and it as late_tick.avsc."""

    offset: int
    record: Record


class BarBuilder:
    """Bars of the series in one partition of ticks.v1.

    Args:
        ladder: Timeframes, graces and how long bars stay revisable.
        partition: The partition, written into each bar's lineage.

    Attributes:
        offset: Highest offset of ticks.v1 applied; set by the engine after each block.
        raw_offset: Highest offset of ticks.raw.v1 among the ticks applied.
    """

    def __init__(self, ladder: Ladder, partition: int) -> None:
        self.ladder = ladder
        self.partition = partition
        self.offset = -1
        self.raw_offset = -1
        self._series: dict[tuple[str, str], Series] = {}
        self._touched: set[tuple[str, str]] = set()
        self._waiting: set[tuple[str, str]] = set()
        self._unsaved: set[tuple[str, str]] = set()

    def fold(self, trades: Trades) -> list[Late]:
        """Fold one block of accepted ticks.

        Returns:
            Trades that came after their base bar was final, in order.
        """
        base = self.ladder.base
        known = [self._stream_us(name) for name in trades.names]
        folded = fold(
            trades, known, [base.grace_us] * len(known), base.timeframe.width_us, self.raw_offset
        )
        self.raw_offset = max(self.raw_offset, trades.last_raw_offset)
        for part in folded.parts:
            self._of(*trades.names[part.series]).fold(part.bar)
        late = [
            self._revise(trades, row, stream_us)
            for row, stream_us in zip(folded.late, folded.late_stream_us, strict=True)
        ]
        for name, before_us, stream_us in zip(trades.names, known, folded.stream_us, strict=True):
            if stream_us > before_us:
                self._of(*name).advance(stream_us)
        return late

    def emit(self, *, base_only: bool = False) -> list[Record]:
        """Return every bar that changed since the last call, as bar.avsc.

        With `base_only` provisional values of longer bars wait; finals and revisions never do.
        """
        if base_only:
            self._waiting |= self._touched
            series = sorted(self._touched)
        else:
            series = sorted(self._touched | self._waiting)
            self._waiting.clear()
        out = []
        for venue, symbol in series:
            for emission in self._series[venue, symbol].emissions(base_only=base_only):
                frame = self.ladder.rungs[emission.rung].timeframe
                out.append(
                    record(
                        emission.bar,
                        symbol,
                        venue,
                        frame.name,
                        frame.width_us,
                        partition=self.partition,
                        partial=emission.partial,
                    )
                )
        self._touched.clear()
        return out

    def save(self) -> Iterator[tuple[str, str | None]]:
        """Yield (key, JSON value or None to forget it) of all changed since the last call."""
        for venue, symbol in sorted(self._unsaved):
            series = self._series[venue, symbol]
            name = f"{symbol}@{venue}"
            for rung, open_us, bar in series.save():
                key = f"{name}|{self.ladder.rungs[rung].timeframe.name}|{open_us}"
                yield key, None if bar is None else json.dumps(astuple(bar))
            yield f"{name}|", json.dumps([series.stream_us, series.first_us])
        self._unsaved.clear()
        yield "", json.dumps([STATE_VERSION, self.offset, self.raw_offset, self._names()])

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded.

        Raises:
            ConfigError: It was saved with other timeframes: its bars lack the children of the new.
        """
        rungs = {rung.timeframe.name: n for n, rung in enumerate(self.ladder.rungs)}
        # The fence first: it says for which timeframes the others are.
        for key, value in sorted(rows):
            fields = json.loads(value)
            if not key:
                _, self.offset, self.raw_offset, names = fields
                if names != self._names():
                    raise ConfigError(
                        f"BARS_TIMEFRAMES must be {','.join(names)} as in the saved state, was "
                        f"{','.join(self._names())}; a new TAPELINE_GROUP builds all bars anew"
                    )
                continue
            name, _, rest = key.partition("|")
            symbol, _, venue = name.rpartition("@")
            series = self._of(venue, symbol)
            if not rest:
                series.stream_us, series.first_us = fields
                continue
            frame, _, _ = rest.partition("|")
            open_us, opened, closed, *others = fields
            series.restore(rungs[frame], Bar(open_us, tuple(opened), tuple(closed), *others))

    def _names(self) -> list[str]:
        return [rung.timeframe.name for rung in self.ladder.rungs]

    def _stream_us(self, name: tuple[str, str]) -> int:
        series = self._series.get(name)
        return NEVER if series is None else series.stream_us

    def _revise(self, trades: Trades, row: int, stream_us: int) -> Late:
        venue, symbol = trades.names[trades.series[row]]
        part = single(trades, row, self.ladder.base.timeframe.width_us)
        sequence, offset = int(trades.sequence[row]), part.last_offset
        revised = self._of(venue, symbol).revise(part, stream_us)
        record = {
            "symbol": symbol,
            "venue": venue,
            "event_time": instant(int(trades.at_us[row])),
            "sequence": None if sequence == ABSENT else sequence,
            "trade_id": trades.trade_id(row),
            "price": decimal(trades.price[row]),
            "size": decimal(trades.size[row]),
            "open_time": instant(part.open_us),
            "stream_time": instant(stream_us),
            "revised": revised,
            "source_partition": self.partition,
            "tick_offset": offset,
        }
        return Late(offset, record)

    def _of(self, venue: str, symbol: str) -> Series:
        key = venue, symbol
        self._touched.add(key)
        self._unsaved.add(key)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self.ladder)
        return series
