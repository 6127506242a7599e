"""Recorded trades of a real market through all roles, once and again."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from connectors.recordings import XRP_ETH, xrp_eth
from tests.live.conftest import MakeWorld
from tests.live.outside import Fields
from tests.live.recompute import MINUTE_US
from tests.live.verifier import Snapshot, Verdict, verify
from tests.live.world import READS, World

pytestmark = pytest.mark.live

SEED = 20191011
SHUFFLE_US = 20_000_000
BARS = {"M1": 2_469, "M5": 706}


@pytest.fixture(scope="module")
def trades(recordings: Path) -> pl.DataFrame:
    path = recordings / XRP_ETH.file
    assert path.exists(), f"the recording must be at {path}"
    return xrp_eth(recordings)


@pytest.fixture(scope="module")
def world(make_world: MakeWorld) -> World:
    world = make_world()
    world.started("all")
    return world


def at_venue(trades: pl.DataFrame, venue: str) -> pl.DataFrame:
    """Return the same trades as another venue's: another series in the same world."""
    return trades.with_columns(venue=pl.lit(venue))


def judged(world: World, name: str) -> Verdict:
    verdict = verify(world.outside)
    verdict.require(test=name, seed=SEED, healed_s=round(world.settle(), 1))
    return verdict


def bars_of(verdict: Verdict, venue: str) -> dict[tuple[Any, ...], Fields]:
    """Return the values of a venue's bars, without where they were in the log."""
    lineage = {"first_offset", "last_offset", "source_partition", "venue"}
    return {
        key[2:]: {name: value for name, value in bar.items() if name not in lineage}
        for key, bar in verdict.bars.items()
        if key[1] == venue
    }


def test_every_bar_equals_the_independent_programs(
    world: World, trades: pl.DataFrame, recordings: Path
) -> None:
    """12,477 trades; volumes of the other program are floats, its prices exact."""
    assert world.publish(trades) == 12_477
    world.settle()
    verdict = judged(world, "recording")

    for timeframe, minutes in (("M1", 1), ("M5", 5)):
        theirs = pl.read_ipc(recordings / f"trades/XRP_ETH-{minutes}m.feather")
        ours = {key[3]: bar for key, bar in verdict.bars.items() if key[2] == timeframe}
        assert len(theirs) == len(ours) == BARS[timeframe]
        assert next(iter(ours.values()))["close_time"] % (minutes * MINUTE_US) == 0
        for date, *prices, volume in theirs.iter_rows():
            bar = ours[int(date.timestamp()) * 1_000_000]
            assert [float(bar[n]) for n in ("open", "high", "low", "close")] == prices
            assert abs(float(bar["volume"]) - volume) < 1e-9


def test_trades_out_of_order_within_grace_change_no_bar(world: World, trades: pl.DataFrame) -> None:
    """Shuffled by up to 20 s, grace is 30: nothing late, no revision beyond the final one."""
    dice = random.Random(SEED)
    arrival = [
        at + dice.randrange(SHUFFLE_US) for at in trades["event_time"].to_physical().to_list()
    ]
    shuffled = at_venue(trades, "SHUFFLED").with_columns(arrival=pl.Series(arrival)).sort("arrival")
    world.publish(shuffled.drop("arrival"))
    world.settle()
    verdict = judged(world, "shuffled")

    assert verdict.late == 0
    assert {bar["revision"] for bar in verdict.bars.values()} <= {0, 1}
    shuffled_bars, plain_bars = bars_of(verdict, "SHUFFLED"), bars_of(verdict, "KRAKEN")
    assert len(shuffled_bars) == len(plain_bars) > 0
    # Which bar the series begins in may differ: the first to arrive is another trade.
    for bars in (shuffled_bars, plain_bars):
        for bar in bars.values():
            bar.pop("partial")
    assert shuffled_bars == plain_bars


def test_each_tick_sent_twice_counts_once(world: World, trades: pl.DataFrame) -> None:
    """Each is followed by itself, as a producer that retries would send it."""
    twice = at_venue(trades, "TWICE")
    world.publish(pl.concat([twice, twice]).sort("event_time", "sequence", maintain_order=True))
    world.settle()
    verdict = judged(world, "twice")

    bars = bars_of(verdict, "TWICE")
    counted = {key: bar.pop("duplicates") for key, bar in bars.items()}
    for bar in (plain := bars_of(verdict, "KRAKEN")).values():
        assert bar.pop("duplicates") == 0
    assert bars == plain
    # The last tick's repeat has no tick behind it to go with.
    assert sum(count for (frame, _), count in counted.items() if frame == "M1") == 12_476


def test_publishing_the_topic_again_changes_nothing_anywhere(
    world: World, trades: pl.DataFrame
) -> None:
    """I3: not a byte of Postgres, its history, or Redis; no tick, no bar in the logs."""
    before = Snapshot.of(world.outside)
    world.publish(trades)
    world.publish(at_venue(trades, "SHUFFLED"))
    world.settle()

    assert Snapshot.of(world.outside) == before
    judged(world, "replayed")


def test_offsets_rewound_to_the_beginning_change_nothing(
    world: World, trades: pl.DataFrame
) -> None:
    """The state knows better than the group how far it came."""
    before = Snapshot.of(world.outside)
    for worker in world.workers:
        assert worker.terminate() == 0
    for role, read in READS.items():
        world.outside.rewind(f"tapeline-{role}", read)
    world.started("all")
    world.publish(trades.head(100))
    world.settle()

    assert Snapshot.of(world.outside) == before
    judged(world, "rewound")
