"""Write quality and raw offset into encoded ticks, without decoding them.

They are a tick's last two fields, and a producer leaves them 0 and null: its last two bytes.
`schemas.grammar` refuses numbers with spare bytes, so an accepted tick that ends in two zero bytes
holds exactly that.
"""

from collections.abc import Sequence
from functools import cache
from typing import cast

import numpy as np
import numpy.typing as npt

from schemas.compiled import compiled
from schemas.packed import PADDING, Bytes, Packed, Positions, pack
from schemas.record import RecordCodec
from schemas.registry import built_in
from schemas.wire import prefix

Numbers = Sequence[int] | npt.NDArray[np.integer]

_FRAME_BYTES, _UNSET_BYTES = 5, 2
_PRESENT = 2
"""Zigzag 1, the second branch of an optional field."""
_MOST_STAMP_BYTES = 10 + 1 + 10


def stamp(
    values: Sequence[bytes | None],
    qualities: Numbers,
    raw_offsets: Numbers,
    codec: RecordCodec | None = None,
) -> list[bytes]:
    """Return the ticks as `stamped` does, each in an object of its own, as a producer wants them.

    Raises:
        Undecodable: A value that had to be decoded is no tick.
        ValueError: As for `stamped`.
    """
    packed = values if isinstance(values, Packed) else pack(values)
    return cast("list[bytes]", list(stamped(packed, qualities, raw_offsets, codec)))


def stamped(
    values: Packed, qualities: Numbers, raw_offsets: Numbers, codec: RecordCodec | None = None
) -> Packed:
    """Return the ticks with their last two fields set.

    Args:
        values: n framed ticks, each accepted by a decoder. Those of another schema, or with
            other last fields than 0 and null, are decoded and encoded again.
        qualities: n quality bit sets, >= 0.
        raw_offsets: n offsets in ticks.raw.v1, >= 0.
        codec: Of ticks; to be given where the registry is not the one built in.

    Raises:
        Undecodable: A value that had to be decoded is no tick.
        ValueError: The stamps are not as many as the values, or below 0.
    """
    codec = codec or _built_in_codec()
    # Copies, as compiled loops want arrays of one kind, and columns' are read-only.
    flags, offsets = (np.array(numbers, np.int64) for numbers in (qualities, raw_offsets))
    count = len(values)
    if not len(flags) == len(offsets) == count:
        counts = f"{count}, {len(flags)} and {len(offsets)}"
        raise ValueError(f"values, qualities and raw offsets must be as many, were {counts}")
    lowest = min(flags.min(initial=0), offsets.min(initial=0))
    if lowest < 0:
        raise ValueError(f"qualities and raw offsets must be >= 0, were {lowest}")
    size = int(np.maximum(values.ends - values.starts, 0).sum()) + count * _MOST_STAMP_BYTES
    out = Packed(
        np.empty(size + PADDING, np.uint8), np.empty(count, np.int64), np.empty(count, np.int64)
    )
    current = np.array(bytearray(prefix(codec.schema_id)))
    _stamp(*_arrays(values), current, flags, offsets, *_arrays(out))
    return _with_rewritten(out, values, flags, offsets, codec)


def _arrays(values: Packed) -> tuple[Bytes, Positions, Positions]:
    return values.buffer, values.starts, values.ends


def _with_rewritten(
    out: Packed, values: Packed, qualities: Positions, raw_offsets: Positions, codec: RecordCodec
) -> Packed:
    """Return what was stamped with what could not be, encoded again, behind it."""
    rows = np.flatnonzero(out.ends < out.starts)
    if not len(rows):
        return out
    rest = pack(
        codec.encode({**codec.decode(values[row]), "quality": quality, "raw_offset": offset})
        for row, quality, offset in zip(
            rows.tolist(), qualities[rows].tolist(), raw_offsets[rows].tolist(), strict=True
        )
    )
    behind = len(out.buffer)
    out.starts[rows], out.ends[rows] = rest.starts + behind, rest.ends + behind
    return Packed(np.concatenate((out.buffer, rest.buffer)), out.starts, out.ends)


@cache
def _built_in_codec() -> RecordCodec:
    return RecordCodec("tick", built_in())


@compiled
def _stamp(  # noqa: PLR0913 - compiled loops take arrays
    buffer: Bytes,
    starts: Positions,
    ends: Positions,
    frame: Bytes,
    qualities: Positions,
    raw_offsets: Positions,
    out: Bytes,
    out_starts: Positions,
    out_ends: Positions,
) -> None:
    """Write what can be stamped; the others are marked as None would be."""
    at = 0
    for row in range(len(starts)):
        begin, end = starts[row], ends[row]
        out_starts[row] = at
        if begin < 0 or end > len(buffer) or not _is_unset(buffer, begin, end, frame):
            out_ends[row] = at - 1
            continue
        # Unsigned, or numba would look for negative indices, one byte at a time.
        to, source = np.uint64(at), np.uint64(begin)
        for n in range(np.uint64(end - _UNSET_BYTES - begin)):
            out[to + n] = buffer[source + n]
        at = _varint(qualities[row], out, at + end - _UNSET_BYTES - begin)
        out[at] = _PRESENT
        at = _varint(raw_offsets[row], out, at + 1)
        out_ends[row] = at


@compiled
def _is_unset(buffer: Bytes, begin: int, end: int, frame: Bytes) -> bool:
    if end - begin < _FRAME_BYTES + _UNSET_BYTES:
        return False
    for n in range(_FRAME_BYTES):
        if buffer[begin + n] != frame[n]:
            return False
    return bool(buffer[end - 2] == 0 and buffer[end - 1] == 0)


@compiled
def _varint(number: int, out: Bytes, at: int) -> int:
    """Write a number >= 0 in zigzag and return where it ends."""
    group, left = (number & 0x3F) << 1, number >> 6
    while left > 0:
        out[at] = group | 0x80
        group, left = left & 0x7F, left >> 7
        at += 1
    out[at] = group
    return at + 1
