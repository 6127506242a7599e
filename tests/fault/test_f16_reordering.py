"""F16: trades out of order, within grace and beyond it."""

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, SYMBOLS, WORKERS
from tests.live.feed import market
from tests.live.verifier import GRACE_US, verify

INSIDE_US = GRACE_US - 1_000_000
BEYOND_US = 20 * GRACE_US


@pytest.mark.live
@pytest.mark.timeout(240)
def test_order_of_arrival_changes_no_bar_and_loses_none(make_trial: MakeTrial, seed: int) -> None:
    """Within grace nothing is late; beyond it each late trade revises its bars."""
    trial = make_trial()
    world = trial.world
    world.started(*WORKERS)
    near = market(seed, RATE, venue="NEAR", symbols=SYMBOLS, jitter_us=INSIDE_US)
    with trial.flow(near):
        pass
    trial.judge()
    assert not world.outside.log("ticks.late.v1"), "nothing is late within grace"

    far = market(seed, RATE // 2, venue="FAR", symbols=SYMBOLS, jitter_us=BEYOND_US)
    with trial.flow(far):
        pass
    trial.line.recovered(world.settle())
    verdict = verify(world.outside, has_late=True)
    trial.line.take(verdict)
    late = [each for _, each in world.outside.decoded("ticks.late.v1")]
    revised = [bar for bar in verdict.bars.values() if bar["revision"] > 1]
    trial.line.note(late=len(late), bars_revised=len(revised))

    assert not verdict.faults, "\n".join(verdict.faults)
    assert {each["venue"] for each in late} == {"FAR"}
    assert {bar["venue"] for bar in revised} == {"FAR"}
    assert {bar["reason"] for bar in revised} <= {"late"}
