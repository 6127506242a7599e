"""F11, Kafka's part: the disk of the broker's records is full."""

import pytest

from tests.fault.conftest import MakeCluster, MakeDisk, MakeTrial
from tests.fault.trial import WORKERS
from tests.live.world import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

SIZE_MB = 400
RATE = 3_000
GIVES_UP_WITHIN_S = 60.0


def test_when_there_is_space_again_all_goes_on(
    make_disk: MakeDisk, make_cluster: MakeCluster, make_trial: MakeTrial
) -> None:
    """The broker gives up its only log folder and ends; it is started again after that."""
    disk = make_disk(SIZE_MB)
    cluster = make_cluster(data=disk.path / "records")
    (broker,) = cluster.brokers
    trial = make_trial(cluster)
    for worker in [trial.world.start(role, is_kept=True) for role in WORKERS]:
        worker.wait_ready()
    with trial.flow(rate=RATE) as flow:
        flow.wait_s(3)
        disk.fill(leave_mb=trial.dice.uniform(0, 3))
        wait_until(lambda: not broker.is_running(), GIVES_UP_WITHIN_S, "the broker gives up")
        assert "No space left on device" in broker.tail(limit=1 << 20)
        disk.make_space()
        broker.start()
        flow.wait_s(1)
    trial.line.note(ticks=flow.sent)
    trial.judge(replay=True)
