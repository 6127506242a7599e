"""A block: all the records one fetch brought for one partition, decoded once."""

from dataclasses import dataclass, field
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
    """

    schema: str
    registry: Registry
    columnar: bool


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
        values: Kafka values, framed.
        keys: Kafka keys, only for topics whose keys are checked; else empty.
        offsets: Kafka offsets, increasing.
        append_us: Kafka's append time of the last record, µs.
        epoch: The source's assignment it was read under; a block of an earlier one is stale.
        reading: How `values` are read.
    """

    topic: str
    partition: int
    values: list[bytes | None]
    keys: list[bytes | None]
    offsets: list[int]
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
        return len(self.values)

    def decoded(self) -> Decoded:
        """Return the decoded values; the good ones with their `offset` beside tick columns."""
        if self._decoded is None:
            found = decode(self.values, self.reading.schema, self.reading.registry)
            offsets = pl.Series("offset", self.offsets, dtype=pl.Int64)
            if len(found.frame) != len(self.values):
                offsets = offsets.gather(found.frame["row"])
            self._decoded = Decoded(found.frame.with_columns(offsets), found.bad)
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
        at = next(n for n, known in enumerate(self.offsets) if known > offset)
        return Block(
            self.topic,
            self.partition,
            self.values[at:],
            self.keys[at:],
            self.offsets[at:],
            self.append_us,
            self.reading,
            self.epoch,
        )
