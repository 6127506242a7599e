"""F2: workers told to stop, one after the other, while ticks flow."""

import time

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import Trial


@pytest.mark.live
@pytest.mark.timeout(200)
def test_a_rolling_restart_leaves_every_bar_exact(make_trial: MakeTrial) -> None:
    trial = make_trial()
    trial.world.started("hot", "warm")
    rolled(trial, ("compute", "compute"), rounds=1, rate=2_000)


@pytest.mark.fault
@pytest.mark.timeout(900)
def test_five_rounds_over_all_roles_leave_every_bar_exact(make_trial: MakeTrial) -> None:
    rolled(make_trial(), ("compute", "compute", "hot", "warm"), rounds=5, rate=500)


def rolled(trial: Trial, roles: tuple[str, ...], *, rounds: int, rate: int) -> None:
    """Stop and start each worker in turn: exit status 0 within 20 s; then judge."""
    workers = trial.world.started(*roles)
    longest_s = 0.0
    with trial.flow(rate=rate) as flow:
        for turn in range(rounds * len(roles)):
            flow.wait_s(trial.dice.uniform(0.2, 1.5))
            place = turn % len(roles)
            began = time.monotonic()
            assert workers[place].terminate() == 0, workers[place].tail()
            longest_s = max(longest_s, time.monotonic() - began)
            (workers[place],) = trial.world.started(roles[place])
    trial.line.note(rounds=rounds, ticks=flow.sent, longest_stop_s=round(longest_s, 2))
    trial.judge(replay=rounds > 1)
