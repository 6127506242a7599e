"""Write quality and raw offset into encoded ticks, without decoding them.

They are a tick's last two fields, and a producer leaves them 0 and null: its last two bytes.
`schemas.grammar` refuses numbers with spare bytes, so an accepted tick that ends in two zero bytes
holds exactly that.
"""

from collections.abc import Sequence
from functools import cache

from schemas.record import RecordCodec
from schemas.registry import built_in
from schemas.wire import prefix

_UNSET = b"\x00\x00"
_LOW_BITS = 13
_LOW = (1 << _LOW_BITS) - 1


def stamp(
    values: Sequence[bytes | None],
    qualities: Sequence[int],
    raw_offsets: Sequence[int],
    codec: RecordCodec | None = None,
) -> list[bytes]:
    """Return the ticks with their last two fields set.

    Args:
        values: n framed ticks, each accepted by a decoder. Those of another schema, or with
            other last fields than 0 and null, are decoded and encoded again.
        qualities: n quality bit sets, >= 0.
        raw_offsets: n offsets in ticks.raw.v1, >= 0.
        codec: Of ticks; to be given where the registry is not the one built in.

    Raises:
        Undecodable: A value that had to be decoded is no tick.
    """
    codec = codec or _built_in_codec()
    current = prefix(codec.schema_id)
    flags = {quality: _varint(quality << 1) + b"\x02" for quality in set(qualities)}
    low = _low_groups()
    high = {at: _varint(at) for at in {offset >> _LOW_BITS for offset in raw_offsets}}
    return [
        value[:-2]
        + flags[quality]
        + (
            low[offset & _LOW] + high[offset >> _LOW_BITS]
            if offset > _LOW
            else _varint(offset << 1)
        )
        if value is not None and value[-2:] == _UNSET and value[:5] == current
        else _rewritten(value, quality, offset, codec)
        for value, quality, offset in zip(values, qualities, raw_offsets, strict=True)
    ]


def _rewritten(value: bytes | None, quality: int, raw_offset: int, codec: RecordCodec) -> bytes:
    return codec.encode({**codec.decode(value), "quality": quality, "raw_offset": raw_offset})


@cache
def _low_groups() -> list[bytes]:
    """Return the first two bytes of an offset's zigzag varint, by its low 13 bits."""
    return [bytes((n << 1 & 0x7F | 0x80, n >> 6 | 0x80)) for n in range(_LOW + 1)]


@cache
def _built_in_codec() -> RecordCodec:
    return RecordCodec("tick", built_in())


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
