"""Which entry of the catalog decides for a series, and what it says."""

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain import symbols
from app.domain.catalog import Catalog, SeriesRules
from app.domain.catalog_file import load_catalog, parse
from app.domain.exchange_sessions import profile
from app.domain.sessions import ALWAYS, FX_WEEK

VENUES = "[venues.KRAKEN]\n[venues.GATE]\n[venues.OKX]\n"


def catalog(text: str) -> Catalog:
    return parse("test.toml", text)


def series(*entries: tuple[str, str, str]) -> Catalog:
    """Return a catalog whose entries (venue, symbol, empty) are told apart by `empty`."""
    return catalog(
        VENUES
        + "".join(
            f'[[series]]\nvenue = "{venue}"\nsymbol = "{symbol}"\nempty = "{empty}"\n'
            for venue, symbol, empty in entries
        )
    )


def test_what_the_catalog_says_nothing_of_has_todays_defaults() -> None:
    assert catalog("").rules("ANY", "SPY") == SeriesRules(
        profile=ALWAYS, anchored=False, empty="omit", grace_s={}, conditions="", clock="event",
        tick_size=None, contiguous=False, ticks=(), volumes=(), values=(), quotes=(),
        composite_of=(),
    )  # fmt: skip


def test_every_part_of_the_file_reaches_the_rules() -> None:
    rules = catalog("""
        [venues.DESK]
        contiguous_ids = true
        conditions = "us_equities"
        session = "XNYS"

        [[instruments]]
        venue = "DESK"
        symbol = "SPY"
        tick_size = "0.010"

        [[series]]
        venue = "DESK"
        symbol = "SPY"
        empty = "carry"
        grace = { M1 = "5s", D1 = "200ms" }
        clock = "ingest"
        anchored = true
        ticks = [1000, 50]
        volumes = ["100.0", 20]
        values = ["0.5"]
        quotes = ["mid", "bid"]
    """).rules("DESK", "SPY")

    assert rules == SeriesRules(
        profile=profile("XNYS"), anchored=True, empty="carry", grace_s={"M1": 5.0, "D1": 0.2},
        conditions="us_equities", clock="ingest", tick_size=Decimal("0.01"), contiguous=True,
        ticks=(1000, 50), volumes=(Decimal(100), Decimal(20)), values=(Decimal("0.5"),),
        quotes=("mid", "bid"), composite_of=(),
    )  # fmt: skip


def test_one_grace_for_all_is_under_the_empty_name() -> None:
    rules = catalog('[[series]]\nvenue = "*"\nsymbol = "*"\ngrace = "1.5m"').rules("A", "B")

    assert rules.grace_s == {"": 90.0}


def test_no_conditions_can_be_said_aloud() -> None:
    assert catalog('[venues.A]\nconditions = "none"').rules("A", "B").conditions == ""


def test_names_come_before_globs_and_then_the_first_entry() -> None:
    told = series(
        ("*", "*", "null"),
        ("*", "BTC/USD", "carry"),
        ("KRAKEN", "*", "null"),
        ("KRAKEN", "BTC/USD", "omit"),
    )

    assert told.rules("KRAKEN", "BTC/USD").empty == "omit"  # both names, though last
    assert told.rules("GATE", "BTC/USD").empty == "carry"  # one name before none
    assert told.rules("KRAKEN", "ETH/USD").empty == "null"
    tied = series(("*", "BTC/USD", "carry"), ("KRAKEN", "*", "null"))
    assert tied.rules("KRAKEN", "BTC/USD").empty == "carry"  # one name each: the first
    globs = series(("*", "*/USD", "carry"), ("*", "*", "null"))
    assert globs.rules("KRAKEN", "BTC/USD").empty == "carry"
    assert globs.rules("KRAKEN", "BTC/EUR").empty == "null"
    character = series(("KRAKE?", "BTC/US?", "carry"), ("*", "BTC/USD", "null"))
    assert character.rules("KRAKEN", "BTC/USD").empty == "null"


def test_one_entry_decides_and_what_it_leaves_out_is_the_default() -> None:
    rules = catalog(
        VENUES
        + '[[series]]\nvenue = "KRAKEN"\nsymbol = "*/USD"\nempty = "carry"\n'
        + '[[series]]\nvenue = "*"\nsymbol = "*"\nclock = "ingest"\nempty = "null"\n'
    ).rules("KRAKEN", "BTC/USD")

    assert (rules.empty, rules.clock) == ("carry", "event")


@pytest.mark.parametrize(
    ("glob", "symbol", "is_matched"),
    [
        ("*/USD", "BTC/USD", True),
        ("*/USD", "BTC/USDT", False),
        ("*", "BTC/USD", True),
        ("ES??", "ESZ6", True),
        ("ES??", "ESZ26", False),
        ("BTC/USD", "BTC/USD", True),
        ("BRK.B", "BRKXB", False),
        ("*BTC*", "BTC/USD", True),
    ],
)
def test_a_glob_stands_for_any_text_or_one_character(
    glob: str, symbol: str, is_matched: bool
) -> None:
    told = series(("KRAKEN", glob, "carry"))

    assert (told.rules("KRAKEN", symbol).empty == "carry") == is_matched


