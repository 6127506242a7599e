"""Many framed records to columns at once, none of them shifted by a bad neighbour.

    values ─► joined behind one Avro container header ─► scan: which are plain?
        all plain: polars reads the container
        else:      the others go record by record: refused, or written again in plain form;
                   then polars reads those and the plain ones

Polars decodes a container twenty times as fast as fastavro its records, but would run on over a
wrong length into the next record, or panic: so it sees only what the scan found to be whole.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO
from json import dumps
from typing import NamedTuple

import numpy as np
import polars as pl

from schemas.layout import Kind, layout
from schemas.pack import encode
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.scan import Marks, Positions, plain
from schemas.wire import MAX_BYTES, PREFIX_BYTES, Undecodable, prefix

__all__ = ["Bad", "Decoded", "decode", "encode"]

ROW = "row"
_FRAME = "_frame"
_PREFIX_MASK = np.uint64((1 << 8 * PREFIX_BYTES) - 1)
_SYNC = b"tapeline-records"
"""What ends a container's block; also what `schemas.scan` needs behind the last record."""


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
    held: Sequence[bytes] = [value or b"" for value in values]
    container, starts, ends = _joined(held, name)
    is_plain = _plain(container, starts, ends, codec)
    if is_plain.all():
        frame = _read(container, name)
        if frame is not None:
            return Decoded(_numbered(frame, np.arange(len(held))), [])
    good, bad = _judged(held, codec, is_plain)
    frame = _read(_joined(list(good.values()), name)[0], name)
    if frame is None:
        # The scan leaves texts to polars, which refused the block for one of them.
        good, bad = _judged(held, codec, _plain(container, starts, ends, codec, ascii_only=True))
        frame = _read(_joined(list(good.values()), name)[0], name)
    if frame is None:
        raise AssertionError(f"polars must read every {name} that is plain or rewritten")
    return Decoded(_numbered(frame, np.fromiter(good, np.int64, len(good))), bad)


def _judged(
    values: Sequence[bytes], codec: RecordCodec, is_plain: Marks
) -> tuple[dict[int, bytes], list[Bad]]:
    """Return all records in plain form by row, in order, and what is none."""
    good: dict[int, bytes] = {}
    bad = []
    for row, (value, as_it_is) in enumerate(zip(values, is_plain.tolist(), strict=True)):
        if as_it_is:
            good[row] = value
            continue
        try:
            good[row] = codec.canonical(value)
        except Undecodable as error:
            bad.append(Bad(row, error.reason, error.detail))
    return good, bad


def _joined(values: Sequence[bytes], name: str) -> tuple[bytes, Positions, Positions]:
    """Return a container of all values, and where each begins, its frame included, and ends."""
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(sizes)
    header = _header(name) + _varint(len(values)) + _varint(int(sizes.sum()))
    container = b"".join((header, *values, _SYNC))
    ends += len(header)
    return container, ends - sizes, ends


def _plain(
    container: bytes,
    starts: Positions,
    ends: Positions,
    codec: RecordCodec,
    *,
    ascii_only: bool = False,
) -> Marks:
    expected = int.from_bytes(prefix(codec.schema_id), "little")
    words = np.ndarray((len(container) - 7,), np.dtype("<u8"), container, strides=(1,))
    sizes = ends - starts
    is_plain = plain(
        container, starts + PREFIX_BYTES, ends, layout(codec.name), ascii_only=ascii_only
    )
    is_ours: Marks = (
        is_plain
        & ((words[starts] & _PREFIX_MASK) == expected)
        & (sizes >= PREFIX_BYTES)
        & (sizes <= MAX_BYTES)
    )
    return is_ours


def _read(container: bytes, name: str) -> pl.DataFrame | None:
    """Return the fields of a container's records; None when polars refuses it."""
    try:
        framed = pl.read_avro(BytesIO(container))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return None
    return framed.select(_columns(name))


def _numbered(frame: pl.DataFrame, rows: Positions) -> pl.DataFrame:
    return frame.with_columns(pl.Series(ROW, rows, dtype=pl.UInt32))


@cache
def _columns(name: str) -> list[pl.Expr]:
    return [
        pl.col(field.name).cast(pl.UInt8).cat.to(pl.Enum(field.symbols))
        if field.kind is Kind.ENUM
        else pl.col(field.name)
        for field in layout(name)
    ]


@cache
def _header(name: str) -> bytes:
    """Return a container's header; each record's frame is read as its first field."""
    frame = {"name": _FRAME, "type": {"type": "fixed", "name": "Frame", "size": PREFIX_BYTES}}
    fields = [{"name": field.name, "type": field.wire} for field in layout(name)]
    schema = dumps({"type": "record", "name": "Framed", "fields": [frame, *fields]}).encode()
    entries = ((b"avro.schema", schema), (b"avro.codec", b"null"))
    sized = [_varint(len(part)) + part for entry in entries for part in entry]
    return b"".join((b"Obj\x01", _varint(len(entries)), *sized, _varint(0), _SYNC))


def _varint(number: int) -> bytes:
    """Return a number >= 0 as Avro writes it."""
    shifted = number << 1
    out = bytearray()
    while shifted > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(shifted & 0x7F | 0x80)
        shifted >>= 7
    out.append(shifted)
    return bytes(out)


@lru_cache(maxsize=64)
def _codec(name: str, registry: Registry) -> RecordCodec:
    return RecordCodec(name, registry)
