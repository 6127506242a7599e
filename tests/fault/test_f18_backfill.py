"""F18: history is backfilled through the same topics while a market is live."""

import time
from functools import partial

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import SYMBOLS, WORKERS, Trial
from tests.live.feed import market
from tests.live.outside import BarKey, key_of
from tests.live.world import wait_until

LIVE_RATE, BACKFILL_RATE = 1_000, 10_000
SECONDS = 15
LEAST_SAMPLES = 200
TIMES_ALLOWED = 2.0
LIVE = "LIVE"


@pytest.mark.fault
@pytest.mark.timeout(300)
def test_a_backfill_leaves_the_live_market_as_quick_as_it_was(make_trial: MakeTrial) -> None:
    """From a trade to the bar that holds it, 99 of 100 come as soon as before, or twice as late."""
    trial = make_trial()
    trial.world.started(*WORKERS)
    lived(trial, f"{LIVE}0", 5)  # loops are compiled, files are open
    lived(trial, f"{LIVE}1", SECONDS)
    with trial.flow(trial.ticks(SECONDS * BACKFILL_RATE), BACKFILL_RATE) as backfill:
        lived(trial, f"{LIVE}2", SECONDS)
    trial.judge()

    alone, beside = (p99_ms(trial, f"{LIVE}{n}") for n in (1, 2))
    trial.line.note(
        live_per_s=LIVE_RATE, backfilled_per_s=backfill.per_s,
        p99_alone_ms=round(alone), p99_beside_ms=round(beside),
    )  # fmt: skip
    assert backfill.per_s > 0.9 * BACKFILL_RATE
    assert beside <= TIMES_ALLOWED * alone, (
        f"{beside:.0f} ms beside a backfill, {alone:.0f} without"
    )


def lived(trial: Trial, venue: str, seconds: float) -> None:
    """Trade for so long; each trade happens when it is sent."""
    every_us = len(SYMBOLS) * 1_000_000 // LIVE_RATE
    pairs = market(
        trial.seed, int(seconds * LIVE_RATE), venue=venue, symbols=SYMBOLS, every_us=every_us,
        jitter_us=0, repeats=0.0, start_us=time.time_ns() // 1000,
    )  # fmt: skip
    with trial.flow(pairs, LIVE_RATE):
        pass
    wait_until(partial(is_taken, trial), 30, "live trades are in their bars")


def is_taken(trial: Trial) -> bool:
    """Return whether compute has committed all raw ticks."""
    return trial.world.outside.lag("tapeline-compute", "ticks.raw.v1") == 0


def p99_ms(trial: Trial, venue: str) -> float:
    """Return how long after a trade the bar appeared that was the first to hold it, for 99 %."""
    outside = trial.world.outside
    happened = {
        (record.partition, record.offset): tick["event_time"]
        for record, tick in outside.decoded("ticks.v1")
        if tick["venue"] == venue
    }
    seen: dict[BarKey, int] = {}
    took = []
    for record, bar in outside.decoded("bars.v1"):
        if (bar["venue"], bar["timeframe"]) != (venue, "M1"):
            continue
        name, last = key_of(bar), bar["last_offset"]
        if seen.get(name) != last:
            seen[name] = last
            took.append((record.append_us - happened[bar["source_partition"], last]) / 1000)
    assert len(took) >= LEAST_SAMPLES, f"{len(took)} bars are too few to judge"
    return sorted(took)[int(0.99 * len(took))]
