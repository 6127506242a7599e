import struct
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.block import Bad, Decoded, decode, encode
from schemas.layout import layout
from schemas.record import RecordCodec
from schemas.registry import built_in, names
from schemas.values import YEARS_US
from schemas.wire import MAX_BYTES, REASONS, Undecodable, Unencodable, frame
from tests.unit.schemas.records import EPOCH, mutated, records, tick
from tests.unit.schemas.traps import TRAPS, Trap

REGISTRY = built_in()
TICK = RecordCodec("tick", REGISTRY)
CODECS = {name: RecordCodec(name, REGISTRY) for name in names()}


def rows(decoded: Decoded, name: str = "tick") -> dict[int, dict[str, Any]]:
    """Return the good records by row, as the record codec would."""
    wide = [field for field in layout(name) if field.dtype() != decoded.frame[field.name].dtype]
    assert wide == []
    found = {}
    for record in decoded.frame.to_dicts():
        if name == "bar":
            unscaled = int.from_bytes(record["notional"], "big", signed=True)
            record["notional"] = Decimal((unscaled < 0, _digits(unscaled), -24))
        found[record.pop("row")] = record
    return found


def _digits(number: int) -> tuple[int, ...]:
    return tuple(map(int, str(abs(number))))


def alone(value: bytes | None, name: str = "tick") -> dict[str, Any] | str:
    """Return what the record codec says: the record, or the reason why it is none."""
    try:
        return CODECS[name].decode(value)
    except Undecodable as error:
        return error.reason


def comparable(record: dict[str, Any] | str) -> object:
    """Return a record in which a NaN equals itself."""
    if isinstance(record, str):
        return record
    return {k: struct.pack("d", v) if isinstance(v, float) else v for k, v in record.items()}


@pytest.mark.parametrize("name", names())
def test_both_codecs_write_the_same_bytes_and_read_the_same_records(name: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(st.lists(records(name), max_size=5))
    def holds(written: list[dict[str, Any]]) -> None:
        values = [CODECS[name].encode(record) for record in written]
        decoded = decode(values, name, REGISTRY)
        assert decoded.bad == []
        assert list(rows(decoded, name).values()) == written
        assert encode(decoded.frame.drop("row"), name, CODECS[name].schema_id) == values

    holds()


@pytest.mark.parametrize("name", ["tick", "bar", "anomaly", "late_tick"])
def test_both_codecs_agree_on_broken_bytes_and_neighbours_are_untouched(name: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(records(name), records(name), st.data())
    def holds(whole: dict[str, Any], other: dict[str, Any], data: st.DataObject) -> None:
        good, broken = CODECS[name].encode(whole), CODECS[name].encode(other)
        for _ in range(data.draw(st.integers(1, 3))):
            broken = mutated(broken, data)
        decoded = decode([good, broken, good], name, REGISTRY)
        found = rows(decoded, name)
        assert found[0] == found[2] == whole
        reasons: dict[int, Any] = {bad.row: bad.reason for bad in decoded.bad}
        together = found[1] if 1 in found else reasons[1]
        assert comparable(together) == comparable(alone(broken, name))

    holds()


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS.keys())
def test_a_trap_is_judged_alike_by_both_codecs(trap: Trap) -> None:
    good = TICK.encode(tick())
    decoded = decode([good, trap.value, good], "tick", REGISTRY)
    found = rows(decoded)

    assert found[0] == found[2] == tick()
    if trap.reason:
        assert [(bad.row, bad.reason) for bad in decoded.bad] == [(1, trap.reason)]
        assert alone(trap.value) == trap.reason
    else:
        assert decoded.bad == []
        assert alone(trap.value) == found[1] == tick() | (trap.holds or {})


def test_rows_name_the_place_in_the_block() -> None:
    values = [TICK.encode(tick(sequence=n)) for n in range(5)]
    values[1] = values[3] = b"poison"

    decoded = decode(values, "tick", REGISTRY)

    assert decoded.frame["row"].to_list() == [0, 2, 4]
    assert decoded.frame["sequence"].to_list() == [0, 2, 4]
    assert decoded.bad == [
        Bad(row, "wrong_magic", "first byte must be 0x00, was 0x70") for row in (1, 3)
    ]


def test_an_error_that_keeps_the_total_length_is_found() -> None:
    """One record a byte short, the next a byte long: joined, they would decode."""
    values = [TICK.encode(tick(sequence=n)) for n in range(4)]
    values[1], values[2] = values[1][:-1], values[1][-1:] + values[2]

    decoded = decode(values, "tick", REGISTRY)

    assert [bad.row for bad in decoded.bad] == [1, 2] or alone(values[2]) != "wrong_magic"
    assert set(rows(decoded)) == {0, 3}


def test_no_values_are_no_rows_of_the_same_columns() -> None:
    empty = decode([], "tick", REGISTRY)
    one = decode([TICK.encode(tick())], "tick", REGISTRY)

    assert len(empty.frame) == 0
    assert empty.frame.schema == one.frame.schema


@pytest.mark.parametrize("name", names())
def test_columns_have_the_schemas_types(name: str) -> None:
    schema = decode([], name, REGISTRY).frame.schema

    assert list(schema) == [*(field.name for field in layout(name)), "row"]
    assert all(schema[field.name] == field.dtype() for field in layout(name))
    assert schema["row"] == pl.UInt32


def test_random_bytes_are_refused_with_a_reason_of_the_set() -> None:
    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(max_size=120).map(lambda tail: b"\0\0\0\0\x01" + tail), max_size=8))
    def holds(values: list[bytes]) -> None:
        decoded = decode(values, "tick", REGISTRY)
        assert {bad.reason for bad in decoded.bad} <= REASONS
        assert len(decoded.bad) + len(decoded.frame) == len(values)

    holds()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (pl.lit(1).alias("colour"), "unknown: .'colour'."),
        (pl.col("price").cast(pl.Float64), "tick.price must be a column of Decimal"),
        (pl.col("price").cast(pl.Decimal(38, 6)), "tick.price must be a column of Decimal"),
        (pl.lit(None, pl.String).alias("venue"), "tick.venue must not be null"),
        (pl.lit("BUY").alias("action"), "tick.action must be one of .* was 'BUY'"),
        (pl.lit([None], pl.List(pl.String)).alias("conditions"), "conditions must hold texts"),
        (
            pl.lit(YEARS_US.stop).cast(pl.Datetime("us", "UTC")).alias("event_time"),
            "tick.event_time must be within years 1 to 9999",
        ),
    ],
)
def test_columns_a_schema_refuses_are_refused_by_name(change: pl.Expr, says: str) -> None:
    frame = decode([TICK.encode(tick())], "tick", REGISTRY).frame.drop("row")

    with pytest.raises(Unencodable, match=says):
        encode(frame.with_columns(change), "tick", 1)


