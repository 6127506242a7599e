"""F5: the only broker stops, or is killed, and comes back, while producers go on."""

import pytest

from tests.fault.conftest import MakeCluster, MakeTrial
from tests.fault.reader import Reader
from tests.fault.trial import SYMBOLS, WORKERS

WAYS = ("stop", "kill")
"""Clean, and hard."""


@pytest.mark.live
@pytest.mark.timeout(300)
def test_a_broker_that_comes_back_finds_nothing_lost(
    make_cluster: MakeCluster, make_trial: MakeTrial
) -> None:
    restarted(make_cluster, make_trial, rounds=1, rate=2_000)


@pytest.mark.fault
@pytest.mark.timeout(600)
def test_a_broker_that_comes_back_five_times_finds_nothing_lost(
    make_cluster: MakeCluster, make_trial: MakeTrial
) -> None:
    restarted(make_cluster, make_trial, rounds=5, rate=500)


def restarted(make_cluster: MakeCluster, make_trial: MakeTrial, *, rounds: int, rate: int) -> None:
    """Restart it in each way in turn; then judge."""
    cluster = make_cluster()
    (broker,) = cluster.brokers
    trial = make_trial(cluster)
    for worker in [trial.world.start(role, is_kept=True) for role in WORKERS]:
        worker.wait_ready()
    reader = Reader(trial.world, SYMBOLS[:2])
    with reader, trial.flow(rate=rate) as flow:
        for way in WAYS * rounds:
            flow.wait_s(trial.dice.uniform(0.5, 2.0))
            getattr(broker, way)()
            flow.wait_s(trial.dice.uniform(0.2, 1.0))
            broker.start()
        flow.wait_s(1)
    trial.line.note(restarts=rounds * len(WAYS), ticks=flow.sent)
    trial.judge(replay=rounds > 1)
    reader.judge(trial.line)
