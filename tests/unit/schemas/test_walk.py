"""The walk alone: behind it polars may read on into a neighbour without a word."""

import struct
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import grammar
from schemas.columns import Columns
from schemas.layout import Field, Kind, fields_of, layout
from schemas.packed import PADDING, Packed, pack
from schemas.record import RecordCodec
from schemas.registry import built_in, current, names
from schemas.walk import shape, walk
from schemas.wire import MAX_BYTES, Undecodable, frame
from tests.unit.schemas.records import AT, EPOCH, mutated, records, tick
from tests.unit.schemas.traps import TRAPS

CODECS = {name: RecordCodec(name, built_in()) for name in names()}
TICK = CODECS["tick"]
PAYLOADS = {
    name: trap.value[5:]
    for name, trap in TRAPS.items()
    if trap.value is not None and trap.value[:5] == b"\0\0\0\0\x01"
}
EDGES = [*range(10), *range(26, 36), *range(62, 67), *range(124, 132), 192, *range(252, 256)]
"""Bytes about the bounds of booleans, branches, indices, counts, lengths and varints."""
BORING: dict[Kind, Any] = {
    Kind.STRING: "AB",
    Kind.STRINGS: ["AB", "", "C"],
    Kind.BYTES: b"\xff\0",
    Kind.INT: 5,
    Kind.LONG: 300,
    Kind.DOUBLE: 1.5,
    Kind.BOOLEAN: True,
    Kind.TIME: AT,
    Kind.DECIMAL: Decimal(1),
}


def boring(name: str) -> dict[str, Any]:
    """Return a short record with every field present."""
    return {
        field.name: field.symbols[-1] if field.kind is Kind.ENUM else BORING[field.kind]
        for field in layout(name)
    }


def walked(values: Packed, name: str = "tick", *, ascii_only: bool = False) -> list[bool]:
    of = shape(layout(name), CODECS[name].schema_id)
    found = walk(values, of, ascii_only=ascii_only, kept=False)
    assert found.numbers.size == found.sizes.size == 0
    marks: list[bool] = found.is_plain.tolist()
    return marks


def is_plain(value: bytes | None, *, ascii_only: bool = False) -> bool:
    """Return what the walk says of a tick between two others."""
    between = TICK.encode(tick())
    marks = walked(pack([between, value, between]), ascii_only=ascii_only)
    assert marks[0] is marks[2] is True
    return marks[1]


def columns_of(values: list[bytes | None], name: str) -> tuple[list[bool], Columns]:
    packed = pack(values)
    of = shape(layout(name), CODECS[name].schema_id)
    found = walk(packed, of, ascii_only=True, kept=True)
    numbers = {field.name: number for number, field in enumerate(layout(name))}
    return found.is_plain.tolist(), Columns(packed, numbers, found.numbers, found.sizes)


def held(columns: Columns, field: Field, row: int) -> Any:  # noqa: PLR0911 - one return a kind
    """Return what the columns say of a field, as fastavro would without logical types."""
    number = int(columns.number(field.name)[row])
    size = int(columns.size(field.name)[row])
    if size < 0:
        assert number == 0
        return None
    content = columns.packed.buffer[number : number + size].tobytes()
    match field.kind:
        case Kind.STRING:
            return content.decode("ascii")
        case Kind.BYTES | Kind.DECIMAL:
            return content
        case Kind.STRINGS:
            return texts(content)
    assert size == 0
    match field.kind:
        case Kind.DOUBLE:
            return struct.unpack("<d", struct.pack("<q", number))[0]
        case Kind.BOOLEAN:
            return bool(number)
        case Kind.ENUM:
            return field.symbols[number]
    return number


