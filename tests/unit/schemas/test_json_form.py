from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hot_guards import rank
from schemas.json_form import Kind, fields, microseconds, moment, plain

INT64 = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("100.500000000000", "100.5"),
        ("0E-12", "0"),
        ("-0.0", "0"),
        ("1E-12", "0.000000000001"),
        ("-7", "-7"),
    ],
)
def test_decimals_are_plain(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@given(st.decimals(places=12, min_value=-(10**20), max_value=10**20))
def test_a_decimal_survives_as_text(value: Decimal) -> None:
    assert Decimal(plain(value)) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_as_microseconds(time: datetime) -> None:
    assert moment(microseconds(time)) == time


def test_a_time_is_exact_where_a_float_is_not() -> None:
    assert microseconds(datetime(2225, 1, 1, 0, 0, 0, 1, UTC)) == 8_047_036_800_000_001


def test_fields_come_from_the_contract_in_its_order() -> None:
    found = fields("bar")

    assert next(iter(found)) == "symbol"
    assert (found["vwap"], found["open_time"]) == (Kind.DECIMAL, Kind.TIME)
    assert (found["reason"], found["is_final"]) == (Kind.TEXT, Kind.PLAIN)


@given(st.tuples(INT64, INT64), st.tuples(INT64, INT64))
def test_ranks_compare_as_text_as_their_integers_do(
    one: tuple[int, int], other: tuple[int, int]
) -> None:
    assert (rank(*one) < rank(*other)) == (one < other)


def test_a_rank_has_twenty_digits_a_part() -> None:
    """The scripts cut members at 40."""
    assert {len(rank(low, high)) for low in (-(2**63), 0) for high in (0, 2**63 - 1)} == {40}
