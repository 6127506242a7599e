"""Probes are told apart by their prices, and what is read off them is what was seen."""

from decimal import Decimal

import pytest

from app.api.outbox import THROTTLE
from app.domain.incoming import tick
from app.domain.simulator import symbol_names
from app.errors import ConfigError
from app.partitions import partition_of
from schemas.json_form import jsonable
from tests.bench.latency import figures, rates_of
from tests.bench.probes import VENUE, Probes, number_of

TWO = Probes(("A/USD", "B/USD"))
MOST = 100_000
"""Probes of one run: 100 a second for a quarter of an hour."""


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1_234, MOST])
def test_a_probe_is_known_by_its_price_as_stores_and_streams_write_it(n: int) -> None:
    record = tick(TWO.tick(n, 1_700_000_000_000_000), now_us=1_700_000_000_000_000)

    price = record["bid"] if TWO.is_quote(n) else record["price"]
    stored = price.quantize(Decimal("1e-12"))
    written = jsonable("tick", {**record, "price": stored})["price"]

    assert (number_of(price), number_of(stored), number_of(written)) == (n, n, n)
    assert record["symbol"] == TWO.symbols[n % 2]


def test_each_symbol_has_quotes_and_trades_by_turns_and_ids_without_holes() -> None:
    ticks = [TWO.tick(n, 1) for n in range(12)]

    of_a = [each for each in ticks if each["symbol"] == "A/USD"]
    assert ["bid" in each for each in of_a] == [True, False] * 3
    assert [each["trade_id"] for each in of_a if "price" in each] == ["0", "1", "2"]


def test_no_throttle_holds_a_probe_quote_back() -> None:
    """The next quote of a symbol moves its mid by more than the page's share, to the last one."""
    quotes = [n for n in range(MOST - 8, MOST) if TWO.is_quote(n) and n % 2 == 0]

    older, newer = (TWO.tick(n, 1)["bid"] for n in quotes)

    assert newer - older > Decimal(str(THROTTLE)) * newer


@pytest.mark.parametrize("partitions", [1, 4, 16])
def test_each_partition_has_a_probe_at_the_top_of_the_list(partitions: int) -> None:
    symbols = Probes.of_partitions(partitions).symbols

    assert {partition_of(each, partitions) for each in symbols} == set(range(partitions))
    assert max(symbols) < min(symbol_names(50))
    assert VENUE != "SIM"


def test_a_probe_is_seen_when_it_or_a_newer_one_of_its_symbol_is() -> None:
    #  A's probes: 0  2  4  6     B's: 1  3  5
    #  seen:       ---4@1.0  6@3.0     1@2.0, then 3 and 5 never
    seen = TWO.first_seen(range(7), [(6, 3.0), (4, 1.0), (1, 2.0), (0, 4.0)])

    assert seen == {0: 1.0, 2: 1.0, 4: 1.0, 6: 3.0, 1: 2.0}


def test_what_was_sent_before_the_measuring_shows_nothing_newer() -> None:
    assert TWO.first_seen([6, 8], [(4, 1.0), (8, 2.0)]) == {6: 2.0, 8: 2.0}


def test_percentiles_are_values_of_the_nearest_rank() -> None:
    """Of 1,000: the 500th, 900th, 990th, 999th and the last."""
    found = figures([float(n) for n in range(1_000, 0, -1)], 3)

    assert found == {
        "probes": 1_000, "p50_ms": 500.0, "p90_ms": 900.0, "p99_ms": 990.0, "p99.9_ms": 999.0,
        "max_ms": 1_000.0, "never_seen": 3,
    }  # fmt: skip
    assert figures([1.0, 2.0, 3.0], 0)["p50_ms"] == 2.0
    assert figures([], 2) == {"probes": 0, "never_seen": 2}
    assert figures([7.04], 0)["p50_ms"] == figures([7.04], 0)["max_ms"] == 7.0


def test_rates_are_read_in_their_order() -> None:
    assert rates_of("100,20000, 1e3") == [100.0, 20_000.0, 1_000.0]


@pytest.mark.parametrize("text", ["", "fast", "100,", "0", "-5", "nan", "inf", "100;200"])
def test_what_is_no_rate_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--rates must be ticks a second") as caught:
        rates_of(text)
    assert repr(text) in str(caught.value)
