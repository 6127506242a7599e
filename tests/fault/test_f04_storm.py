"""F4: compute workers come and go every five seconds."""

import time

import pytest

from tests.fault.conftest import MakeTrial
from tests.live.world import STOPPED_WITHIN_S, Worker

pytestmark = [pytest.mark.fault, pytest.mark.timeout(420)]

CHANGES = 20
EVERY_S = 5.0
MOST = 3
RATE = 500


def test_twenty_rebalances_lose_nothing(make_trial: MakeTrial) -> None:
    trial = make_trial()
    workers = trial.world.started("compute", "hot", "warm")[:1]
    leaving: list[tuple[Worker, float]] = []
    with trial.flow(rate=RATE) as flow:
        due = time.monotonic()
        for _ in range(CHANGES):
            due += EVERY_S
            time.sleep(max(0.0, due - time.monotonic()))
            if len(workers) == 1 or (len(workers) < MOST and trial.dice.random() < 0.5):
                workers.append(trial.world.start("compute"))
            else:
                # The one that has been there longest; what has just begun may not be up yet.
                worker = workers.pop(0)
                worker.process.terminate()
                leaving.append((worker, time.monotonic()))
    statuses = [
        worker.process.wait(max(0.1, since + STOPPED_WITHIN_S - time.monotonic()))
        for worker, since in leaving
    ]
    for worker in workers:
        worker.wait_ready()
    trial.line.note(changes=CHANGES, ticks=flow.sent, statuses=statuses)
    trial.judge(replay=True)
    # A worker that is told to stop before it has set up its own way of stopping dies of SIGTERM.
    assert set(statuses) <= {0, -15}, statuses
