"""Times as venues write them, and what fits none."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.times import OLDEST_NS, UNITS_NS, YOUNGEST_NS, Instant, Unit, instant

AT_US = 1_700_000_000_123_456


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_700_000_000, Instant(1_700_000_000_000_000)),
        (1_700_000_000_123, Instant(1_700_000_000_123_000)),
        (AT_US, Instant(AT_US)),
        (1_700_000_000_123_456_789, Instant(AT_US, 789)),
        (1_700_000_000_123_456_000, Instant(AT_US, 0)),
        ("1700000000123", Instant(1_700_000_000_123_000)),
        ("1700000000.123456", Instant(AT_US)),
        (1700000000.123456, Instant(AT_US)),
        (Decimal("1700000000123.456789"), Instant(AT_US, 789)),
        ("2023-11-14T22:13:20.123456Z", Instant(AT_US)),
        ("2023-11-14 22:13:20,123456+00:00", Instant(AT_US)),
        ("2023-11-15T03:43:20.123456789+05:30", Instant(AT_US, 789)),
        ("2023-11-14T17:13:20.1234560-0500", Instant(AT_US, 0)),
        ("2023-11-14T22:13:20Z", Instant(1_700_000_000_000_000)),
        ("2023-11-14T22:13z", Instant(1_699_999_980_000_000)),
        (datetime(2023, 11, 14, 22, 13, 20, 123456, UTC), Instant(AT_US)),
    ],
)
def test_an_instant_is_read_in_every_form(value: object, expected: Instant) -> None:
    assert instant(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        631_151_999,  # 1989-12-31T23:59:59 in s
        4_102_444_800,  # 2100-01-01 in s
        0,
        -1_700_000_000,
        17_000_000_000_000_000_000_000,
        "yesterday",
        "",
        "1989-12-31T23:59:59.999999999Z",
        "2100-01-01T00:00:00Z",
        "2023-11-14T22:13:20",  # no offset: whose clock?
        "2023-02-30T00:00:00Z",
        "2023-11-14T22:13:60Z",
        "2023-11-14",
        "0001-01-01T00:00:00+23:59",
        True,
        None,
        float("nan"),
        float("inf"),
        Decimal("1e999999"),
        "1_700_000_000",
        "\u0661700000000",
        datetime(2023, 11, 14),  # noqa: DTZ001 - that is the point
        "1700000000.1234567891",
        "2023-11-14T22:13:20.1234567891Z",
    ],
)
def test_what_fits_no_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        instant(value)


def test_zeros_beyond_the_nanosecond_are_no_digits() -> None:
    assert instant("2023-11-14T22:13:20.123456789000Z") == Instant(AT_US, 789)


def test_the_venues_rule_wins_over_the_magnitude() -> None:
    assert instant(1_700_000_000_123, "ms") == Instant(1_700_000_000_123_000)
    with pytest.raises(ValueError, match=r"^must be Unix us between 1990 and 2100$"):
        instant(1_700_000_000_123, "us")


@given(st.integers(OLDEST_NS, YOUNGEST_NS - 1), st.sampled_from(list(UNITS_NS)))
def test_the_unit_of_every_number_is_found_by_its_magnitude(ns: int, unit: Unit) -> None:
    number = -(-ns // UNITS_NS[unit])  # up, to stay at or after 1990
    if number * UNITS_NS[unit] < YOUNGEST_NS:
        found = instant(number)

        assert found.us * 1000 + (found.rest_ns or 0) == number * UNITS_NS[unit]
        assert instant(number, unit) == found


@given(
    st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)),  # noqa: DTZ001
    st.integers(-18 * 60, 18 * 60),
)
def test_iso_means_the_same_with_any_offset(at: datetime, minutes: int) -> None:
    aware = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert instant(aware.isoformat()) == instant(aware)
    assert instant(aware.isoformat()).moment() == aware