def texts(array: bytes) -> list[str]:
    """Return the texts of an array of one part, each shorter than 64 bytes or of two sized so."""
    if array == b"\0":
        return []
    out, at = [], 1
    for _ in range(array[0] >> 1):
        size, at = array[at] & 0x7F, at + 1
        if array[at - 1] & 0x80:
            size, at = size | array[at] << 7, at + 1
        out.append(array[at : at + size // 2].decode("ascii"))
        at += size // 2
    assert array[at:] == b"\0"
    return out


def is_small(field: Field, value: Any) -> bool:  # noqa: PLR0911 - likewise
    """Say whether a value is among those that plain records hold."""
    match field.kind:
        case _ if value is None:
            return True
        case Kind.STRING:
            return bool(value.isascii())
        case Kind.STRINGS:
            return len(value) <= 15 and all(text.isascii() for text in value)
        case Kind.INT:
            return -(1 << 27) <= value < 1 << 27
        case Kind.LONG | Kind.TIME:
            return -(1 << 55) <= value < 1 << 55
        case Kind.DECIMAL:
            return 1 <= len(value) <= 15
    return True


def expected(value: bytes, name: str) -> dict[str, Any] | None:
    """Return the fields of a plain record, judged by fastavro and the grammar; None if it is not.

    Plain is what fastavro would have written, and only small values.
    """
    codec = CODECS[name]
    try:
        record = codec._avro(value)
    except Undecodable:
        return None
    if codec._framed(record) != value:
        return None
    small = all(is_small(field, record[field.name]) for field in layout(name))
    return record if small else None


def check(values: list[bytes], name: str) -> None:
    """Hold the walk against fastavro and the grammar, record by record."""
    marks, columns = columns_of([*values], name)
    for row, value in enumerate(values):
        record = expected(value, name)
        assert marks[row] == (record is not None)
        if record is not None:
            found = {field.name: held(columns, field, row) for field in layout(name)}
            assert repr(found) == repr(record)  # NaN and -0.0 by their texts


@pytest.mark.parametrize("name", names())
def test_a_record_is_plain_if_its_values_are_small_and_has_its_fields(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(records(name), max_size=4))
    def holds(written: list[dict[str, Any]]) -> None:
        check([CODECS[name].encode(record) for record in written], name)

    holds()


@pytest.mark.parametrize("name", names())
def test_broken_bytes_are_plain_if_they_are_the_bytes_of_another_record(name: str) -> None:
    @settings(max_examples=50, deadline=None)
    @given(records(name), records(name), st.data())
    def holds(whole: dict[str, Any], other: dict[str, Any], data: st.DataObject) -> None:
        good, broken = CODECS[name].encode(whole), CODECS[name].encode(other)
        for _ in range(data.draw(st.integers(1, 3))):
            broken = mutated(broken, data)
        check([good, broken, good], name)

    holds()


@pytest.mark.parametrize("name", names())
def test_any_byte_of_a_record_may_be_another(name: str) -> None:
    """Every kind of field at every bound."""
    whole = CODECS[name].encode(boring(name))
    assert expected(whole, name)

    for at in range(5, len(whole)):
        check([whole[:at] + bytes([byte]) + whole[at + 1 :] for byte in EDGES], name)


@pytest.mark.parametrize("name", names())
def test_a_record_ends_where_its_value_does(name: str) -> None:
    """Not where its bytes would, whose rest lies behind it in the buffer."""
    whole = CODECS[name].encode(boring(name))
    buffer = pack([whole, whole, whole]).buffer
    size = len(whole)
    for end in range(-1, 2 * size + 1):
        values = Packed(buffer, np.array([0, size]), np.array([end, 2 * size]))
        assert walked(values, name) == [end == size, True]


def test_a_value_that_is_not_in_the_buffer_is_not_plain() -> None:
    whole = TICK.encode(tick())
    one = pack([whole])

    before = pack([whole, whole]).buffer[len(whole) :]

    assert walked(one) == [True]
    assert walked(Packed(before, one.starts - len(whole), one.ends - len(whole))) == [False]
    for padding in range(PADDING):
        short = one.buffer[: len(whole) + padding]
        assert walked(Packed(short, one.starts, one.ends)) == [padding > 8]
    assert walked(Packed(one.buffer, one.starts + (1 << 40), one.ends + (1 << 40))) == [False]


def test_only_records_of_the_schema_asked_for_are_plain() -> None:
    whole = TICK.encode(tick())
    others = [b"\1" + whole[1:], frame(2, whole[5:]), frame(1 << 24 | 1, whole[5:]), b"", None]

    assert [is_plain(other) for other in (whole, *others)] == [True, *(False for _ in others)]


def test_a_value_over_the_limit_is_not_plain() -> None:
    around = len(TICK.encode(tick(trade_id="7" * (1 << 16)))) - (1 << 16)
    fits = TICK.encode(tick(trade_id="7" * (MAX_BYTES - around)))

    assert len(fits) == MAX_BYTES
    assert is_plain(fits)
    assert not is_plain(TICK.encode(tick(trade_id="7" * (MAX_BYTES - around + 1))))


def test_an_optional_array_and_an_enum_of_a_hundred_are_walked() -> None:
    """No schema of ours has them yet; a later writer's may."""
    symbols = [f"S{n}" for n in range(100)]
    texts_or_null = ["null", {"type": "array", "items": "string"}]
    fields = fields_of(
        {
            "fields": [
                {"name": "tags", "type": texts_or_null},
                {"name": "of", "type": {"type": "enum", "name": "Of", "symbols": symbols}},
            ]
        }
    )
    payloads = [b"\0\0", b"\2\0\0", b"\2\2\2a\0\x7e", b"\2\2\2a\1\0", b"\0\x80\1", b"\0\x80"]
    values = pack([frame(1, payload) for payload in payloads])

    found = walk(values, shape(fields, 1), ascii_only=True, kept=True)

    assert found.is_plain.tolist() == [True, True, True, False, False, False]
    assert found.sizes[:, :3].tolist() == [[-1, 1, 4], [0, 0, 0]]
    assert found.numbers[1, :3].tolist() == [0, 0, 63]


@pytest.mark.parametrize("length", range(27))
def test_every_byte_of_a_text_must_be_ascii(length: int) -> None:
    """Half of a letter, too: what is behind the text belongs to the next field."""
    whole = TICK.encode(tick(source="x" * length, sector="y"))
    begin = whole.index(b"x") if length else 0

    assert is_plain(whole, ascii_only=True)
    for at in range(begin, begin + length):
        changed = whole[:at] + b"\x80" + whole[at + 1 :]
        assert is_plain(changed)
        assert not is_plain(changed, ascii_only=True)


def test_an_array_of_fifteen_is_plain_and_of_sixteen_is_not() -> None:
    assert is_plain(TICK.encode(tick(conditions=["T"] * 15)))
    assert not is_plain(TICK.encode(tick(conditions=["T"] * 16)))


def test_a_text_of_less_than_no_bytes_is_not_plain() -> None:
    """A length of -1 would end before itself, and be read as the next field again."""
    whole = TICK.encode(tick(venue="", symbol="", event_time=EPOCH))
    assert whole[5:8] == b"\0\0\0"
    shared = whole[:5] + b"\1" + whole[8:]

    assert not is_plain(shared)
    with pytest.raises(Undecodable):
        TICK.decode(shared)


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_is_no_record_is_not_plain(name: str) -> None:
    """Texts aside, which are polars' to check."""
    if is_plain(TRAPS[name].value):
        reason = TRAPS[name].reason
        assert reason is None or "UTF-8" in name


def test_an_ordinary_tick_is_plain() -> None:
    """Or every block would go the slow way, and no other test would tell."""
    full = dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), "1.5")
    ordinary = tick(**full, conditions=["@", "T"], sector="x" * 100, quality=5, raw_offset=1 << 40)

    assert is_plain(TICK.encode(tick()), ascii_only=True)
    assert is_plain(TICK.encode(ordinary), ascii_only=True)


def test_a_text_beyond_ascii_is_plain_unless_ascii_is_asked_for() -> None:
    value = TICK.encode(tick(source="é", conditions=["é"]))

    assert is_plain(value)
    assert not is_plain(value, ascii_only=True)


def test_the_grammar_refuses_what_the_record_codec_refuses() -> None:
    for name, payload in PAYLOADS.items():
        if TRAPS[name].reason in {"not_avro", "truncated", "trailing_bytes"}:
            with pytest.raises(Undecodable):
                grammar.check(payload, current("tick"))
