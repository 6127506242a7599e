from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.record import RecordCodec
from schemas.registry import built_in
from schemas.stamp import stamp
from schemas.wire import Undecodable, frame
from tests.unit.schemas.records import records, tick
from tests.unit.schemas.traps import TRAPS

TICK = RecordCodec("tick", built_in())


@settings(max_examples=80, deadline=None)
@given(records("tick"), st.integers(0, (1 << 31) - 1), st.integers(0, 1 << 62))
def test_a_stamped_tick_is_the_tick_encoded_with_both_fields(
    record: dict[str, Any], quality: int, raw_offset: int
) -> None:
    stamped = stamp([TICK.encode(record)], [quality], [raw_offset])

    assert stamped == [TICK.encode({**record, "quality": quality, "raw_offset": raw_offset})]


@pytest.mark.parametrize("raw_offset", [0, 1, 63, 64, 8191, 8192, 8193, 1 << 20, (1 << 63) - 1])
def test_offsets_of_every_length_are_stamped(raw_offset: int) -> None:
    stamped = stamp([TICK.encode(tick())], [5], [raw_offset])

    assert TICK.decode(stamped[0]) == tick(quality=5, raw_offset=raw_offset)


def test_each_tick_gets_its_own() -> None:
    ticks = [tick(sequence=n) for n in range(200)]
    qualities = [n % 7 for n in range(200)]
    offsets = list(range(8_100, 8_300))

    stamped = stamp([TICK.encode(one) for one in ticks], qualities, offsets)

    assert [TICK.decode(value) for value in stamped] == [
        {**one, "quality": quality, "raw_offset": offset}
        for one, quality, offset in zip(ticks, qualities, offsets, strict=True)
    ]


def test_what_a_producer_put_into_both_fields_is_replaced() -> None:
    value = TICK.encode(tick(quality=3, raw_offset=9_000))

    assert stamp([value], [0], [10_000]) == stamp([TICK.encode(tick())], [0], [10_000])


@pytest.mark.parametrize("trap", [trap for trap in TRAPS.values() if trap.reason is None])
def test_a_tick_written_in_another_way_is_stamped_all_the_same(trap: Any) -> None:
    stamped = stamp([trap.value], [1], [10_000])

    before = TICK.decode(trap.value)
    assert TICK.decode(stamped[0]) == {**before, "quality": 1, "raw_offset": 10_000}


def test_what_is_no_tick_of_this_registry_is_not_stamped() -> None:
    with pytest.raises(Undecodable):
        stamp([frame(77, TICK.encode(tick())[5:])], [0], [10_000])


def test_values_and_stamps_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="zip"):
        stamp([TICK.encode(tick())], [0, 1], [10_000])
