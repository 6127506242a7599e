"""Columns to framed records, without a Python object a field.

Every field of all records becomes pieces, each of some bytes a record; sizes first, so that every
byte of the block has its place, then each piece is written into place, a byte position at a time.
The bytes are those `schemas.record` writes.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.layout import Field, Kind, layout
from schemas.values import YEARS_US, to_bytes
from schemas.wire import Unencodable, prefix

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]

_SEVEN_BITS = 0x7F
_MORE = 0x80


class _Piece(NamedTuple):
    """Some bytes of each of n records.

    Attributes:
        sizes: How many, n.
        byte: The k-th of the records whose indices are given, or None for `flat`.
        flat: All bytes of all records in order, or None for `byte`.
    """

    sizes: Numbers
    byte: Callable[[int, Numbers], Bytes] | None
    flat: Bytes | None = None


def encode(frame: pl.DataFrame, name: str, schema_id: int) -> list[bytes]:
    """Return the framed bytes of each record.

    Args:
        frame: n records: exactly the fields of the current schema called `name`, in any order,
            of the types `schemas.block.decode` returns; enums may be strings.
        name: The record, as in ``schemas/<name>.avsc``.
        schema_id: What the registry calls that schema.

    Raises:
        Unencodable: A column is missing, unknown, of another type, or holds what the field may
            not.
    """
    fields = layout(name)
    if set(frame.columns) != {field.name for field in fields}:
        odd = sorted(set(frame.columns) ^ {field.name for field in fields})
        raise Unencodable(f"{name} must have its schema's fields, missing or unknown: {odd}")
    count = len(frame)
    framing = np.tile(np.frombuffer(prefix(schema_id), np.uint8), count)
    pieces = [_Piece(np.full(count, 5), None, framing)]
    for field in fields:
        pieces += _field(frame[field.name], field, f"{name}.{field.name}")
    out, sizes = _assembled(pieces, count)
    ends = np.cumsum(sizes)
    whole = out.tobytes()
    return [
        whole[start:end] for start, end in zip((ends - sizes).tolist(), ends.tolist(), strict=True)
    ]


def _assembled(pieces: list[_Piece], count: int) -> tuple[Bytes, Numbers]:
    """Return all records in one array, and the size of each."""
    sizes = np.zeros(count, np.int64)
    for piece in pieces:
        sizes += piece.sizes
    at = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    for piece in pieces:
        if piece.flat is not None:
            inside = np.cumsum(piece.sizes) - piece.sizes
            out[np.arange(len(piece.flat)) + np.repeat(at - inside, piece.sizes)] = piece.flat
        elif piece.byte is not None:
            rows = np.flatnonzero(piece.sizes)
            for k in range(int(piece.sizes.max(initial=0))):
                rows = rows[piece.sizes[rows] > k]
                out[at[rows] + k] = piece.byte(k, rows)
        at += piece.sizes
    return out, sizes


def _field(column: pl.Series, field: Field, path: str) -> Iterator[_Piece]:
    column = _checked(column, field, path)
    present = column.is_not_null().to_numpy()
    if field.optional:
        yield _bytes(present.astype(np.uint8) * 2)
    for piece in _values(column, field, path):
        if present.all():
            yield piece
        else:
            yield piece._replace(sizes=piece.sizes * present)


def _checked(column: pl.Series, field: Field, path: str) -> pl.Series:
    dtype = field.dtype()
    if field.kind is Kind.ENUM and column.dtype == pl.String:
        odd = column.filter(~column.is_in(field.symbols))
        if len(odd):
            raise Unencodable(f"{path} must be one of {field.symbols}, was {odd[0]!r}")
        column = column.cast(dtype)
    if column.dtype != dtype:
        raise Unencodable(f"{path} must be a column of {dtype}, was {column.dtype}")
    if column.has_nulls() and not field.optional:
        raise Unencodable(f"{path} must not be null, is null in {column.null_count()} records")
    return column


def _values(column: pl.Series, field: Field, path: str) -> Iterator[_Piece]:  # noqa: C901 - one case a kind
    match field.kind:
        case Kind.STRING:
            yield from _sized(*_text(column))
        case Kind.BYTES:
            yield from _sized(*_binary(column))
        case Kind.DECIMAL if column.dtype == pl.Binary:
            yield from _sized(*_binary(_shortest(column, field, path)))
        case Kind.DECIMAL:
            yield from _decimal(column.to_physical().fill_null(0))
        case Kind.STRINGS:
            yield from _strings(column, path)
        case Kind.DOUBLE:
            doubles = column.drop_nulls().to_numpy().astype("<f8").view(np.uint8)
            yield _Piece(np.full(len(column), 8), None, doubles)
        case Kind.BOOLEAN:
            yield _bytes(column.fill_null(value=False).to_numpy().astype(np.uint8))
        case Kind.TIME:
            times = column.to_physical().drop_nulls()
            odd = times.filter(~times.is_between(YEARS_US.start, YEARS_US.stop, closed="left"))
            if len(odd):
                raise Unencodable(f"{path} must be within years 1 to 9999, was {odd[0]} us")
            yield _number(column.to_physical())
        case Kind.ENUM:
            yield _number(column.to_physical())
        case _:
            yield _number(column)


def _bytes(values: Bytes) -> _Piece:
    return _Piece(np.ones(len(values), np.int64), lambda _, rows: values[rows])


def _number(column: pl.Series) -> _Piece:
    return _varint(column.fill_null(0).cast(pl.Int64).to_numpy())


def _varint(numbers: Numbers) -> _Piece:
    shifted = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    sizes = np.ones(len(numbers), np.int64)
    left = shifted >> np.uint64(7)
    while left.any():
        sizes += left > 0
        left = left >> np.uint64(7)

    def byte(k: int, rows: Numbers) -> Bytes:
        group = (shifted[rows] >> np.uint64(7 * k)).astype(np.uint8) & np.uint8(_SEVEN_BITS)
        more = np.where(sizes[rows] > k + 1, _MORE, 0).astype(np.uint8)
        both: Bytes = (group | more).astype(np.uint8)
        return both

    return _Piece(sizes, byte)


def _sized(flat: Bytes, sizes: Numbers) -> Iterator[_Piece]:
    yield _varint(sizes)
    yield _Piece(sizes, None, flat)


def _text(column: pl.Series) -> tuple[Bytes, Numbers]:
    sizes = column.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
    joined = column.str.join("").item() or ""
    return np.frombuffer(joined.encode(), np.uint8), sizes


def _binary(column: pl.Series) -> tuple[Bytes, Numbers]:
    sizes = column.bin.size().fill_null(0).cast(pl.Int64).to_numpy()
    return np.frombuffer(b"".join(column.drop_nulls()), np.uint8), sizes


def _shortest(column: pl.Series, field: Field, path: str) -> pl.Series:
    """Return wide decimals, few and one by one, in the bytes `schemas.record` writes."""
    limit = 10**field.precision
    shortest = []
    for held in column:
        unscaled = int.from_bytes(held or b"", "big", signed=True)
        if held is not None and not (held and abs(unscaled) < limit):
            raise Unencodable(f"{path} must be 1 to {field.precision} digits, was {held!r}")
        shortest.append(None if held is None else to_bytes(unscaled))
    return pl.Series(shortest, dtype=pl.Binary)


def _strings(column: pl.Series, path: str) -> Iterator[_Piece]:
    """One part of all items, if any, then the closing count of 0."""
    counts = column.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    filled = counts > 0
    if filled.any():
        items = column.filter(filled).explode()
        if items.has_nulls():
            raise Unencodable(f"{path} must hold texts, holds null")
        flat, sizes = _assembled(list(_sized(*_text(items))), len(items))
        ends = np.concatenate(([0], np.cumsum(sizes)))[np.cumsum(counts)]
        yield _varint(counts)._replace(sizes=_varint(counts).sizes * filled)
        yield _Piece(np.diff(ends, prepend=0), None, flat)
    yield _bytes(np.zeros(len(counts), np.uint8))


def _decimal(unscaled: pl.Series) -> Iterator[_Piece]:
    """The shortest two's complement: its length, then its bytes from the highest."""
    word = pl.lit(1 << 64, dtype=pl.Int128)
    value = pl.col("value")
    magnitude = pl.when(value < 0).then(-1 - value).otherwise(value)
    parts = pl.DataFrame({"value": unscaled}).select(
        size=((128 - magnitude.bitwise_leading_zeros().cast(pl.Int64)) // 8 + 1),
        high=(value // word).cast(pl.Int64),
        low=(value - value // word * word).cast(pl.UInt64),
    )
    sizes = parts["size"].to_numpy()
    high, low = parts["high"].to_numpy(), parts["low"].to_numpy()

    def byte(k: int, rows: Numbers) -> Bytes:
        shift = 8 * (sizes[rows] - 1 - k)
        is_high = shift >= 64  # noqa: PLR2004 - bits of a word
        upper = high[rows] >> np.where(is_high, shift - 64, 0)
        lower = low[rows] >> np.where(is_high, 0, shift).astype(np.uint64)
        return np.where(is_high, upper.view(np.uint64), lower).astype(np.uint8)

    yield _varint(sizes)
    yield _Piece(sizes, byte)
