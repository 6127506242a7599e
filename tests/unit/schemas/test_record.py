from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from schemas.record import RecordCodec
from schemas.registry import built_in, names
from schemas.wire import Undecodable, Unencodable, frame
from tests.unit.schemas.records import records, tick

TICK = RecordCodec("tick", built_in())

GOLDEN = bytes.fromhex(
    "0000000001"  # byte 0, schema id 1
    "0c4b52414b454e"  # venue, 6 bytes: KRAKEN
    "0e4254432f555344"  # symbol, 7 bytes: BTC/USD
    "a0e2cf9ed9b48906"  # event_time, 1709546400250000 us
    "a0e2cf9ed9b48906"  # ingest_time
    "020e"  # sequence, present: 7
    "02043737"  # trade_id, present: 77
    "020c5b2d45a38400"  # price, present, 6 bytes: 100.25 / 1e-12
    "020c02ba7def3000"  # size, present, 6 bytes: 3 / 1e-12
    "00000000"  # bid, ask, bid_size, ask_size: null
    "00"  # action: NEW
    "00"  # conditions: none
    "0874657374"  # source, 4 bytes: test
    "00"  # sector: null
    "00"  # quality: 0
    "00"  # raw_offset: null
)


def test_a_tick_is_these_bytes() -> None:
    assert TICK.encode(tick()).hex() == GOLDEN.hex()
    assert TICK.decode(GOLDEN) == tick()


@pytest.mark.parametrize("name", names())
def test_what_is_encoded_is_decoded(name: str) -> None:
    codec = RecordCodec(name, built_in())

    @settings(max_examples=40, deadline=None)
    @given(records(name))
    def holds(record: dict[str, Any]) -> None:
        assert codec.decode(codec.encode(record)) == record

    holds()


def test_fields_with_a_default_may_be_left_out() -> None:
    record = tick()
    for field in ("action", "conditions", "quality", "raw_offset", "sector"):
        del record[field]

    assert TICK.decode(TICK.encode(record)) == tick()


def test_times_of_any_zone_are_the_same_instant() -> None:
    there = datetime(2024, 3, 4, 12, tzinfo=timezone(timedelta(hours=2)))

    decoded = TICK.decode(TICK.encode(tick(event_time=there)))

    assert decoded["event_time"] == datetime(2024, 3, 4, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"colour": 1}, r"missing \[\], unknown \['colour'\]"),
        ({"price": Decimal("1E-13")}, r"tick.price must have at most 12 digits after .* 1E-13"),
        ({"price": Decimal("1.0000000000001")}, r"tick.price .* was 1.0000000000001"),
        ({"price": Decimal(10) ** 26}, r"tick.price must have at most 26 digits before"),
        ({"price": Decimal("1E+999999")}, r"tick.price must have at most 26 digits before"),
        ({"price": Decimal("1E-999999")}, r"tick.price must have at most 12 digits after"),
        ({"price": Decimal("NaN")}, r"tick.price must be a finite number, was NaN"),
        ({"price": 1.5}, r"tick.price must be Decimal, was 1.5"),
        ({"sequence": True}, r"tick.sequence must be int, was True"),
        ({"sequence": 1 << 63}, r"tick.sequence must be within"),
        ({"quality": 1 << 31}, r"tick.quality must be within"),
        ({"event_time": datetime(2024, 1, 1)}, r"tick.event_time must have a time zone"),  # noqa: DTZ001
        ({"event_time": 5}, r"tick.event_time must be datetime, was 5"),
        ({"action": "BUY"}, r"tick.action must be one of .*, was 'BUY'"),
        ({"venue": None}, r"tick.venue must be str, was None"),
        ({"venue": "\ud800"}, r"tick.venue must be text UTF-8 can hold"),
        ({"conditions": ["@", 1]}, r"tick.conditions must be str, was 1"),
        ({"conditions": "@"}, r"tick.conditions must be list or tuple, was '@'"),
    ],
)
def test_what_a_field_may_not_hold_is_refused_by_name(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(Unencodable, match=says):
        TICK.encode(tick(**changed))


def test_a_missing_field_is_named() -> None:
    record = tick()
    del record["venue"]

    with pytest.raises(Unencodable, match=r"missing \['venue'\]"):
        TICK.encode(record)


def test_digits_at_the_limit_are_kept() -> None:
    most = Decimal("9" * 26 + "." + "9" * 12)

    decoded = TICK.decode(TICK.encode(tick(price=most, size=most.copy_negate())))

    assert (decoded["price"], decoded["size"]) == (most, most.copy_negate())


def test_trailing_zeros_are_no_digits() -> None:
    assert TICK.encode(tick(price="100.25000000000000000")) == GOLDEN


def test_a_record_of_another_name_is_no_tick() -> None:
    clock = RecordCodec("clock", built_in()).encode(
        {"time": datetime(2024, 1, 1, tzinfo=UTC), "source": "test"}
    )

    with pytest.raises(Undecodable, match=r"must be tapeline\.Tick, was tapeline\.Clock"):
        TICK.decode(clock)


def test_an_unknown_id_is_no_record() -> None:
    with pytest.raises(Undecodable, match=r"unknown_schema: .* was 4711"):
        TICK.decode(frame(4711, GOLDEN[5:]))
