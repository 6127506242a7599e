"""F15: each tick twice, a whole topic again, and a producer that retries what was received."""

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, WORKERS
from tests.live.verifier import Snapshot

BATCH = 500
"""Records that a producer without idempotence sends again when an answer got lost."""


@pytest.mark.live
@pytest.mark.timeout(240)
def test_whatever_comes_again_counts_once_and_changes_nothing(make_trial: MakeTrial) -> None:
    trial = make_trial()
    world = trial.world
    world.started(*WORKERS)
    first = trial.ticks(RATE, poisoned=0)
    with trial.flow([pair for pair in first for _ in range(2)]):
        pass
    second = trial.ticks(RATE, poisoned=0)
    batches = [second[at : at + BATCH] for at in range(0, len(second), BATCH)]
    resent = [
        pair for batch in batches for _ in range(trial.dice.choice((1, 1, 2, 3))) for pair in batch
    ]
    with trial.flow(resent):
        pass
    trial.judge()
    before = Snapshot.of(world.outside)
    with trial.flow(first + second, rate=3 * RATE):
        pass
    world.settle()
    after = Snapshot.of(world.outside)

    names = ("postgres", "redis", "ticks", "bars")
    changed = [name for name in names if getattr(before, name) != getattr(after, name)]
    trial.line.judged("I3", changed, ticks_sent_again=len(first) + len(second))
    trial.line.note(ticks=len(first) + len(second), sent=2 * len(first) + len(resent))
    assert not changed, f"{changed} changed when the whole topic came again"
