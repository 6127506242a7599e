"""The stores in this process's memory: for tests, and for a run without servers.

They keep the same promises as Redis and Postgres, by the same contract suite, except that they
end with the process.
"""

from collections.abc import Sequence
from datetime import datetime
from threading import Lock
from typing import Any

import polars as pl
from typing_extensions import override

from app.domain.ports import (
    OFFSET,
    Applied,
    BarText,
    Held,
    HotStore,
    Position,
    Row,
    WarmStore,
    bar_key,
    bar_rank,
    newest,
    quote_key,
    quote_rank,
)
from schemas.json_form import fields, microseconds, to_json

BarKey = tuple[str, str, str, datetime]
SeriesKey = tuple[str, str, str]


class MemoryHotStore(HotStore):
    """`HotStore` in memory."""

    def __init__(self, *, keep_bars: int = 2000) -> None:
        self._keep_bars = keep_bars
        self._bars: dict[SeriesKey, dict[datetime, Row]] = {}
        self._quotes: dict[tuple[str, str], Row] = {}
        self._ticks: dict[tuple[str, str], dict[tuple[Any, ...], Row]] = {}
        self._whole: dict[str, str] = {}
        self._lock = Lock()

    @override
    def era(self) -> str:
        return "the only one"

    @override
    def is_whole(self, part: str) -> bool:
        return self._whole.get(part) == self.era()

    @override
    def mark_whole(self, part: str, era: str) -> None:
        self._whole[part] = era

    @override
    def put_bars(self, rows: Sequence[Row]) -> int:
        with self._lock:
            return sum(self._put_bar(row) for row in newest(rows, bar_key, bar_rank))

    def _put_bar(self, row: Row) -> bool:
        *name, open_time = bar_key(row)
        series = self._bars.setdefault((name[0], name[1], name[2]), {})
        held = series.get(open_time)
        is_full = len(series) >= self._keep_bars
        if held is not None and bar_rank(held) >= bar_rank(row):
            return False
        if held is None and is_full and open_time < min(series):
            return False
        series[open_time] = _only("bar", row)
        if len(series) > self._keep_bars:
            del series[min(series)]
        return True

    @override
    def put_quotes(self, rows: Sequence[Row]) -> int:
        applied = 0
        with self._lock:
            for row in newest(rows, quote_key, quote_rank):
                held = self._quotes.get(quote_key(row))
                if held is None or quote_rank(held) < quote_rank(row):
                    self._quotes[quote_key(row)] = _only("quote", row)
                    applied += 1
        return applied

    @override
    def put_ticks(self, frame: pl.DataFrame, keep: int = 1000) -> int:
        added = 0
        with self._lock:
            for (symbol, venue), part in frame.group_by("symbol", "venue", maintain_order=True):
                held = self._ticks.setdefault((str(symbol), str(venue)), {})
                ranked = {_tick_rank(row): _only("tick", row) for row in part.iter_rows(named=True)}
                of_block = dict(sorted(ranked.items(), key=_first)[-keep:])
                added += sum(rank not in held for rank in of_block)
                both = sorted({**held, **of_block}.items(), key=_first)
                self._ticks[str(symbol), str(venue)] = dict(both[-keep:])
        return added

    @override
    def bars(
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Row]:
        with self._lock:
            held = list(self._bars.get((symbol, venue, timeframe), {}).values())
        return _newest(held, "open_time", start, end, limit)

    @override
    def bar_texts(
        self,
        part: str,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Held[list[BarText]]:
        rows = self.bars(symbol, venue, timeframe, limit, start, end)
        found = [BarText(microseconds(row["open_time"]), to_json("bar", row)) for row in rows]
        return Held(found, self.is_whole(part))

    @override
    def latest_bar(self, symbol: str, venue: str, timeframe: str) -> Row | None:
        found = self.bars(symbol, venue, timeframe, 1)
        return found[0] if found else None

    @override
    def latest_quote(self, symbol: str, venue: str) -> Row | None:
        with self._lock:
            found = self._quotes.get((symbol, venue))
        return dict(found) if found else None

    @override
    def ticks(self, symbol: str, venue: str, limit: int) -> list[Row]:
        with self._lock:
            held = self._ticks.get((symbol, venue), {})
            return [dict(row) for row in list(held.values())[-limit:]]

    @override
    def tick_texts(self, part: str, symbol: str, venue: str, limit: int) -> Held[list[str]]:
        found = [to_json("tick", row) for row in self.ticks(symbol, venue, limit)]
        return Held(found, self.is_whole(part))

    @override
    def held_quote(self, part: str, symbol: str, venue: str) -> Held[Row | None]:
        return Held(self.latest_quote(symbol, venue), self.is_whole(part))

    @override
    def series(self) -> set[tuple[str, str]]:
        with self._lock:
            return {name[:2] for name in self._bars} | {*self._quotes} | {*self._ticks}

    @override
    def ping(self) -> str:
        return "memory"

    @override
    def close(self) -> None:
        pass


class MemoryWarmStore(WarmStore):
    """`WarmStore` in memory."""

    def __init__(self) -> None:
        self._bars: dict[BarKey, Row] = {}
        self._revisions: dict[tuple[BarKey, tuple[int, int]], Row] = {}
        self._ticks: list[Row] = []
        self._seen: set[tuple[Any, ...]] = set()
        self._positions: dict[tuple[str, int], int] = {}
        self._lock = Lock()

    @override
    def apply_bars(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        rows: Sequence[Row],
    ) -> Applied:
        with self._lock:
            next_offset, moved = self._advance(topic, partition, first_offset, last_offset)
            fresh = [row for row in rows if row[OFFSET] >= next_offset]
            for row in fresh:
                if row["revision"] >= 1:
                    self._revisions.setdefault((bar_key(row), bar_rank(row)), _only("bar", row))
            written = 0
            for row in newest(fresh, bar_key, bar_rank):
                held = self._bars.get(bar_key(row))
                if held is None or bar_rank(held) < bar_rank(row):
                    self._bars[bar_key(row)] = _only("bar", row)
                    written += 1
        return Applied(written, len(rows) - written, moved)

    @override
    def apply_ticks(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        frame: pl.DataFrame,
    ) -> Applied:
        written = 0
        with self._lock:
            next_offset, moved = self._advance(topic, partition, first_offset, last_offset)
            for row in frame.filter(pl.col("offset") >= next_offset).iter_rows(named=True):
                identity = (row["symbol"], row["venue"], row["event_time"], row["raw_offset"])
                if row["raw_offset"] is None or identity not in self._seen:
                    self._seen.add(identity)
                    self._ticks.append(row)
                    written += 1
        return Applied(written, frame.height - written, moved)

    def _advance(
        self, topic: str, partition: int, first_offset: int, last_offset: int
    ) -> tuple[int, Position]:
        if not 0 <= first_offset <= last_offset:
            raise ValueError(
                f"offsets must be 0 <= first <= last, were {first_offset}, {last_offset}"
            )
        before = self._positions.get((topic, partition), 0)
        after = self._positions[topic, partition] = max(before, last_offset + 1)
        return before, Position(topic, partition, after)

    @override
    def positions(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        with self._lock:
            return {name: at for name, at in self._positions.items() if name[0] in topics}

    @override
    def bars(
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        start: datetime | None,
        end: datetime | None,
        limit: int,
    ) -> list[Row]:
        name = (symbol, venue, timeframe)
        with self._lock:
            held = [row for key, row in self._bars.items() if key[:3] == name]
        return _newest(held, "open_time", start, end, limit)

    @override
    def revisions(self, symbol: str, venue: str, timeframe: str, open_time: datetime) -> list[Row]:
        name = (symbol, venue, timeframe, open_time)
        with self._lock:
            held = [row for (key, _), row in self._revisions.items() if key == name]
        return [dict(row) for row in sorted(held, key=bar_rank)]

    @override
    def ticks(
        self, symbol: str, venue: str, start: datetime | None, end: datetime | None, limit: int
    ) -> list[Row]:
        with self._lock:
            of_series = [r for r in self._ticks if (r["symbol"], r["venue"]) == (symbol, venue)]
        of_series.sort(key=lambda row: row["offset"])
        return _newest(of_series, "event_time", start, end, limit)

    @override
    def ping(self) -> str:
        return "memory"

    @override
    def close(self) -> None:
        pass


def _only(record: str, row: Row) -> Row:
    return {name: row[name] for name in fields(record)}


def _tick_rank(row: Row) -> tuple[Any, ...]:
    offset = row["offset"] if row["raw_offset"] is None else row["raw_offset"]
    return row["event_time"], offset


def _first(item: tuple[tuple[Any, ...], Row]) -> tuple[Any, ...]:
    return item[0]


def _newest(
    rows: list[Row], time: str, start: datetime | None, end: datetime | None, limit: int
) -> list[Row]:
    late_enough = [row for row in rows if start is None or row[time] >= start]
    kept = [row for row in late_enough if end is None or row[time] < end]
    return [dict(row) for row in sorted(kept, key=lambda row: row[time])[-limit:]]
