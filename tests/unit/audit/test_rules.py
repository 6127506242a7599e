"""Sessions, sale conditions, quotes, clocks and composites: the auditor's bars are the core's."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.domain import quote_bars
from app.domain.builder import BarBuilder
from app.domain.catalog_file import load_catalog
from app.domain.plan import Plans
from app.domain.trades import of_frame
from app.settings import load
from tests.unit.audit.auditor import EPOCH, ledger
from tests.unit.domain.ticks import block, records, tick

VALUES = (
    "close_time", "open", "high", "low", "close", "volume", "notional", "vwap", "trades", "quotes",
    "first_offset", "last_offset",
)  # fmt: skip
CATALOG = """
[venues.NYSE]
session = "XNYS"
conditions = "us_equities"
[venues.HONGKONG]
session = "XHKG"
[venues.CHICAGO]
session = "CMES"
[venues.BANK]
session = "24x5"
[venues.COIN]
[venues.LATER]

[[series]]
venue = "HONGKONG"
symbol = "ANCHORED"
anchored = true
[[series]]
venue = "COIN"
symbol = "ANCHORED"
anchored = true
[[series]]
venue = "BANK"
symbol = "*"
quotes = ["bid", "ask", "mid"]
[[series]]
venue = "LATER"
symbol = "*"
clock = "ingest"
[[series]]
venue = "BOTH"
symbol = "PLAIN"
of = ["COIN", "NYSE"]
"""
CODES = ((), ("@",), ("@", "T"), ("I",), ("M",), ("4", "Z"), ("U",), ("unknown",))
# A Friday to a Tuesday on which New York went to winter time, with a half day nearby.
FROM = datetime(2023, 11, 3, 6, tzinfo=UTC)
DAYS = 4
SEEDS = (1,)


def ticks(seed: int, venue: str, symbol: str, count: int = 400) -> list[dict[str, Any]]:
    """Return ticks of four days in order, up to 20 s late."""
    dice = random.Random(f"{seed}{venue}{symbol}")
    rows = []
    for at_s in sorted(dice.uniform(0, DAYS * 86_400) for _ in range(count)):
        at = FROM + timedelta(seconds=at_s - dice.uniform(0, 20))
        price = Decimal(dice.randrange(1, 10**9)).scaleb(-4)
        has_quote, has_price = dice.random() < 0.7, dice.random() < 0.8
        bid = Decimal(dice.randrange(1, 10**5)).scaleb(-12) if has_quote else None
        ask = Decimal(dice.randrange(1, 10**5)).scaleb(-12) if dice.random() < 0.7 else None
        rows.append(
            tick(
                "10:00:00", venue=venue, symbol=symbol, event_time=at, bid=bid, ask=ask,
                ingest_time=at + timedelta(seconds=dice.uniform(0, 90)),
                price=price if has_price else None,
                size=Decimal(dice.randrange(10**6)).scaleb(-3) if has_price else None,
                conditions=list(dice.choice(CODES)) if venue == "NYSE" else [],
            )
        )  # fmt: skip
    return rows


def by_core(rows: Sequence[dict[str, Any]], catalog: Path) -> dict[Any, dict[str, Any]]:
    """Return the newest emission of each bar that is not empty."""
    settings = load({}, needs=())
    builder = BarBuilder(Plans(load_catalog(catalog), settings.ladder), 0)
    newest = {}
    for start in range(0, len(rows), 50):
        frame = block(*rows[start : start + 50], first_offset=start)
        appended_us = np.array([_us(row["event_time"]) for row in rows[start : start + 50]])
        builder.fold(of_frame(frame, appended_us), quote_bars.of_frame(frame, appended_us))
        for bar in records(builder.emit()):
            newest[bar["symbol"], bar["venue"], bar["timeframe"], _us(bar["open_time"])] = bar
    return {key: bar for key, bar in newest.items() if bar["trades"] or bar["quotes"]}


def _us(at: Any) -> int:
    return int((at - EPOCH) // timedelta(microseconds=1))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("venue", "symbol"),
    [
        ("NYSE", "PLAIN"), ("HONGKONG", "PLAIN"), ("HONGKONG", "ANCHORED"), ("CHICAGO", "PLAIN"),
        ("BANK", "EUR/USD"), ("COIN", "ANCHORED"), ("LATER", "PLAIN"), ("COIN", "PLAIN"),
    ],
)  # fmt: skip
def test_bars_of_each_kind_of_series_are_the_cores(
    tmp_path: Path, seed: int, venue: str, symbol: str
) -> None:
    """All timeframes, bounds of sessions and lineage; composites come with their members."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    rows = ticks(seed, venue, symbol)
    with ledger(catalog) as made:
        mine = made.take(rows, chunk=120).bars()
    theirs = by_core(rows, catalog)

    assert mine.keys() == theirs.keys()
    assert len({key[2] for key in mine}) == (24 if venue == "BANK" else 6)
    if (venue, symbol) in {("COIN", "PLAIN"), ("NYSE", "PLAIN")}:
        assert {key[1] for key in mine} == {venue, "BOTH"}
    for key, bar in mine.items():
        other = {**theirs[key], "close_time": _us(theirs[key]["close_time"])}
        if not other["is_final"]:
            other["last_offset"] = bar["last_offset"]  # of a change, not of a trade
        assert {n: bar[n] for n in VALUES} == {n: other[n] for n in VALUES}, key
