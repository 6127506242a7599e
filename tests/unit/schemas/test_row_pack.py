"""Rows are packed as fastavro writes the same records, byte for byte."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.bars import Bar, BarRow, bar_row
from schemas.record import RecordCodec
from schemas.registry import built_in, current
from schemas.row_pack import RowPacker
from schemas.wire import Unencodable

REGISTRY = built_in()
PACKER, CODEC = RowPacker("bar", REGISTRY), RecordCodec("bar", REGISTRY)
WIDEST = 10**38 - 1

decimals = st.integers(-WIDEST, WIDEST) | st.sampled_from(
    [0, 1, -1, 127, 128, -128, -129, 255, 256, 1 << 63, -(1 << 63), WIDEST, -WIDEST]
)
longs = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-200, 20_000)
ints = st.integers(-(1 << 31), (1 << 31) - 1)
times = st.integers(0, 4_000_000_000_000_000)
flags = st.booleans()
rows = st.builds(
    BarRow,
    symbol=st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    venue=st.sampled_from(["KRAKEN", "XNYS"]),
    timeframe=st.sampled_from(["M1", "D1"]),
    open_time=times, close_time=times,
    open=st.none() | decimals, high=st.none() | decimals,
    low=st.none() | decimals, close=st.none() | decimals,
    volume=decimals, notional=decimals, vwap=st.none() | decimals,
    trades=longs, revision=ints,
    reason=st.sampled_from(next(
        field["type"]["symbols"] for field in current("bar")["fields"] if field["name"] == "reason"
    )),
    is_final=flags, complete=flags, partial=flags,
    late=longs, source_partition=ints, first_offset=longs, last_offset=longs,
    duplicates=longs, quotes=longs,
)  # fmt: skip


@settings(deadline=None)
@given(rows)
def test_a_row_is_packed_as_its_record_is_written(row: BarRow) -> None:
    assert PACKER.pack(row) == CODEC.encode(row.record())


def row(**fields: Any) -> BarRow:
    """Return a boring bar with these fields."""
    bar = Bar(0, None, None, 1, 1, 1, 1, 1, 1, 1, 0, 0)
    return bar_row(bar, "S", "V", "M1", 60_000_000, partition=0, partial=False)._replace(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"volume": WIDEST + 1}, "bar.volume must be within"),
        ({"open": -WIDEST - 1}, "bar.open must be within"),
        ({"last_offset": 1 << 63}, "bar.last_offset must be within"),
        ({"revision": 1 << 31}, "bar.revision must be within"),
        ({"reason": "because"}, "bar.reason must be one of"),
    ],
)
def test_what_its_field_may_not_hold_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Unencodable, match=said):
        PACKER.pack(row(**fields))


def test_a_row_has_all_its_fields() -> None:
    with pytest.raises(ValueError, match="zip"):
        PACKER.pack(row()[:-1])


def test_the_mean_price_is_rounded_half_to_even() -> None:
    """As exchanges' own decimals are; a tie goes to the even digit."""
    from app.domain.bars import _mean  # noqa: PLC0415

    assert [_mean(n, 2) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]
    dice = random.Random(1)
    for _ in range(1_000):
        notional, volume = dice.randrange(10**40), dice.randrange(1, 10**20)
        assert abs(2 * (_mean(notional, volume) * volume - notional)) <= volume
