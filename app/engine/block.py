"""A block: all the records one fetch brought for one partition, decoded once."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import polars as pl

from schemas.block import Bad, Decoded, decode
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.wire import Undecodable


class Reading(NamedTuple):
    """How the values of a topic are read.

    Attributes:
        schema: Name of the record schema.
        registry: Where writers' schemas are found.
        columnar: Whether agents want columns (ticks) or records (all else, few and wide).
        kept: Whether agents need the bytes of good records, too.
        dense: Whether offsets have no holes: one writer of ours, no transactions, no compaction.
    """

    schema: str
    registry: Registry
    columnar: bool
    kept: bool = True
    dense: bool = False


class Records(NamedTuple):
    """Decoded records with their rows, and the rows that are none."""

    good: list[tuple[int, dict[str, Any]]]
    bad: list[Bad]


@dataclass(slots=True)
class Block:
    """n records of one partition, n at least 1, in offset order.

    Attributes:
        topic: Where they were read.
        partition: Likewise.
        values: Kafka values, framed; empty once decoded where nobody needs them.
        keys: Kafka keys, only for topics whose keys are checked; else empty.
        offsets: Kafka offsets, increasing: a range unless some were compacted away.
        append_us: Kafka's append time of the last record, µs.
        epoch: The source's assignment it was read under; a block of an earlier one is stale.
        reading: How `values` are read.
    """

    topic: str
    partition: int
    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: Sequence[int]
    append_us: int
    reading: Reading
    epoch: int = 0
    _decoded: Decoded | None = field(default=None, repr=False)
    _records: Records | None = field(default=None, repr=False)

    @property
    def last_offset(self) -> int:
        """Highest offset in the block."""
        return self.offsets[-1]

    def __len__(self) -> int:
        return len(self.offsets)

    def decoded(self) -> Decoded:
        """Return the decoded values; the good ones with their `offset` beside tick columns."""
        if self._decoded is None:
            found = decode(self.values, self.reading.schema, self.reading.registry)
            offsets = _series(self.offsets)
            if len(found.frame) != len(self.values):
                offsets = offsets.gather(found.frame["row"])
            self._decoded = Decoded(found.frame.with_columns(offsets), found.bad)
            if not self.reading.kept and not found.bad:
                self.values = []
        return self._decoded

    def records(self) -> Records:
        """Return the decoded values one by one."""
        if self._records is None:
            codec = RecordCodec(self.reading.schema, self.reading.registry)
            good: list[tuple[int, dict[str, Any]]] = []
            bad: list[Bad] = []
            for row, value in enumerate(self.values):
                try:
                    good.append((row, codec.decode(value or b"")))
                except Undecodable as error:
                    bad.append(Bad(row, error.reason, error.detail))
            self._records = Records(good, bad)
        return self._records

    def prepare(self) -> None:
        """Decode now, in the caller's thread."""
        if self.reading.columnar:
            self.decoded()
        else:
            self.records()

    def after(self, offset: int) -> "Block | None":
        """Return the part of the block beyond `offset`; None when nothing is."""
        if self.offsets[0] > offset:
            return self
        if self.offsets[-1] <= offset:
            return None
        at = bisect_right(self.offsets, offset)
        decoded = None
        if self._decoded is not None:
            frame = self._decoded.frame.filter(pl.col("offset") > offset)
            bad = [Bad(row - at, *why) for row, *why in self._decoded.bad if row >= at]
            decoded = Decoded(frame.with_columns(pl.col("row") - at), bad)
        return replace(
            self,
            values=self.values[at:],
            keys=self.keys[at:],
            offsets=self.offsets[at:],
            _decoded=decoded,
            _records=None,
        )


def _series(offsets: Sequence[int]) -> pl.Series:
    if isinstance(offsets, range):
        ends = offsets.start, offsets.stop
        return pl.int_range(*ends, dtype=pl.Int64, eager=True).alias("offset")
    return pl.Series("offset", offsets, dtype=pl.Int64)