def test_an_instruments_session_comes_before_its_venues() -> None:
    told = catalog("""
        [venues.BROKER]
        session = "XLON"
        [[instruments]]
        venue = "BROKER"
        symbol = "*/*"
        session = "24x5"
        [[instruments]]
        venue = "BROKER"
        symbol = "VOD"
        tick_size = "0.01"
    """)

    assert told.rules("BROKER", "EUR/USD").profile is FX_WEEK
    assert told.rules("BROKER", "VOD").profile == profile("XLON")
    assert told.rules("BROKER", "AZN").profile == profile("XLON")
    assert told.rules("ELSEWHERE", "VOD").profile is ALWAYS


def test_a_composite_is_made_of_its_venues_trades() -> None:
    told = catalog(
        VENUES
        + '[[series]]\nvenue = "COMPOSITE"\nsymbol = "*/USD"\nof = ["KRAKEN", "GATE"]\n'
        + '[[series]]\nvenue = "WIDE"\nsymbol = "BTC/USD"\nof = ["OKX", "KRAKEN"]\n'
        + '[[instruments]]\nvenue = "COMPOSITE"\nsymbol = "*"\nsession = "24x5"\n'
    )

    assert told.rules("COMPOSITE", "BTC/USD").composite_of == ("KRAKEN", "GATE")
    assert told.rules("COMPOSITE", "BTC/USD").profile is FX_WEEK
    assert told.rules("COMPOSITE", "BTC/EUR").composite_of == ()
    assert told.rules("KRAKEN", "BTC/USD").composite_of == ()
    assert told.composites("KRAKEN", "BTC/USD") == ("COMPOSITE", "WIDE")
    assert told.composites("GATE", "BTC/USD") == ("COMPOSITE",)
    assert told.composites("GATE", "BTC/EUR") == ()
    assert told.composites("OKX", "ETH/USD") == ()
    assert told.composites("COMPOSITE", "BTC/USD") == ()


LISTED = catalog("""
    [venues.BINANCE]
    [venues.BINANCE.symbols]
    BTCUSDT_PERP = "BTC-PERP"
    "ETH/BTC" = "ETHXBT"
    FOO = "NKNUSDT"
    LTCUSD = "LTC.F"
""")
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9._/-]{1,12}", fullmatch=True),
    st.sampled_from(
        [
            "BTCUSDT_PERP",
            "BTC-PERP",
            "ETH/BTC",
            "ETHBTC",
            "ETHXBT",
            "FOO",
            "NKNUSDT",
            "BTCUSDT",
            "LTCUSD",
            "LTC.F",
        ]
    ),
)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSDT_PERP", "BTC-PERP"),
        ("BTCUSDT", "BTC/USDT"),  # not in the list: by the rule of all venues
        ("ETH/BTC", "ETHXBT"),
        ("ETHBTC", "ETHXBT"),  # as ETH/BTC, which is in the list
        ("ETHXBT", "ETHXBT"),  # the list gives it, so it is not renamed to ETH/BTC
        ("NKNUSDT", "NKNUSDT"),
        ("LTCUSD", "LTC.F"),
        ("LTC/USD", "LTC/USD"),
    ],
)
def test_a_venues_list_comes_before_the_rule_of_all_venues(symbol: str, expected: str) -> None:
    assert LISTED.canonical("BINANCE", symbol) == expected
    assert LISTED.canonical("KUCOIN", symbol) == symbols.canonical(symbol, "KUCOIN")


@given(NAMES, st.sampled_from(["BINANCE", "KRAKEN", "NOWHERE"]))
def test_a_canonical_name_is_its_own(symbol: str, venue: str) -> None:
    """Or normalization would reroute a tick for ever."""
    name = LISTED.canonical(venue, symbol)

    assert LISTED.canonical(venue, name) == name


SHIPPED = load_catalog(None)


@pytest.mark.parametrize("venue", ["KRAKEN", "SIM", "US", "NYSE", "TEST", "COINBASE", "ANY"])
@pytest.mark.parametrize("symbol", ["BTC/USD", "SPY", "EUR/USD"])
def test_the_catalog_that_ships_changes_nothing_for_venues_in_use(venue: str, symbol: str) -> None:
    assert SHIPPED.rules(venue, symbol) == SeriesRules(contiguous=venue in {"KRAKEN", "SIM"})


def test_the_catalog_that_ships_knows_exchanges_and_fx() -> None:
    assert SHIPPED.contiguous_venues == {"KRAKEN", "SIM"}
    assert SHIPPED.rules("XNAS", "AAPL") == SeriesRules(
        profile=profile("XNYS"), conditions="us_equities"
    )
    assert SHIPPED.rules("XHKG", "0700").profile == profile("XHKG")
    assert SHIPPED.rules("OANDA", "EUR/USD") == SeriesRules(
        profile=FX_WEEK, quotes=("bid", "ask", "mid")
    )
    assert SHIPPED.composites("KRAKEN", "BTC/USD") == ()


@settings(deadline=None)
@given(NAMES, st.sampled_from([*symbols.VENUES, "US", "SIM"]))
def test_the_catalog_that_ships_has_todays_names(symbol: str, venue: str) -> None:
    assert SHIPPED.canonical(venue, symbol) == symbols.canonical(symbol, venue)


def test_rules_are_made_once_a_series_and_can_be_keys() -> None:
    assert SHIPPED.rules("XNAS", "AAPL") is SHIPPED.rules("XNAS", "AAPL")
    assert len({SHIPPED.rules("KRAKEN", s) for s in ("BTC/USD", "ETH/USD", "XRP/USD")}) == 1


def test_a_catalog_is_read_without_any_schedule() -> None:
    program = (
        "import sys; from app.domain.catalog_file import load_catalog; "
        "load_catalog(None).rules('XNYS', 'SPY'); print('pandas' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "False"
