"""Bars of every series of one partition: the pure core of the bars agent.

`fold` takes one block, `emit` gives what changed, `save` and `restore` carry the state across
a crash. A checkpoint is atomic (`app.engine.checkpoint`), so one offset fences the whole
partition: a record at or below `offset` is already in every bar and is not folded again.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import NamedTuple

import polars as pl

from app.domain.bars import Bar, instant, partials, record
from app.domain.series import Series
from app.domain.timeframes import Ladder
from app.errors import ConfigError

Record = dict[str, object]
STATE_VERSION = 1


class Late(NamedTuple):
    """A trade that came after its base bar was final: its offset, and it as late_tick.avsc."""

    offset: int
    record: Record


class Span(NamedTuple):
    """Lowest open time and highest event time of a series' trades in a block, µs."""

    low_open_us: int
    high_us: int


Spans = dict[tuple[str, str], Span]


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

    def fold(self, ticks: pl.DataFrame) -> list[Late]:
        """Fold one block of accepted ticks.

        Args:
            ticks: n rows in offset order, tick.avsc's columns and `offset`; quotes among them
                are passed over.

        Returns:
            Trades that came after their base bar was final, in order.
        """
        ticks = self._unseen(ticks)
        if ticks.is_empty():
            return []
        trades = ticks.select(*_TRADE)
        if trades["price"].null_count():
            trades = trades.filter(pl.col("price").is_not_null())
        if trades.is_empty():
            return []
        parts = partials(trades, self.ladder.base.timeframe.width_us)
        ends = _ends(parts)
        if any(self._has_late(*series, ends[series]) for series in ends):
            return self._fold_in_order(trades, ends)
        for venue, symbol, part in parts:
            self._of(venue, symbol).fold(part)
        self._advance(ends)
        return []

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

    def _unseen(self, ticks: pl.DataFrame) -> pl.DataFrame:
        """Drop what a zombie published a second time.

        Normalization publishes in raw order, so a raw offset at or below the highest seen is
        a repeat, whatever its own offset is. Ticks without one are not fenced by it.
        """
        raw = ticks["raw_offset"]
        highest = raw.max()
        if not isinstance(highest, int):
            return ticks
        first = raw[0]
        if not (raw.null_count() == 0 and first > self.raw_offset and (raw.diff() > 0).all()):
            before = raw.cum_max().shift(1).fill_null(strategy="forward").fill_null(-1)
            before = before.clip(lower_bound=self.raw_offset)
            ticks = ticks.filter((raw > before) | raw.is_null())
        self.raw_offset = max(self.raw_offset, highest)
        return ticks

    def _has_late(self, venue: str, symbol: str, span: Span) -> bool:
        """Return whether a trade of the series may have come after its bar was final."""
        base = self.ladder.base
        closes_us = span.low_open_us + base.timeframe.width_us + base.grace_us
        return closes_us <= max(self._of(venue, symbol).stream_us, span.high_us)

    def _fold_in_order(self, trades: pl.DataFrame, ends: Spans) -> list[Late]:
        """Fold a block that may hold late trades: first the timely ones, then those one by one."""
        judged = self._judged(trades)
        width_us = self.ladder.base.timeframe.width_us
        for venue, symbol, part in partials(judged.filter(~pl.col("is_late")), width_us):
            self._of(venue, symbol).fold(part)
        late = [self._revise(row) for row in judged.filter("is_late").iter_rows(named=True)]
        self._advance(ends)
        return late

    def _advance(self, ends: Spans) -> None:
        for (venue, symbol), span in ends.items():
            self._of(venue, symbol).advance(span.high_us)

    def _judged(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Judge each trade against the stream time its own series had before it came.

        Returns:
            `trades` with stream_us (before the trade) and is_late.
        """
        base = self.ladder.base
        width, grace = base.timeframe.width_us, base.grace_us
        known = pl.DataFrame(
            [(*series, self._of(*series).stream_us) for series in _series_of(trades)],
            schema={"venue": pl.String, "symbol": pl.String, "known_us": pl.Int64},
            orient="row",
        )
        at = pl.col("event_time").to_physical()
        before = at.cum_max().shift(1).over("venue", "symbol")
        return (
            trades.join(known, on=["venue", "symbol"], how="left", maintain_order="left")
            .with_columns(stream_us=pl.max_horizontal("known_us", before))
            .with_columns(is_late=at - at % width + (width + grace) <= pl.col("stream_us"))
        )

    def _revise(self, row: Record) -> Late:
        venue, symbol, stream_us = row["venue"], row["symbol"], row["stream_us"]
        assert isinstance(venue, str) and isinstance(symbol, str) and isinstance(stream_us, int)  # noqa: PT018, S101
        [(_, _, part)] = partials(
            pl.DataFrame([row], schema=_TRADE), self.ladder.base.timeframe.width_us
        )
        revised = self._of(venue, symbol).revise(part, stream_us)
        record = {
            **{k: row[k] for k in _LATE_FIELDS},
            "open_time": instant(part.open_us),
            "stream_time": instant(stream_us),
            "revised": revised,
            "source_partition": self.partition,
            "tick_offset": row["offset"],
        }
        return Late(part.last_offset, record)

    def _of(self, venue: str, symbol: str) -> Series:
        key = venue, symbol
        self._touched.add(key)
        self._unsaved.add(key)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self.ladder)
        return series


def _ends(parts: list[tuple[str, str, Bar]]) -> Spans:
    ends: Spans = {}
    for venue, symbol, part in parts:
        known = ends.get((venue, symbol))
        low, high = part.open_us, part.closed[0]
        if known is not None:
            low, high = min(low, known.low_open_us), max(high, known.high_us)
        ends[venue, symbol] = Span(low, high)
    return ends


def _series_of(trades: pl.DataFrame) -> list[tuple[str, str]]:
    return trades.select("venue", "symbol").unique().rows()


_LATE_FIELDS = ("symbol", "venue", "event_time", "sequence", "trade_id", "price", "size")
_TRADE: dict[str, pl.DataType | type[pl.DataType]] = {
    "venue": pl.String,
    "symbol": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    "sequence": pl.Int64,
    "trade_id": pl.String,
    "price": pl.Decimal(38, 12),
    "size": pl.Decimal(38, 12),
    "offset": pl.Int64,
}
