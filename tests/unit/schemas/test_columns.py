"""Columns against the frame of the same block: whoever reads either sees the same records."""

import struct
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.block import columns, decode
from schemas.columns import Columns
from schemas.layout import Field, Kind, layout
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in, names
from schemas.wire import frame
from tests.unit.schemas.records import AT, EPOCH, records, tick
from tests.unit.schemas.traps import TRAPS

REGISTRY = built_in()
CODECS = {name: RecordCodec(name, REGISTRY) for name in names()}
TICK = CODECS["tick"]


def of(values: list[bytes | None], name: str = "tick") -> Columns | None:
    return columns(pack(values), name, REGISTRY)


def column(found: Columns, field: Field) -> list[Any]:
    """Return a field's values as polars' physical ones."""
    numbers, sizes = found.number(field.name), found.size(field.name)
    assert (numbers[sizes < 0] == 0).all()
    whole = found.packed.buffer.tobytes()
    return [
        None if size < 0 else value(field, number, whole[number : number + size])
        for number, size in zip(numbers.tolist(), sizes.tolist(), strict=True)
    ]


def value(field: Field, number: int, content: bytes) -> Any:  # noqa: PLR0911 - one return a kind
    match field.kind:
        case Kind.STRING:
            return content.decode("ascii")
        case Kind.STRINGS:
            # The texts, their lengths and the frame of the array; as bytes here.
            return content
        case Kind.BYTES:
            return content
        case Kind.DECIMAL if field.dtype() == pl.Binary:
            return content
        case Kind.DECIMAL:
            return int.from_bytes(content, "big", signed=True)
        case Kind.BOOLEAN:
            return bool(number)
        case Kind.DOUBLE:
            return struct.unpack("<d", struct.pack("<q", number))[0]
    return number


def in_frame(frame: pl.DataFrame, field: Field) -> list[Any]:
    series = frame[field.name]
    if field.kind is Kind.STRINGS:
        return [array(texts) for texts in series.to_list()]
    return series.to_physical().to_list()


def array(texts: list[str]) -> bytes:
    """Return texts as Avro has them, fewer and shorter than 64."""
    items = b"".join(bytes([2 * len(text)]) + text.encode() for text in texts)
    return (bytes([2 * len(texts)]) + items if texts else b"") + b"\0"


def small(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of records that are plain and ASCII."""
    return st.fixed_dictionaries({field.name: small_value(field) for field in layout(name)})


def small_value(field: Field) -> st.SearchStrategy[Any]:
    text = st.text(st.characters(max_codepoint=127), max_size=20)
    held: dict[Kind, st.SearchStrategy[Any]] = {
        Kind.STRING: text | text.map(lambda text: text + "x" * 70),
        Kind.STRINGS: st.lists(text, max_size=15),
        Kind.BYTES: st.binary(max_size=70),
        Kind.INT: st.integers(-(1 << 27), (1 << 27) - 1),
        Kind.LONG: st.integers(-(1 << 55), (1 << 55) - 1) | st.integers(-70, 70),
        Kind.DOUBLE: st.floats(allow_nan=False),
        Kind.BOOLEAN: st.booleans(),
        Kind.TIME: st.datetimes(datetime(1901, 1, 1), datetime(2599, 1, 1)).map(  # noqa: DTZ001 - UTC is put in
            lambda at: at.replace(tzinfo=EPOCH.tzinfo)
        ),
        Kind.DECIMAL: st.integers(-(1 << 119), (1 << 119) - 1).map(
            lambda unscaled: Decimal(
                (unscaled < 0, tuple(map(int, str(abs(unscaled)))), -field.scale)
            )
        ),
        Kind.ENUM: st.sampled_from(field.symbols or ("",)),
    }
    return st.none() | held[field.kind] if field.optional else held[field.kind]


@pytest.mark.parametrize("name", names())
def test_columns_hold_what_the_frame_holds(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(small(name), max_size=5))
    def holds(written: list[dict[str, Any]]) -> None:
        packed = pack([CODECS[name].encode(record) for record in written])
        found, decoded = columns(packed, name, REGISTRY), decode(packed, name, REGISTRY)
        assert found is not None
        assert len(found) == len(written)
        assert found.packed is packed
        assert list(found.names) == [field.name for field in layout(name)]
        for field in layout(name):
            assert repr(column(found, field)) == repr(in_frame(decoded.frame, field))

    holds()


@pytest.mark.parametrize("name", names())
def test_columns_are_given_or_not_but_never_differ(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(st.lists(records(name), max_size=3))
    def holds(written: list[dict[str, Any]]) -> None:
        packed = pack([CODECS[name].encode(record) for record in written])
        found, decoded = columns(packed, name, REGISTRY), decode(packed, name, REGISTRY)
        for field in layout(name) if found is not None else ():
            assert repr(column(found, field)) == repr(in_frame(decoded.frame, field))

    holds()


def test_a_trade_is_found_as_it_is() -> None:
    trade = tick(
        sequence=-9, price="-0.000000000001", conditions=["@", "T"], action="CANCEL", sector=""
    )
    found = of([TICK.encode(tick()), TICK.encode(trade)])

    assert found is not None
    at_us = int((AT - EPOCH).total_seconds() * 1_000_000)
    assert found.number("event_time").tolist() == [at_us, at_us]
    assert found.number("sequence").tolist() == [7, -9]
    assert found.number("action").tolist() == [0, 2]
    assert found.number("raw_offset").tolist() == [0, 0]
    assert found.size("raw_offset").tolist() == [-1, -1]
    assert found.size("sector").tolist() == [-1, 0]
    assert found.size("price").tolist() == [6, 1]
    assert found.packed.buffer[found.number("price")[1]] == 0xFF
    assert found.size("conditions").tolist() == [1, 6]
    assert found.numbers.flags.c_contiguous
    assert (found.numbers.dtype, found.sizes.dtype) == ("i8", "i4")


@pytest.mark.parametrize(
    "other",
    [
        None,
        b"",
        frame(2, TICK.encode(tick())[5:]),
        TICK.encode(tick(source="é")),
        TICK.encode(tick(conditions=["é"])),
        TICK.encode(tick(sequence=1 << 60)),
        TICK.encode(tick())[:-1],
    ],
)
def test_one_value_that_is_not_plain_leaves_the_block_to_the_decoder(other: bytes | None) -> None:
    good = TICK.encode(tick())

    assert of([good, good]) is not None
    assert of([good, other, good]) is None


def test_no_trap_is_in_columns_but_those_the_record_codec_reads() -> None:
    given = {name: of([trap.value]) is not None for name, trap in TRAPS.items()}

    assert {name for name, is_given in given.items() if is_given} <= {
        name for name, trap in TRAPS.items() if trap.reason is None
    }


def test_no_values_are_columns_of_none() -> None:
    found = of([])

    assert found is not None
    assert found.numbers.shape == found.sizes.shape == (len(layout("tick")), 0)
