"""F1: two compute workers killed in turn, at random moments of 20,000 ticks a second."""

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, Trial

KILLS = 2
BETWEEN_S = (0.3, 1.5)
"""Flow before each kill, at random."""


@pytest.mark.live
@pytest.mark.timeout(120)
def test_workers_killed_in_turn_leave_every_bar_exact(make_trial: MakeTrial) -> None:
    trial = make_trial()
    trial.world.started("hot", "warm")
    killed_in_turn(trial, KILLS)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(1, 21))
def test_twenty_runs_lose_nothing_and_double_nothing(make_trial: MakeTrial, seed: int) -> None:
    trial = make_trial()
    trial.world.started("hot", "warm")
    killed_in_turn(trial, 3)


def killed_in_turn(trial: Trial, kills: int) -> None:
    """Kill one worker after the other, each started again at once; then judge."""
    pairs = trial.ticks(int(RATE * BETWEEN_S[1] * kills))
    workers = trial.world.started("compute", "compute")
    with trial.flow(pairs) as flow:
        for kill in range(kills):
            flow.wait(flow.sent + int(RATE * trial.dice.uniform(*BETWEEN_S)))
            workers[kill % 2].kill()
            workers[kill % 2] = trial.world.start("compute")
    for worker in workers:
        worker.wait_ready()
    trial.line.note(kills=kills, ticks=flow.sent, ticks_per_s=flow.per_s)
    trial.judge()
