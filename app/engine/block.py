"""A block: all the records one fetch brought for one partition, decoded once."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from schemas.block import Bad, Decoded, columns, decode
from schemas.columns import Columns
from schemas.packed import Packed, Positions
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.wire import Undecodable


class Reading(NamedTuple):
    """How the values of a topic are read.

    Attributes:
        schema: Name of the record schema.
        registry: Where writers' schemas are found.
        columnar: Whether agents want columns (ticks) or records (all else, few and wide).
        walked: Whether the places of the fields are enough for most blocks (`Block.columns`).
    """

    schema: str
    registry: Registry
    columnar: bool
    walked: bool = False


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
        keys: Kafka keys.
        offsets: Kafka offsets, increasing.
        appended_us: Kafka's times of them, µs.
        reading: How `values` are read.
        epoch: The source's assignment it was read under; a block of an earlier one is stale.
    """

    topic: str
    partition: int
    values: Packed
    keys: Packed
    offsets: Positions
    appended_us: Positions
    reading: Reading
    epoch: int = 0
    _columns: Columns | None = field(default=None, repr=False)
    _decoded: Decoded | None = field(default=None, repr=False)
    _records: Records | None = field(default=None, repr=False)

    @property
    def last_offset(self) -> int:
        """Highest offset in the block."""
        return int(self.offsets[-1])

    @property
    def append_us(self) -> int:
        """Kafka's time of the last record, µs."""
        return int(self.appended_us[-1])

    def __len__(self) -> int:
        return len(self.offsets)

    def columns(self) -> Columns | None:
        """Return the places of all records' fields; None unless every one is plain."""
        if self._columns is None and self._decoded is None:
            self._columns = columns(self.values, self.reading.schema, self.reading.registry)
        return self._columns

    def decoded(self) -> Decoded:
        """Return the decoded values; the good ones with their `offset` beside tick columns."""
        if self._decoded is None:
            found = decode(self.values, self.reading.schema, self.reading.registry)
            offsets = pl.Series("offset", self.offsets)
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
        if self.reading.walked and self.columns() is not None:
            return
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
        rest = slice(int(np.searchsorted(self.offsets, offset, "right")), None)
        return replace(
            self,
            values=self.values[rest],
            keys=self.keys[rest],
            offsets=self.offsets[rest],
            appended_us=self.appended_us[rest],
            _columns=None,
            _decoded=None,
            _records=None,
        )
