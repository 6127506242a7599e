"""F11, the stores' part: the disk of Postgres is full, and the one of the workers' homes."""

import pytest

from tests.fault.conftest import MakeDisk, MakeTrial
from tests.fault.stores import Watched, largest_lags, own_postgres
from tests.fault.trial import WORKERS
from tests.live.world import wait_until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

RATE = 5_000
DATA_MB, HOMES_MB = 300, 8
FULL_FOR_S = 10.0
LAG_ALLOWED = RATE * FULL_FOR_S / 2
TROUBLES_WITHIN_S = 30.0


def test_a_postgres_without_space_is_waited_for(make_trial: MakeTrial) -> None:
    """It refuses, or ends itself; with space it is started again, and warm catches up."""
    trial = make_trial()
    world = trial.world
    with own_postgres(world, DATA_MB) as server:
        assert server.disk is not None
        warm = Watched(world, "warm")
        warm.worker.wait_ready()
        others = world.started("compute", "hot")
        with trial.flow(rate=RATE) as flow:
            flow.wait(2 * RATE)
            server.disk.fill()
            wait_until(
                lambda: warm.metric("tapeline_store_retries_total") > 0,
                TROUBLES_WITHIN_S, "warm has trouble",
            )  # fmt: skip
            lags = largest_lags(world, FULL_FOR_S, ("compute", "ticks.v1"), ("hot", "bars.v1"))
            said = server.log()
            server.disk.make_space()
            did_end = not server.is_running()
            if did_end:
                server.start()
            flow.wait(flow.sent + RATE)
        assert "No space left on device" in said
        trial.line.note(ticks=flow.sent, largest_lags=lags, postgres_ended_itself=did_end)
        trial.judge()

        assert all(lag <= LAG_ALLOWED for lag in lags.values()), lags
        assert warm.is_the_same()
        assert [worker.process.poll() for worker in others] == [None, None]


def test_workers_whose_homes_are_full_work_on(make_disk: MakeDisk, make_trial: MakeTrial) -> None:
    """Neither log nor ready file can be written, while partitions change hands."""
    trial = make_trial()
    world = trial.world
    disk = make_disk(HOMES_MB)
    elsewhere, world._folder = world._folder, disk.path / "homes"
    workers = world.started(*WORKERS)
    world._folder = elsewhere
    with trial.flow(rate=RATE) as flow:
        flow.wait(RATE)
        disk.fill()
        assert disk.free_mb() == 0
        (second,) = world.started("compute")
        flow.wait(flow.sent + RATE)
        second.kill()
        flow.wait(flow.sent + 3 * RATE)
    trial.line.note(ticks=flow.sent)
    trial.judge()

    assert [worker.process.poll() for worker in workers] == [None] * len(workers)
    assert "role ended" not in workers[0].tail()
