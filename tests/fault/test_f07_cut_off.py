"""F7: compute is cut off from a broker that everybody else reaches."""

import time

import pytest

from tests.fault.conftest import MakeProxied
from tests.live.world import READS

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

RATE = 1_000


@pytest.mark.parametrize("seconds", [5, 30, 90], ids=lambda seconds: f"{seconds} s")
def test_a_worker_that_was_cut_off_catches_up(make_proxied: MakeProxied, seconds: int) -> None:
    """It may end and be started again meanwhile; what it has not done is done afterwards."""
    trial, proxy = make_proxied()
    outside = trial.world.outside
    with trial.flow(rate=RATE) as flow:
        flow.wait_s(3)
        proxy.cut()
        time.sleep(1)  # what was on its way
        before = outside.committed("tapeline-compute", READS["compute"][0])
        time.sleep(seconds - 1)
        assert outside.committed("tapeline-compute", READS["compute"][0]) == before, "not cut off"
        proxy.heal()
        flow.wait_s(2)
    trial.line.note(cut_s=seconds, ticks=flow.sent)
    trial.judge(replay=seconds > 5)