@pytest.mark.parametrize("byte", [2, 3, 255])
def test_a_boolean_is_0_or_1(byte: int) -> None:
    """Fastavro takes 2 for true, polars for false."""
    late = CODECS["late_tick"].encode(
        {
            **{name: tick()[name] for name in ("symbol", "venue", "event_time", "price", "size")},
            "open_time": EPOCH, "stream_time": EPOCH, "revised": True,
            "source_partition": 0, "tick_offset": 0,
        }
    )  # fmt: skip
    assert late[-3:] == b"\x01\x00\x00"
    broken = late[:-3] + bytes([byte]) + late[-2:]

    decoded = decode([late, broken], "late_tick", REGISTRY)

    assert [(bad.row, bad.reason) for bad in decoded.bad] == [(1, "not_avro")]
    assert alone(broken, "late_tick") == "not_avro"


def test_enums_may_be_columns_of_text() -> None:
    values = [TICK.encode(tick(action=action)) for action in ("CANCEL", "NEW")]
    frame = decode(values, "tick", REGISTRY).frame.drop("row")

    assert encode(frame.with_columns(pl.col("action").cast(pl.String)), "tick", 1) == values


def test_a_time_before_1970_is_a_time() -> None:
    value = TICK.encode(tick(event_time=EPOCH.replace(year=1)))

    assert rows(decode([value], "tick", REGISTRY))[0]["event_time"].year == 1


def test_no_registry_is_asked_about_a_value_that_is_too_large() -> None:
    """It may not answer, and the value is refused whatever it would say."""

    class Silent:
        def id_of(self, name: str) -> int:
            return REGISTRY.id_of(name)

        def writer(self, schema_id: int) -> dict[str, Any]:
            raise ConnectionError(f"{schema_id} was asked for")

    with pytest.raises(ConnectionError):
        decode([frame(99, b"")], "tick", Silent())

    decoded = decode([frame(99, bytes(MAX_BYTES))], "tick", Silent())

    assert [(bad.row, bad.reason) for bad in decoded.bad] == [(0, "too_large")]
