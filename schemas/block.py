"""Many framed records to columns at once, none of them shifted by a bad neighbour.

    values ─► joined behind one Avro container header ─► scan: which are plain?
        plain:  polars reads them, all of one writer's schema together
        others: record by record; refused, or written again in plain form and read with the rest

Polars decodes a container twenty times as fast as fastavro its records, but would run on over a
wrong length into the next record, or panic: so it sees only what the scan found to be whole.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from schemas.columns import Columns
from schemas.layout import layout
from schemas.pack import encode
from schemas.packed import Packed
from schemas.reading import Joined, Reading, reading
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.scan import Marks, Positions, plain
from schemas.walk import Shape, shape, walk
from schemas.wire import MAX_BYTES, PREFIX_BYTES, Undecodable

__all__ = ["Bad", "Decoded", "columns", "decode", "encode"]

ROW = "row"
_NO_ID = -1
_LAST_ID = (1 << 32) - 1


class Bad(NamedTuple):
    """A value that is no record.

    Attributes:
        row: Its index in the block.
        reason: One of `schemas.wire.REASONS`.
        detail: The thing, the rule and the value.
    """

    row: int
    reason: str
    detail: str


class Decoded(NamedTuple):
    """A block in columns.

    Attributes:
        frame: The n good records in order: the schema's fields, and `row` (u32), the index of
            each in the block. Decimals of more than 38 digits stay as on the wire (binary).
        bad: The others, in order.
    """

    frame: pl.DataFrame
    bad: list[Bad]


def decode(values: Sequence[bytes | None], name: str, registry: Registry) -> Decoded:
    """Return the records of a block as columns, whoever's schema they were written with.

    Args:
        values: Kafka values, framed, any number.
        name: The record they should be; all are read as its current schema.
        registry: Where ids and writers' schemas are found. What it raises when it cannot answer
            is passed on: nothing is lost, the block can be decoded again.
    """
    codec = _codec(name, registry)  # type: ignore[arg-type]  # hashed by identity
    held = [value or b"" for value in values]
    current = _reading(codec, codec.schema_id)
    if current is None:
        raise AssertionError(f"{name} must be readable in columns")
    joined = current.join(held)
    ids = _ids(joined)
    if (ids == codec.schema_id).all() and _plain(joined, current).all():
        frame = current.read(joined.container)
        if frame is not None:
            return Decoded(_numbered(frame, np.arange(len(held))), [])
    parts = list(_parts(held, joined, ids, codec))
    is_doubtful = np.ones(len(held), np.bool_)
    for _, rows in parts:
        is_doubtful[rows] = False
    rewritten, bad = _judged(held, np.flatnonzero(is_doubtful), codec)
    frame = current.read(current.join(list(rewritten.values())).container)
    if frame is None:
        raise AssertionError(f"polars must read every {name} that fastavro wrote")
    parts.append((frame, np.fromiter(rewritten, np.int64, len(rewritten))))
    return Decoded(pl.concat(_numbered(*part) for part in parts).sort(ROW), bad)


def columns(values: Packed, name: str, registry: Registry) -> Columns | None:
    """Return where the fields of a block's records are, and the numbers among them.

    None unless every value is a record of the current schema called `name`, plain as in
    `schemas.walk`, its texts ASCII: then `decode` reads what is readable.
    """
    codec = _codec(name, registry)  # type: ignore[arg-type]  # hashed by identity
    found = walk(values, _shape(codec), ascii_only=True, kept=True)
    if not found.is_plain.all():
        return None
    names = {field.name: number for number, field in enumerate(layout(name))}
    return Columns(values, names, found.numbers, found.sizes)


def _parts(
    values: Sequence[bytes], joined: Joined, ids: Positions, codec: RecordCodec
) -> Iterator[tuple[pl.DataFrame, Positions]]:
    """Yield the plain records of each writer's schema, and their rows."""
    for schema_id in np.unique(ids[ids != _NO_ID]).tolist():
        by = _reading(codec, schema_id)
        if by is None:
            continue
        rows = np.flatnonzero(ids == schema_id)
        # The scan leaves texts to polars. If it refuses one, none but ASCII is left to it.
        for ascii_only in (False, True):
            whole = rows[_plain(_of(joined, rows), by, ascii_only=ascii_only)]
            frame = by.read(by.join([values[row] for row in whole.tolist()]).container)
            if frame is not None:
                yield frame, whole
                break


def _judged(
    values: Sequence[bytes], rows: Positions, codec: RecordCodec
) -> tuple[dict[int, bytes], list[Bad]]:
    """Return which of some rows are records, in plain form, and what is wrong with the others."""
    good: dict[int, bytes] = {}
    bad = []
    for row in rows.tolist():
        try:
            good[row] = codec.canonical(values[row])
        except Undecodable as error:
            bad.append(Bad(row, error.reason, error.detail))
    return good, bad


def _ids(joined: Joined) -> Positions:
    """Return the schema id of each value, `_NO_ID` where there is none or the value is too long."""
    container, starts, ends = joined
    words = np.ndarray((len(container) - 7,), np.dtype(">u8"), container, strides=(1,))
    ids = (words[starts] >> np.uint64(8 * (8 - PREFIX_BYTES))).astype(np.int64)
    sizes = ends - starts
    is_framed = (ids <= _LAST_ID) & (sizes >= PREFIX_BYTES) & (sizes <= MAX_BYTES)
    return np.where(is_framed, ids, _NO_ID)


def _plain(joined: Joined, by: Reading, *, ascii_only: bool = False) -> Marks:
    container, starts, ends = joined
    return plain(container, starts + PREFIX_BYTES, ends, by.fields, ascii_only=ascii_only)


def _of(joined: Joined, rows: Positions) -> Joined:
    return Joined(joined.container, joined.starts[rows], joined.ends[rows])


def _numbered(frame: pl.DataFrame, rows: Positions) -> pl.DataFrame:
    return frame.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32))


@lru_cache(maxsize=64)
def _codec(name: str, registry: Registry) -> RecordCodec:
    return RecordCodec(name, registry)


@lru_cache(maxsize=64)
def _shape(codec: RecordCodec) -> Shape:
    return shape(layout(codec.name), codec.schema_id)


def _reading(codec: RecordCodec, schema_id: int) -> Reading | None:
    """Return how an id's records are read in columns; None where each must be judged alone."""
    try:
        return _known_reading(codec, schema_id)
    except Undecodable:
        return None


@lru_cache(maxsize=256)
def _known_reading(codec: RecordCodec, schema_id: int) -> Reading | None:
    # An unknown id raises, and so is asked for again: it may be registered later.
    return reading(codec.name, codec.writer(schema_id))
