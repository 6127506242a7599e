"""The latest quote of each (venue, symbol), conflated: what a reader misses is only older."""

from datetime import datetime

import polars as pl

Record = dict[str, object]
Rank = tuple[datetime, int, int]

_FIELDS = (
    "symbol", "venue", "event_time", "ingest_time", "sequence",
    "bid", "ask", "bid_size", "ask_size", "source",
)  # fmt: skip


class QuoteBook:
    """Latest quotes of one partition.

    Args:
        partition: The partition, written into each quote.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._latest: dict[tuple[str, str], Rank] = {}
        self._changed: dict[tuple[str, str], Record] = {}

    def fold(self, ticks: pl.DataFrame) -> None:
        """Take a block of accepted ticks, tick.avsc's columns and `offset`, in offset order.

        The latest quote is the last by (event_time, sequence, offset): one that comes late
        never replaces a newer one.
        """
        if ticks["bid"].null_count() == ticks["ask"].null_count() == len(ticks):
            return
        quotes = ticks.filter(pl.col("bid").is_not_null() | pl.col("ask").is_not_null())
        if quotes.is_empty():
            return
        newest = (
            quotes.select(*_FIELDS, "offset", rank=pl.col("sequence").fill_null(-1))
            .sort("event_time", "rank", "offset")
            .group_by("venue", "symbol")
            .last()
        )
        for row in newest.iter_rows(named=True):
            key = row["venue"], row["symbol"]
            rank = row["event_time"], row["rank"], row["offset"]
            if key not in self._latest or rank > self._latest[key]:
                self._latest[key] = rank
                self._changed[key] = self._record(row)

    def emit(self) -> list[Record]:
        """Return the quotes that changed since the last call, as quote.avsc."""
        changed = [self._changed[key] for key in sorted(self._changed)]
        self._changed.clear()
        return changed

    def _record(self, row: Record) -> Record:
        bid, ask = row["bid"], row["ask"]
        return {
            **{name: row[name] for name in _FIELDS},
            "crossed": bid is not None and ask is not None and bid > ask,  # type: ignore[operator]
            "source_partition": self.partition,
            "tick_offset": row["offset"],
        }
