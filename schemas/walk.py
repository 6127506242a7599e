"""Find the fields of many records, each from its own start: a wrong length shifts no neighbour.

Plain is narrower than legal: what is not plain here (an array in several parts, a 16-byte decimal)
may still be a record, and is judged by `schemas.grammar`. What is plain is legal, and polars reads
it as fastavro does; texts aside, unless they must be ASCII: UTF-8 is not checked here.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.columns import Sizes
from schemas.compiled import compiled
from schemas.layout import Field, Kind
from schemas.packed import Bytes, Packed, Positions
from schemas.wire import MAX_BYTES, prefix

Marks = npt.NDArray[np.bool_]

_STRING, _STRINGS, _BYTES, _INT, _LONG, _DOUBLE, _BOOLEAN, _DECIMAL, _ENUM = range(9)
_CODES = {
    Kind.STRING: _STRING,
    Kind.STRINGS: _STRINGS,
    Kind.BYTES: _BYTES,
    Kind.INT: _INT,
    Kind.LONG: _LONG,
    Kind.TIME: _LONG,
    Kind.DOUBLE: _DOUBLE,
    Kind.BOOLEAN: _BOOLEAN,
    Kind.DECIMAL: _DECIMAL,
    Kind.ENUM: _ENUM,
}
_MOST_ITEMS = 15
_MOST_INT_BYTES = 4
_MOST_DECIMAL_BYTES = 15
"""No decimal of 15 bytes has more than 38 digits."""

_FAR = 1 << 62
"""Beyond the end of any record."""
_WORD_BYTES = 8
_BEHIND_BYTES = 1 + _WORD_BYTES
"""Of what follows a record, a branch or a count and a word may be read."""
_FRAME_BYTES = 5
_FRAME = (1 << 8 * _FRAME_BYTES) - 1
_PRESENT = 2
"""Zigzag 1, the second branch of an optional field."""
_BYTE, _SEVEN_BITS, _EVEN, _MORE_OR_ODD = 0xFF, 0x7F, 0x7E, 0x81

# Words are signed: numba would make a float of an unsigned one and a position. But a signed sum may
# not overflow.
_SEVENS = 0x7F7F7F7F7F7F7F7F
_TOPS = ~_SEVENS
_ONE, _ONES, _TOP_BYTE = np.uint64(1), np.uint64(0x0101010101010101), np.uint64(56)


class Shape(NamedTuple):
    """What the records of one schema are made of.

    Attributes:
        frame: Their first five bytes, as a little-endian number.
        kinds: By field, one of the codes above.
        optional: By field, whether it may be null.
        lasts: By field, the highest byte an enum's index may be.
    """

    frame: int
    kinds: Bytes
    optional: Marks
    lasts: Bytes


class Walked(NamedTuple):
    """What a walk over n records found.

    Attributes:
        is_plain: By record.
        numbers: As in `schemas.columns.Columns` where the record is plain, else anything. (fields,
            n), or (fields, 0) where they were not asked for.
        sizes: Likewise.
    """

    is_plain: Marks
    numbers: Positions
    sizes: Sizes


def shape(fields: tuple[Field, ...], schema_id: int) -> Shape:
    """Return what to look for in records of a schema."""
    return Shape(
        int.from_bytes(prefix(schema_id), "little"),
        np.array([_CODES[field.kind] for field in fields], np.uint8),
        np.array([field.optional for field in fields], np.bool_),
        np.array([min(2 * max(len(field.symbols) - 1, 0), _EVEN) for field in fields], np.uint8),
    )


def walk(values: Packed, of: Shape, *, ascii_only: bool, kept: bool) -> Walked:
    """Tell which values are plain records of one schema, and where their fields are.

    Args:
        values: n values: framed records, or anything else.
        of: What each should be made of.
        ascii_only: Whether a text with a byte above 127 makes a record not plain.
        kept: Whether numbers and sizes are wanted.
    """
    count = len(values)
    room = len(of.kinds), count if kept else 0
    found = Walked(np.empty(count, np.bool_), np.empty(room, np.int64), np.empty(room, np.int32))
    where = values.buffer, values.starts, values.ends
    _walk(*where, of.frame, of.kinds, of.optional, of.lasts, MAX_BYTES, ascii_only, *found)
    return found


@compiled
def _walk(  # noqa: C901, PLR0912, PLR0913 - a call with an array costs as much as a field
    buffer: Bytes,
    starts: Positions,
    ends: Positions,
    frame: int,
    kinds: Bytes,
    optional: Marks,
    lasts: Bytes,
    most_bytes: int,
    ascii_only: bool,
    is_plain: Marks,
    numbers: Positions,
    sizes: Sizes,
) -> None:
    kept = numbers.shape[1] == len(starts)
    for row in range(len(starts)):
        is_plain[row] = False
        at, end = starts[row], ends[row]
        if at < 0 or end > len(buffer) - _BEHIND_BYTES:
            continue
        if not _FRAME_BYTES <= end - at <= most_bytes or _word(buffer, at) & _FRAME != frame:
            continue
        at += _FRAME_BYTES
        for field in range(len(kinds)):
            # A field may begin at the end. What is read there is padding or a neighbour, and as no
            # field is without bytes, it ends beyond the end.
            kind = kinds[field]
            if optional[field]:
                branch = _word(buffer, at) & _BYTE
                at += 1
                if branch == 0:
                    if kept:
                        numbers[field, row] = 0
                        sizes[field, row] = -1
                    continue
                if branch != _PRESENT:
                    break
            if kind == _STRINGS:
                number = at
                at = _strings(buffer, at, end, ascii_only)
                size = at - number
            else:
                at, number, size = _value(_word(buffer, at), at, kind, lasts[field])
            if at > end:
                break
            if ascii_only and kind == _STRING and not _is_ascii(buffer, number, at):
                break
            if kept:
                numbers[field, row] = number
                sizes[field, row] = size
        else:
            is_plain[row] = at == end


@compiled
def _value(  # noqa: C901, PLR0911 - one case a kind
    word: int, at: int, kind: int, last: int
) -> tuple[int, int, int]:
    """Return where a value ends, `_FAR` away if it is not plain, its number and its size."""
    first = word & _BYTE
    if kind in (_STRING, _BYTES):
        width, size = _length(word)
        begin = at + width
        return begin + size, begin, size
    if kind == _LONG:
        width, number = _long(word)
        return at + width, number, 0
    if kind == _DECIMAL:
        size = first >> 1
        if first & 1 or size == 0 or size > _MOST_DECIMAL_BYTES:
            return _FAR, 0, 0
        return at + 1 + size, at + 1, size
    if kind == _ENUM:
        if first & 1 or first > last:
            return _FAR, 0, 0
        return at + 1, first >> 1, 0
    if kind == _INT:
        width, number = _long(word)
        if width > _MOST_INT_BYTES:
            return _FAR, 0, 0
        return at + width, number, 0
    if kind == _BOOLEAN:
        if first > 1:
            return _FAR, 0, 0
        return at + 1, first, 0
    return at + _WORD_BYTES, word, 0


@compiled
def _strings(buffer: Bytes, at: int, end: int, ascii_only: bool) -> int:
    """Return where an array of texts ends, `_FAR` away if it is not plain."""
    count = _word(buffer, at) & _BYTE
    at += 1
    if count == 0:
        return at
    if count & 1 or count > 2 * _MOST_ITEMS:
        return _FAR
    for _ in range(count >> 1):
        width, size = _length(_word(buffer, at))
        begin = at + width
        at = begin + size
        if at > end or (ascii_only and not _is_ascii(buffer, begin, at)):
            return _FAR
    if _word(buffer, at) & _BYTE != 0:
        return _FAR
    return at + 1


@compiled
def _length(word: int) -> tuple[int, int]:
    """Return how many bytes a length takes, `_FAR` if it is not plain, and the length."""
    if word & _MORE_OR_ODD == 0:
        return 1, (word & _BYTE) >> 1
    width, size = _long(word)
    if width > _MOST_INT_BYTES or size < 0:
        return _FAR, 0
    return width, size


@compiled
def _long(word: int) -> tuple[int, int]:
    """Return how many bytes a varint takes, `_FAR` if over 8 or one to spare, and its number.

    8 bytes are enough for any time before the year 2600.
    """
    stops = np.uint64(~word & _TOPS)
    below = (stops & ~stops + _ONE) - _ONE
    width = int(np.int64((below & _ONES) * _ONES >> _TOP_BYTE))
    if stops == 0 or (width > 1 and word >> 8 * (width - 1) & _SEVEN_BITS == 0):
        return _FAR, 0
    # Groups of 7 bits, joined to 14, 28 and 56.
    held = word & int(np.int64(below)) & _SEVENS
    held = (held & 0x007F007F007F007F) | (held & 0x7F007F007F007F00) >> 1
    held = (held & 0x00003FFF00003FFF) | (held & 0x3FFF00003FFF0000) >> 2
    held = (held & 0x000000000FFFFFFF) | (held & 0x0FFFFFFF00000000) >> 4
    return width, held >> 1 ^ -(held & 1)


@compiled
def _is_ascii(buffer: Bytes, at: int, end: int) -> bool:
    while at + _WORD_BYTES <= end:
        if _word(buffer, at) & _TOPS != 0:
            return False
        at += _WORD_BYTES
    rest = (1 << 8 * (end - at)) - 1
    return _word(buffer, at) & rest & _TOPS == 0


@compiled
def _word(buffer: Bytes, at: int) -> int:
    """Return eight bytes as a little-endian number: compiled, one load."""
    word = np.int64(0)
    for n in range(_WORD_BYTES):
        # Unsigned, or numba would look for a negative index, and LLVM not see the word.
        word |= np.int64(buffer[np.uint64(at + n)]) << 8 * n
    return int(word)
