from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.packed import PADDING, Packed, pack
from schemas.record import RecordCodec
from schemas.registry import built_in, current
from schemas.stamp import stamp, stamped
from schemas.wire import Undecodable, frame, prefix
from tests.unit.schemas.records import records, tick
from tests.unit.schemas.traps import TRAPS

TICK = RecordCodec("tick", built_in())


@settings(max_examples=40, deadline=None)
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
    with pytest.raises(ValueError, match="must be as many, were 1, 2 and 1"):
        stamp([TICK.encode(tick())], [0, 1], [10_000])


def test_rows_of_a_block_are_stamped_and_the_block_is_left_as_it_was() -> None:
    """Taken in any order, between values that cannot be stamped as they are."""
    known = TICK.encode(tick(sequence=1, quality=2, raw_offset=3))
    held = [TICK.encode(tick(sequence=0)), None, known, b"poison", TICK.encode(tick(sequence=4))]
    block = pack(held)

    found = stamped(block.take(np.array([4, 2, 0])), np.array([9, 8, 7], np.int32), [600, 500, 400])

    assert [TICK.decode(value) for value in found] == [
        tick(sequence=4, quality=9, raw_offset=600),
        tick(sequence=1, quality=8, raw_offset=500),
        tick(sequence=0, quality=7, raw_offset=400),
    ]
    assert int(found.ends.max()) + PADDING <= len(found.buffer)
    assert list(block) == held


@pytest.mark.parametrize("quality", [0, 63, 64, 8191, 8192, (1 << 31) - 1])
def test_columns_of_numbers_are_stamped_read_only_too(quality: int) -> None:
    qualities, offsets = np.array([quality, 1]), np.array([1 << 62, 0])
    qualities.flags.writeable = offsets.flags.writeable = False
    record = TICK.encode(tick())

    assert list(stamped(pack([record, record]), qualities, offsets)) == stamp(
        [record, record], [quality, 1], [1 << 62, 0]
    )
    assert TICK.decode(stamp([record], qualities[:1], offsets[:1])[0]) == tick(
        quality=quality, raw_offset=1 << 62
    )


@pytest.mark.parametrize("stamps", [([-1], [0]), ([0], [-1])])
def test_stamps_below_0_are_refused(stamps: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="must be >= 0, were -1"):
        stamp([TICK.encode(tick())], *stamps)


def test_what_ends_as_a_tick_might_but_is_none_is_not_stamped() -> None:
    """A frame and two zeros is the shortest that could be one; less is not looked at."""
    whole = TICK.encode(tick())
    for value in (None, b"", b"\0\0", whole[:5], whole[:5] + b"\0"):
        with pytest.raises(Undecodable):
            stamp([value], [0], [10_000])


def test_a_frame_that_ends_in_zeros_is_no_tick() -> None:
    class Registry:
        def id_of(self, name: str) -> int:
            return {"tick": 1 << 16}[name]

        def writer(self, schema_id: int) -> dict[str, Any]:
            return {1 << 16: current("tick")}[schema_id]

    codec = RecordCodec("tick", Registry())

    with pytest.raises(Undecodable):
        stamp([prefix(1 << 16)], [0], [10_000], codec)


def test_a_value_beyond_the_buffer_is_not_stamped() -> None:
    one = pack([TICK.encode(tick())])
    for by in (-1, len(one.buffer), 1 << 40):
        with pytest.raises(Undecodable):
            stamped(Packed(one.buffer, one.starts + by, one.ends + by), [0], [0])


def test_no_values_are_no_stamped_values() -> None:
    assert stamp([], [], []) == []
