"""Many framed records to columns at once, none of them shifted by a bad neighbour.

    values ─► walk: which are plain?
        plain:  joined behind an Avro container's header, and polars reads them, all of one
                writer's schema together
        others: record by record; refused, or written again in plain form and read with the rest

Polars decodes a container twenty times as fast as fastavro its records, but would run on over a
wrong length into the next record, or panic: so it sees only what the walk found to be whole.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from schemas.columns import Columns
from schemas.layout import layout
from schemas.pack import encode
from schemas.packed import Packed, Positions, pack
from schemas.reading import Reading, reading
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.walk import Marks, walk
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
    packed = values if isinstance(values, Packed) else pack(values)
    current = _current(codec)
    if _plain(packed, current, ascii_only=False).all():
        frame = current.read(current.join(packed))
        if frame is not None:
            return Decoded(_numbered(frame, np.arange(len(packed))), [])
    parts = list(_parts(packed, codec))
    is_doubtful = np.ones(len(packed), np.bool_)
    for _, rows in parts:
        is_doubtful[rows] = False
    rewritten, bad = _judged(packed, np.flatnonzero(is_doubtful), codec)
    frame = current.read(current.join(pack(rewritten.values())))
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
    found = walk(values, _current(codec).shape, ascii_only=True, kept=True)
    if not found.is_plain.all():
        return None
    names = {field.name: number for number, field in enumerate(layout(name))}
    return Columns(values, names, found.numbers, found.sizes)


def _parts(values: Packed, codec: RecordCodec) -> Iterator[tuple[pl.DataFrame, Positions]]:
    """Yield the plain records of each writer's schema, and their rows."""
    ids = _ids(values)
    for schema_id in np.unique(ids[ids != _NO_ID]).tolist():
        by = _reading(codec, schema_id)
        if by is None:
            continue
        rows = np.flatnonzero(ids == schema_id)
        # The walk leaves texts to polars. If it refuses one, none but ASCII is left to it.
        for ascii_only in (False, True):
            whole = rows[_plain(values.take(rows), by, ascii_only=ascii_only)]
            frame = by.read(by.join(values.take(whole)))
            if frame is not None:
                yield frame, whole
                break


def _judged(
    values: Packed, rows: Positions, codec: RecordCodec
) -> tuple[dict[int, bytes], list[Bad]]:
    """Return which of some rows are records, in plain form, and what is wrong with the others."""
    good: dict[int, bytes] = {}
    bad = []
    for row in rows.tolist():
        try:
            good[row] = codec.canonical(values[row] or b"")
        except Undecodable as error:
            bad.append(Bad(row, error.reason, error.detail))
    return good, bad


def _ids(values: Packed) -> Positions:
    """Return the schema id of each value, `_NO_ID` where there is none or the value is too long."""
    words = np.ndarray((len(values.buffer) - 7,), np.dtype(">u8"), values.buffer, strides=(1,))
    sizes = values.ends - values.starts
    rows = np.flatnonzero((sizes >= PREFIX_BYTES) & (sizes <= MAX_BYTES))
    found = (words[values.starts[rows]] >> np.uint64(8 * (8 - PREFIX_BYTES))).astype(np.int64)
    ids = np.full(len(values), _NO_ID, np.int64)
    ids[rows] = np.where(found <= _LAST_ID, found, _NO_ID)
    return ids


def _plain(values: Packed, by: Reading, *, ascii_only: bool) -> Marks:
    return walk(values, by.shape, ascii_only=ascii_only, kept=False).is_plain


def _numbered(frame: pl.DataFrame, rows: Positions) -> pl.DataFrame:
    return frame.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32))


@lru_cache(maxsize=64)
def _codec(name: str, registry: Registry) -> RecordCodec:
    return RecordCodec(name, registry)


def _current(codec: RecordCodec) -> Reading:
    current = _reading(codec, codec.schema_id)
    if current is None:
        raise AssertionError(f"{codec.name} must be readable in columns")
    return current


def _reading(codec: RecordCodec, schema_id: int) -> Reading | None:
    """Return how an id's records are read in columns; None where each must be judged alone."""
    try:
        return _known_reading(codec, schema_id)
    except Undecodable:
        return None


@lru_cache(maxsize=256)
def _known_reading(codec: RecordCodec, schema_id: int) -> Reading | None:
    # An unknown id raises, and so is asked for again: it may be registered later.
    return reading(codec.name, schema_id, codec.writer(schema_id))
