"""Bars of FX quotes on real servers, through a kill -9: each side equals a plain recompute."""

import random
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import Pair
from tests.live.outside import Fields
from tests.poison import tick, unscaled

pytestmark = pytest.mark.live

CATALOG = """
[venues.BANK]
session = "24x5"

[[series]]
venue = "BANK"
symbol = "EUR/*"
quotes = ["bid", "ask", "mid"]

[[series]]
venue = "BANK"
symbol = "GBP/USD"
quotes = ["mid"]
"""
SIDES = {
    "EUR/USD": ("bid", "ask", "mid"), "EUR/CHF": ("bid", "ask", "mid"), "GBP/USD": ("mid",),
    "AUD/USD": (),
}  # fmt: skip
"""Of each symbol, the sides that the catalog asks for."""

MINUTE_US = 60_000_000
NEW_YORK_17_US = 1_699_999_200_000_000
"""2023-11-14 17:00 in New York, where a day of FX ends and another begins."""
FROM_US = NEW_YORK_17_US - 90 * MINUTE_US
WIDTHS_US = {
    name: minutes * MINUTE_US
    for name, minutes in {"M1": 1, "M5": 5, "M15": 15, "H1": 60, "H4": 240, "D1": 1440}.items()
}
"""All are aligned to 17:00 in New York, which is a whole hour."""
QUOTES = 40_000
LATE_US = 30 * MINUTE_US
VALUES = ("open", "high", "low", "close")
UNIT = Decimal("1e-12")
BarKey = tuple[str, str, int]


def market(seed: int) -> list[Fields]:
    """Return three hours of quotes as they arrive: of one side, crossed, locked and late ones.

    Every hundredth is a trade as well; AUD/USD is quoted, too, and has no bars of it.
    """
    dice = random.Random(seed)
    arrivals = []
    for n in range(QUOTES):
        at_us = FROM_US + n * 180 * MINUTE_US // QUOTES
        bid = dice.randrange(10**12, 2 * 10**12)
        ask = bid + dice.choice([-3, 0, 1, 2, 10**9])
        sides = dice.choice([(bid, ask)] * 8 + [(bid, None), (None, ask)])
        quote = {
            "venue": "BANK", "symbol": dice.choice(list(SIDES)), "event_time": at_us,
            "ingest_time": at_us, "sequence": n, "source": "market",
            "bid": sides[0], "ask": sides[1],
            "price": bid if n % 100 == 0 else None, "size": 10**12 if n % 100 == 0 else None,
        }  # fmt: skip
        is_late = dice.random() < 0.001
        arrivals.append((at_us + (LATE_US if is_late else dice.randrange(20_000_000)), n, quote))
    return [quote for *_, quote in sorted(arrivals, key=lambda each: each[:2])]


def sent(quote: Fields) -> Pair:
    prices = {
        name: None if quote[name] is None else unscaled(quote[name])
        for name in ("bid", "ask", "price", "size")
    }
    return quote["symbol"].encode(), tick({**quote, **prices})


def prices_of(quote: Fields) -> dict[str, Decimal]:
    """Return the price of each side that a quote has."""
    bid, ask = quote["bid"], quote["ask"]
    found = {side: Decimal(quote[side]) * UNIT for side in ("bid", "ask") if quote[side]}
    if bid is not None and ask is not None and bid <= ask:
        found["mid"] = (Decimal(bid + ask) / 2).quantize(1, ROUND_HALF_EVEN) * UNIT
    return found


def recomputed(quotes: list[Fields]) -> dict[BarKey, Fields]:
    """Return the bars of each symbol, timeframe and open time that these quotes make."""
    made: dict[BarKey, list[Decimal]] = {}
    for quote in sorted(quotes, key=lambda each: (each["event_time"], each["sequence"])):
        for side, price in prices_of(quote).items():
            if side in SIDES[quote["symbol"]]:
                for name, width_us in WIDTHS_US.items():
                    at_us = quote["event_time"] - (quote["event_time"] - NEW_YORK_17_US) % width_us
                    made.setdefault((quote["symbol"], f"{name}.{side}", at_us), []).append(price)
    return {
        key: {
            "open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1],
            "quotes": len(prices), "trades": 0, "volume": 0, "notional": 0, "vwap": None,
            "close_time": key[2] + WIDTHS_US[key[1].partition(".")[0]],
        }
        for key, prices in made.items()
    }  # fmt: skip


def keyed(bar: Fields) -> BarKey:
    return bar["symbol"], bar["timeframe"], bar["open_time"]


def test_bars_of_each_side_are_exact_after_a_kill(make_world: MakeWorld, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    world = make_world(TAPELINE_CATALOG=str(catalog))
    quotes = market(1)
    world.started("hot", "warm")
    (worker,) = world.started("compute")
    with world.feed() as feed:
        for done in feed.send_at(10_000, [sent(quote) for quote in quotes]):
            if done > QUOTES // 2 and worker.process.poll() is None:
                worker.kill()
                worker = world.start("compute")
    world.settle()

    right = recomputed(quotes)
    newest: dict[BarKey, Fields] = {}
    finals: dict[tuple[Any, ...], Fields] = {}
    for _, bar in world.outside.decoded("bars.v1"):
        if bar["revision"]:
            emission = *keyed(bar), bar["revision"], bar["last_offset"]
            assert finals.setdefault(emission, bar) == bar
        if bar["quotes"] or "." in bar["timeframe"]:
            newest[keyed(bar)] = bar
    of_postgres = world.outside.postgres_bars()
    stores = [newest, *(
        {keyed(bar): bar for bar in bars.values() if "." in bar["timeframe"]}
        for bars in (of_postgres, world.outside.redis_bars())
    )]  # fmt: skip
    for where, bars in zip(("Kafka", "Postgres", "Redis"), stores, strict=True):
        assert bars.keys() == right.keys(), where
        for key, expected in right.items():
            assert {name: bars[key][name] for name in expected} == expected, f"{where} {key}"
    last_us = FROM_US + 180 * MINUTE_US
    for (_, name, open_us), bar in newest.items():
        if right[keyed(bar)]["close_time"] < last_us - 2 * MINUTE_US:
            assert bar["is_final"], f"{name} at {open_us}"
    late = sum(bar["late"] for bar in newest.values() if bar["timeframe"] == "M1.bid")
    reasons = {bar["reason"] for bar in finals.values() if "." in bar["timeframe"]}
    assert (late > 0, reasons) == (True, {"final", "late"})
    trades = {
        (record.partition, record.offset)
        for record, made in world.outside.decoded("ticks.v1")
        if made["price"] is not None
    }
    told = {
        (each["source_partition"], each["tick_offset"])
        for _, each in world.outside.decoded("ticks.late.v1")
    }
    assert told <= trades, "quotes are no late trades"
    assert worker.terminate() == 0
