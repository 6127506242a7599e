"""F3: a worker that stands still beyond its session, and then goes on as if nothing had been."""

import os
import signal
import time
from subprocess import TimeoutExpired

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import Trial
from tests.live.world import READS, Worker, wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RATE = 500
PAUSES = 2
TAKEN_OVER_WITHIN_S = 45.0
DECIDED_WITHIN_S = 20.0


@pytest.mark.parametrize("role", ["compute", "hot", "warm"])
def test_what_a_zombie_does_changes_nothing(make_trial: MakeTrial, role: str) -> None:
    """Neither what others have written meanwhile, nor what they find when they start again."""
    trial = make_trial()
    others = [r for r in READS if r != role]
    workers = trial.world.started(*others, role, role)[len(others) :]
    with trial.flow(rate=RATE) as flow:
        for turn in range(PAUSES):
            flow.wait_s(trial.dice.uniform(0.5, 2.0))
            trial.burst()
            time.sleep(trial.dice.uniform(0.0, 0.3))
            zombie = workers[turn % 2]
            os.killpg(zombie.process.pid, signal.SIGSTOP)
            try:
                _wait_taken_over(trial, role)
            finally:
                os.killpg(zombie.process.pid, signal.SIGCONT)
            workers[turn % 2] = _after(zombie, trial)
        flow.wait_s(1)
    trial.judge()

    for worker in workers:
        worker.kill()
    trial.world.started(role, role)
    trial.burst(1_000)
    trial.line.note(role=role, pauses=PAUSES)
    trial.judge(replay=True)


def _wait_taken_over(trial: Trial, role: str) -> None:
    """Wait until the group has committed more of every partition than there is now."""
    outside = trial.world.outside
    ends = {topic: outside.ends(topic) for topic in READS[role]}

    def is_beyond() -> bool:
        return all(
            outside.committed(f"tapeline-{role}", topic)[p] >= end
            for topic, at in ends.items()
            for p, end in at.items()
        )

    wait_until(is_beyond, TAKEN_OVER_WITHIN_S, "another has taken over")


def _after(zombie: Worker, trial: Trial) -> Worker:
    """Return who works in its place: it ends itself, or takes part in the group again."""
    try:
        zombie.process.wait(DECIDED_WITHIN_S)
    except TimeoutExpired:
        return zombie
    (worker,) = trial.world.started(zombie.role)
    return worker
