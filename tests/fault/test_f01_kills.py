"""F1: two compute workers killed in turn, at random moments of 20,000 ticks a second."""

import time
from functools import partial

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, Trial
from tests.live.world import wait_until

KILLS = 2
FULL_RATE = 1.05 * RATE
"""So that what arrives comes to 20,000 ticks a second and more, starts of the flow included."""
WORKING = 2_000
"""Accepted ticks that show that all are at work."""


@pytest.mark.live
@pytest.mark.timeout(200)
def test_workers_killed_in_turn_leave_every_bar_exact(make_trial: MakeTrial) -> None:
    trial = make_trial()
    trial.world.started("hot", "warm")
    killed_in_turn(trial, KILLS)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_runs_lose_nothing_and_double_nothing(make_trial: MakeTrial, seed: int) -> None:
    trial = make_trial()
    trial.world.started("hot", "warm")
    killed_in_turn(trial, 3)


def killed_in_turn(trial: Trial, kills: int) -> None:
    """Kill one worker after the other while both work at full flow; then judge.

    Each is started again at once, and the next is killed when all partitions have owners again.
    """
    workers = trial.world.started("compute", "compute")
    sent, rates = 0, []
    for kill in range(kills):
        pairs, before = trial.ticks(round(4 * FULL_RATE)), accepted(trial)
        with trial.flow(pairs, FULL_RATE) as flow:
            wait_until(partial(has_accepted, trial, before + WORKING), 20, "ticks flow", 0.02)
            # At any place between two checkpoints, which are a second apart.
            time.sleep(trial.dice.uniform(0.0, 1.2))
            workers[kill % 2].kill()
            flow.wait_s(0.3)
            flow.stop()
        sent, rates = sent + flow.sent, [*rates, flow.per_s]
        (workers[kill % 2],) = trial.world.started("compute")
    trial.line.note(kills=kills, ticks=sent, ticks_per_s=min(rates))
    trial.judge()


def accepted(trial: Trial) -> int:
    """Return how many ticks are in ticks.v1."""
    return sum(trial.world.outside.ends("ticks.v1").values())


def has_accepted(trial: Trial, count: int) -> bool:
    """Return whether there are more than that by now."""
    return accepted(trial) > count
