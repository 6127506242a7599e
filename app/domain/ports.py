"""What the core asks of a store, and the small values that pass through.

Two stores, each behind one Protocol with several implementations and one contract suite: the
hot one holds the newest of everything for live readers, the warm one holds all of it for charts,
audits and explanations. Both take the same rows again without changing anything, and refuse a
row that is older than what they hold, so a late write of a worker that was given up changes
nothing.

Rows: a bar or a quote is a dict with exactly the fields of its schema (Decimals, aware UTC
datetimes, `reason` a str). Ticks arrive as a frame with the columns of `tick.avsc`
(decimal(38, 12), datetime[µs, UTC], conditions list[str]) and `offset` (i64, in ticks.v1).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import polars as pl

Row = dict[str, Any]
"""One record by field name."""

OFFSET = "_offset"
"""Key beside a bar's fields: its own offset in bars.v1, for the warm store's fence."""


class Position(NamedTuple):
    """The next offset to read of one partition."""

    topic: str
    partition: int
    offset: int


T = TypeVar("T")


class Held(NamedTuple, Generic[T]):
    """What a store holds, and whether it had all of that part when it was asked."""

    value: T
    is_whole: bool


class BarText(NamedTuple):
    """A bar in its JSON form, and when it opened, in microseconds since 1970."""

    open_us: int
    text: str


@dataclass(frozen=True, slots=True)
class Applied:
    """What one block changed.

    Attributes:
        written: Rows inserted or replaced.
        skipped: Rows of the block that changed nothing: at or below the stored offset, older
            than what is stored, or superseded within the block.
        position: Where the partition stands now; never below where it stood before.
    """

    written: int
    skipped: int
    position: Position


def bar_key(row: Row) -> tuple[str, str, str, datetime]:
    """Return what names the bar `row`."""
    return row["symbol"], row["venue"], row["timeframe"], row["open_time"]


def bar_rank(row: Row) -> tuple[int, int]:
    """Return what makes one emission of a bar newer than another."""
    return row["revision"], row["last_offset"]


def quote_key(row: Row) -> tuple[str, str]:
    """Return what names the quote `row`."""
    return row["symbol"], row["venue"]


def quote_rank(row: Row) -> tuple[datetime, int, int]:
    """Return what makes one quote newer than another; no sequence counts as 0."""
    return row["event_time"], row["sequence"] or 0, row["tick_offset"]


def newest(
    rows: Iterable[Row], key: Callable[[Row], tuple[Any, ...]], rank: Callable[[Row], Any]
) -> list[Row]:
    """Return the highest-ranked row of each key, in the order the keys first came."""
    kept: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        name = key(row)
        if name not in kept or rank(kept[name]) < rank(row):
            kept[name] = row
    return list(kept.values())


class HotStore(Protocol):
    """The newest bars, quotes and ticks; rebuilt from Kafka when lost.

    Every method raises `StoreUnavailable` when the same call may succeed later, and the putting
    ones raise `StoreRejected` when it never will.
    """

    def put_bars(self, rows: Sequence[Row]) -> int:
        """Keep each bar that is newer than the stored one, and announce it.

        Of several emissions of one bar in `rows` only the newest is looked at. Returns how many
        were applied.
        """
        ...

    def put_quotes(self, rows: Sequence[Row]) -> int:
        """Keep each quote that is newer than the stored one, and announce it."""
        ...

    def put_ticks(self, frame: pl.DataFrame, keep: int = 1000) -> int:
        """Keep the newest `keep` ticks of each (symbol, venue) by (event_time, offset).

        A tick is the same tick when its `raw_offset` (its `offset` where that is null) and its
        content are: written twice, it is there once. Returns how many were new.
        """
        ...

    def bars(  # noqa: PLR0913 - a series has three names
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Row]:
        """Return the newest `limit` bars with start <= open_time < end, oldest first."""
        ...

    def bar_texts(  # noqa: PLR0913 - a series has three names
        self,
        part: str,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Held[list[BarText]]:
        """Return what `bars` does, as JSON (`schemas.json_form`), without making values of it.

        `part` is where the series belongs, as `mark_whole` is told.
        """
        ...

    def latest_bar(self, symbol: str, venue: str, timeframe: str) -> Row | None:
        """Return the bar with the latest open_time."""
        ...

    def latest_quote(self, symbol: str, venue: str) -> Row | None:
        """Return the newest quote."""
        ...

    def ticks(self, symbol: str, venue: str, limit: int) -> list[Row]:
        """Return the newest `limit` ticks with the fields of `tick.avsc`, oldest first."""
        ...

    def tick_texts(self, part: str, symbol: str, venue: str, limit: int) -> Held[list[str]]:
        """Return what `ticks` does, as JSON, without making values of it; `part` as above."""
        ...

    def held_quote(self, part: str, symbol: str, venue: str) -> Held[Row | None]:
        """Return what `latest_quote` does; `part` as above."""
        ...

    def series(self) -> set[tuple[str, str]]:
        """Return symbol and venue of every series that has bars, quotes or ticks."""
        ...

    def era(self) -> str:
        """Return what changes whenever the store may have lost something that it had taken."""
        ...

    def is_whole(self, part: str) -> bool:
        """Return whether `part` was marked in the present era."""
        ...

    def mark_whole(self, part: str, era: str) -> None:
        """Remember that the store holds all of `part`, a name of the caller's.

        Args:
            part: What it holds.
            era: The one in which the caller began to look that it does.
        """
        ...

    def ping(self) -> str:
        """Return the server's name and version."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...


class WarmStore(Protocol):
    """All bars with their history, and all ticks.

    Each `apply_` is one transaction together with the partition's offset, so a block is applied
    once whatever crashes, and a block that was applied already changes nothing. Errors as with
    `HotStore`; a rejection names the row, and nothing of its block was written.
    """

    def apply_bars(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        rows: Sequence[Row],
    ) -> Applied:
        """Store the bars of offsets `first_offset` to `last_offset`, both inclusive.

        Each row carries `OFFSET` beside its fields. Every emission with revision >= 1 also joins
        the bar's history.
        """
        ...

    def apply_ticks(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        frame: pl.DataFrame,
    ) -> Applied:
        """Store the ticks of offsets `first_offset` to `last_offset`, both inclusive.

        A tick that normalization wrote twice after a crash (same symbol, venue, event_time and
        raw_offset at another offset) is stored once.
        """
        ...

    def maintain(self) -> object:
        """Make room for the coming days and drop what is too old; safe to call at any time."""
        ...

    def positions(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        """Return the next offset of each (topic, partition) that was ever applied."""
        ...

    def bars(  # noqa: PLR0913 - a series has three names
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        start: datetime | None,
        end: datetime | None,
        limit: int,
    ) -> list[Row]:
        """Return the newest `limit` bars with start <= open_time < end, oldest first."""
        ...

    def revisions(self, symbol: str, venue: str, timeframe: str, open_time: datetime) -> list[Row]:
        """Return every emission with revision >= 1 of one bar, in the order of its rank."""
        ...

    def ticks(
        self, symbol: str, venue: str, start: datetime | None, end: datetime | None, limit: int
    ) -> list[Row]:
        """Return the newest `limit` ticks with start <= event_time < end, oldest first.

        Each has the fields of `tick.avsc` and `offset`.
        """
        ...

    def ping(self) -> str:
        """Return the server's name and version, and its extension if there."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
