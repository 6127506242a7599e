"""One table between what venues and brokers write and our names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.symbols import VENUES, at_venue, canonical

NAMES = st.one_of(
    st.from_regex(r"[A-Z0-9._/-]{1,32}", fullmatch=True),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["BTC", "XBT", "XXBT", "XDG", "ETH", "EUR", "XETH", "NKN", "USD"]),
            st.sampled_from(["", "/", "-", "_", "."]),
            st.sampled_from(["USDT", "USD", "ZUSD", "EUR", "FDUSD", "XBT", "BTC", "PERP"]),
        ),
    ),
)


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [
        ("BINANCE", "BTCUSDT"),
        ("KRAKEN", "XBT/USDT"),
        ("OKX", "BTC-USDT"),
        ("GATE", "BTC_USDT"),
        ("BITSTAMP", "btcusdt"),
        ("SOMEWHERE", "BTCUSDT"),
        ("SOMEWHERE", "XBT-USDT"),
        ("KRAKEN", "BTC/USDT"),
    ],
)
def test_every_venues_name_of_a_pair_is_one(venue: str, symbol: str) -> None:
    assert canonical(symbol, venue) == "BTC/USDT"


@pytest.mark.parametrize("symbol", ["EURUSD", "EUR/USD", "EUR_USD", "EUR-USD", "EUR.USD"])
def test_every_brokers_name_of_a_currency_pair_is_one(symbol: str) -> None:
    assert canonical(symbol, "ANY") == "EUR/USD"


@pytest.mark.parametrize(
    ("venue", "symbol", "expected"),
    [
        ("KRAKEN", "XXBTZUSD", "BTC/USD"),
        ("KRAKEN", "XDG/EUR", "DOGE/EUR"),
        ("KRAKEN", "KSM/XBT", "KSM/BTC"),
        ("BINANCE", "NKNUSDT", "NKN/USDT"),
        ("BINANCE", "BTCFDUSD", "BTC/FDUSD"),
        ("COINBASE", "SKL-GBP", "SKL/GBP"),
        ("OANDA", "XAU_USD", "XAU/USD"),
    ],
)
def test_a_venues_own_codes_and_lists_are_known(venue: str, symbol: str, expected: str) -> None:
    assert canonical(symbol, venue) == expected


@pytest.mark.parametrize(
    "symbol",
    ["SPY", "BRK.B", "BF-B", "BTC-PERP", "ES_Z6", "NKNUSDT", "SIM01/USD", "USDUSD", "aapl"],
)
def test_a_name_the_table_does_not_know_passes_unchanged(symbol: str) -> None:
    assert canonical(symbol, "NYSE") == symbol


@pytest.mark.parametrize(
    ("venue", "expected"),
    [
        ("BINANCE", "BTCUSDT"),
        ("KRAKEN", "XBT/USDT"),
        ("OKX", "BTC-USDT"),
        ("GATE", "BTC_USDT"),
        ("BITSTAMP", "btcusdt"),
        ("IBKR", "BTC.USDT"),
        ("NOWHERE", "BTC/USDT"),
    ],
)
def test_our_name_is_written_as_the_venue_writes_it(venue: str, expected: str) -> None:
    assert at_venue("BTC/USDT", venue) == expected
    assert at_venue("SPY", venue) == "SPY"


@given(NAMES, st.sampled_from([*VENUES, "NOWHERE"]))
def test_a_canonical_name_is_its_own_canonical_name(symbol: str, venue: str) -> None:
    """Or normalization would reroute a tick for ever."""
    name = canonical(symbol, venue)

    assert canonical(name, venue) == name


@given(st.sampled_from(["BTC/USDT", "DOGE/EUR", "EUR/USD", "ETH/BTC"]), st.sampled_from([*VENUES]))
def test_there_and_back_is_the_same_name(symbol: str, venue: str) -> None:
    assert canonical(at_venue(symbol, venue), venue) == symbol
