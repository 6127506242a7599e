"""Rows of JSON and CSV as ticks: exact, or refused with thing, rule and value."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.incoming import FIELDS, decimal, tick
from app.errors import InvalidTick

NOW_US = 1_700_000_060_000_000


def row(**changes: object) -> dict[str, object]:
    """A trade; a field given as None is left out."""
    whole = {
        "venue": "KRAKEN",
        "symbol": "XBT/USDT",
        "event_time": "2023-11-14T22:13:20Z",
        "price": "37000.10",
        "size": "0.5",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def read(**changes: object) -> dict[str, Any]:
    return tick(row(**changes), now_us=NOW_US)


def refusal(**changes: object) -> str:
    with pytest.raises(InvalidTick) as caught:
        read(**changes)
    return str(caught.value)


def test_a_row_becomes_a_whole_record() -> None:
    record = read()

    assert tuple(record) == FIELDS
    assert record["symbol"] == "BTC/USDT"
    assert record["event_time"] == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert record["ingest_time"] == datetime(2023, 11, 14, 22, 14, 20, tzinfo=UTC)
    assert (record["price"], record["size"]) == (Decimal("37000.10"), Decimal("0.5"))
    assert (record["bid"], record["sequence"], record["trade_id"]) == (None, None, None)
    assert (record["action"], record["conditions"], record["source"]) == ("NEW", [], "")
    assert (record["quality"], record["raw_offset"]) == (0, None)


def test_the_venue_may_be_given_for_a_whole_file() -> None:
    record = tick(row(venue=None, symbol="BTCUSDT"), venue="BINANCE", now_us=NOW_US)

    assert (record["venue"], record["symbol"]) == ("BINANCE", "BTC/USDT")
    assert refusal(venue=None) == "venue is missing"


def test_what_is_finer_than_a_microsecond_orders_the_tick() -> None:
    assert read(event_time=1_700_000_000_123_456_789)["sequence"] == 789
    assert read(event_time=1_700_000_000_123_456_789, sequence="5")["sequence"] == 5
    assert read(event_time=1_700_000_000_123_456)["sequence"] is None


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        ("0.123456789012", "0.123456789012"),
        ("1.5000000000000000", "1.5"),
        ("1e-12", "1e-12"),
        (0.1, "0.1"),
        (3, "3"),
        (Decimal("2.50"), "2.50"),
        ("+.5", "0.5"),
    ],
)
def test_a_decimal_is_taken_exactly(value: object, exact: str) -> None:
    assert read(size=value)["size"] == Decimal(exact)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("0.1234567890123", "must have at most 12 fractional digits"),
        (0.1 + 0.2, "must have at most 12 fractional digits"),
        ("1e-9999", "must have at most 12 fractional digits"),
        ("1" + 26 * "0", "must have at most 38 digits, 12 of them fractional"),
        ("1e9999", "must have at most 38 digits, 12 of them fractional"),
        ("1000000000000001", "must be at most 1e15"),
        ("-0.1", "must be at least 0"),
        ("NaN", "must be a decimal"),
        (float("nan"), "must be a finite decimal"),
        (Decimal("Infinity"), "must be a finite decimal"),
        ("1,5", "must be a decimal"),
        ("0x10", "must be a decimal"),
        ("\u0661", "must be a decimal"),
        (True, "must be a decimal"),
        ([1], "must be a decimal"),
    ],
)
def test_a_decimal_that_does_not_fit_is_refused_never_rounded(value: object, rule: str) -> None:
    assert refusal(size=value).startswith(f"size {rule}, was ")


def test_a_price_is_above_zero_and_a_size_at_least_zero() -> None:
    assert refusal(price="0") == "price must be above 0, was '0'"
    assert read(size="0")["size"] == 0
    assert read(price="1000000000000000")["price"] == 10**15


def test_a_tick_has_a_trade_part_or_a_quote_part() -> None:
    neither = "tick must have a trade part or a quote part, had neither"
    assert refusal(price=None, size=None) == neither
    assert refusal(price=None) == "price must be there beside size, was missing"
    assert refusal(size=None) == "size must be there beside price, was missing"
    assert read(price=None, size=None, bid="1")["bid"] == 1
    assert read(bid="2", ask="1")["ask"] == 1, "a crossed quote is flagged later, not refused"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"symbol": None}, "symbol is missing"),
        ({"symbol": "BTC USDT"}, "symbol must match ^[A-Z0-9._/-]{1,32}$, was 'BTC USDT'"),
        ({"symbol": "SPY\n"}, "symbol must match ^[A-Z0-9._/-]{1,32}$, was 'SPY\\n'"),
        ({"symbol": 5}, "symbol must match ^[A-Z0-9._/-]{1,32}$, was 5"),
        ({"venue": "kraken"}, "venue must match ^[A-Z0-9_]{1,32}$, was 'kraken'"),
        ({"event_time": None}, "event_time is missing"),
        ({"pricee": "1"}, "'pricee' is no field of a tick"),
        ({"sequence": "1.5"}, "sequence must be a whole number of 64 bits, was '1.5'"),
        ({"sequence": 2**63}, f"sequence must be a whole number of 64 bits, was {2**63}"),
        ({"action": "BUST"}, "action must be one of NEW, CORRECT, CANCEL, was 'BUST'"),
        ({"action": "CANCEL"}, "trade_id must name the trade that CANCEL changes, was null"),
        ({"conditions": 7}, "conditions must be an array of text, was 7"),
        ({"trade_id": "\ud800"}, "trade_id must be Unicode text without NUL, was '\\ud800'"),
        ({"source": "a\0"}, "source must be Unicode text without NUL, was 'a\\x00'"),
        ({"quality": 3}, "quality must be left to normalization, was 3"),
    ],
)
def test_a_refusal_names_the_thing_the_rule_and_the_value(
    changes: dict[str, object], message: str
) -> None:
    assert refusal(**changes) == message


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refusal(price="9" * 10_000)) < 200


def test_empty_text_is_null_because_csv_has_no_other() -> None:
    assert read(trade_id="", bid="", sector="")["trade_id"] is None


def test_conditions_come_as_an_array_or_as_text() -> None:
    assert read(conditions=["@", "T"])["conditions"] == ["@", "T"]
    assert read(conditions="@|T")["conditions"] == ["@", "T"]
    assert read(conditions='["@", "T|I"]')["conditions"] == ["@", "T|I"]


def test_a_trade_id_may_be_a_number() -> None:
    assert read(trade_id=12)["trade_id"] == "12"


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 24))
def test_every_decimal_is_kept_or_refused(unscaled: int, scale: int) -> None:
    value = Decimal(f"{unscaled}E-{scale}")
    fits = unscaled % 10 ** max(0, scale - 12) == 0 and abs(unscaled) < 10 ** (26 + scale)

    for form in (value, str(value), f"{value:f}"):
        if fits:
            assert decimal(form) == value
        else:
            with pytest.raises(ValueError, match=r"^must have at most"):
                decimal(form)


VALUES = st.one_of(
    st.text("0123456789.:-+TZeE[]|\0 \ud800", max_size=24), st.integers(), st.floats()
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_row_is_read_or_refused_with_a_reason(given_row: dict[str, object]) -> None:
    """Nothing else may come out: the row is somebody's file."""
    with suppress(InvalidTick):
        assert tuple(tick(row(**given_row), now_us=NOW_US)) == FIELDS
