"""Every US trade of a day: no ids, thousands in one millisecond, order given by the row alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.recordings import us_equity
from tests.live.conftest import MakeWorld
from tests.live.verifier import verify
from tests.live.world import World
from tests.replay.test_conditions_equities import (
    AT_LEAST,
    HALF_A_CENT,
    Explained,
    minutes,
)

pytestmark = pytest.mark.live

CATALOG = """
[venues.US]
session = "XNYS"
conditions = "lean_us"
"""
MIDNIGHT_MS = 1_381_204_800_000
"""2013-10-08 00:00 in New York, from which the vendor counts."""
PRICES = ("open", "high", "low", "close")
SWEPT = "2013-10-08T14:30:00Z"
"""A minute with intermarket sweeps, as all of this day have."""


@pytest.mark.parametrize(
    ("names", "trades"),
    [
        pytest.param(("AIG", "IBM", "BAC"), 202_595, id="AIG+IBM+BAC"),
        pytest.param(("SPY",), 451_545, id="SPY", marks=pytest.mark.slow),
    ],
)
def test_no_trade_of_a_day_is_dropped_or_refused(
    make_world: MakeWorld, recordings: Path, names: tuple[str, ...], trades: int
) -> None:
    """Two equal trades in one millisecond are two trades: 'duplicate' would be a guess."""
    world = make_world()
    world.started("all")
    published = sum(world.publish(us_equity(name)(recordings)) for name in names)
    healed_s = world.settle(within_s=60)

    verdict = verify(world.outside)
    verdict.require(test="+".join(names), healed_s=round(healed_s, 1))
    assert published == trades
    assert verdict.numbers["I1"]["accepted"] == trades
    assert verdict.numbers["I1"]["repeats"] == verdict.numbers["I6"]["dead_letters"] == 0
    assert sum(bar["trades"] for key, bar in verdict.bars.items() if key[2] == "M1") == trades


def test_bars_follow_the_sale_conditions_of_their_venue(
    make_world: MakeWorld, recordings: Path, tmp_path: Path
) -> None:
    """With the vendor's table its minutes are explained by bars.v1 as well as by a recompute.

    `tapeline explain` judges by the same table: without it the ticks do not make the bar.
    """
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    world = make_world(TAPELINE_CATALOG=str(catalog))
    world.started("all")
    world.publish(us_equity("IBM")(recordings))
    world.settle(within_s=60)

    found, least = explained(world, "IBM"), AT_LEAST["IBM", "vendor"]
    assert all(count >= bound for count, bound in zip(found, least, strict=True)), found
    status, last = told(world, "IBM", str(catalog))
    assert (status, last["verdict"]) == (0, "equal")
    assert last["reasons"]["conditions"] > 0
    status, last = told(world, "IBM", "")
    assert (status, last["verdict"]) == (1, "differs")


def explained(world: World, symbol: str) -> Explained:
    """Return how many of the vendor's minutes of the regular session bars.v1 agrees with."""
    newest = {}
    for _, bar in world.outside.decoded("bars.v1"):
        if bar["timeframe"] == "M1":
            newest[bar["open_time"] // 1000 - MIDNIGHT_MS] = bar
    theirs = minutes(symbol)
    assert len(theirs) == 390
    counts = dict.fromkeys(Explained._fields, 0)
    for minute in theirs.iter_rows(named=True):
        ours = newest[minute["ms"]]
        near = {
            name: ours[name] is not None and abs(ours[name] * 10_000 - minute[name]) <= HALF_A_CENT
            for name in PRICES
        }
        off = abs(ours["volume"] - minute["volume"])
        agrees = {**near, "prices": all(near.values()), "volume": off == 0,
                  "near": off * 100 <= minute["volume"]}  # fmt: skip
        for name, is_so in agrees.items():
            counts[name] += is_so
    return Explained(**counts)


def told(world: World, symbol: str, catalog: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the last line of `tapeline explain` of one minute."""
    env = {
        "PATH": os.environ["PATH"],
        "TAPELINE_CATALOG": catalog,
        "TAPELINE_TOPIC_PREFIX": world.prefix,
        "KAFKA_BOOTSTRAP_SERVERS": world.stack.kafka,
        "POSTGRES_URL": world.outside.postgres_url,
        "REDIS_URL": world.outside.redis_url,
    }
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "explain", f"{symbol}@US", "M1", SWEPT, "--json"],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])
