"""F12: one record in ten of a live stream is poison, of every kind."""

import time

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, SYMBOLS, WORKERS
from tests.live.feed import START_US, market, mixed
from tests.poison import corpus

SHARE = 0.10


@pytest.mark.live
@pytest.mark.timeout(180)
def test_each_poison_is_a_dead_letter_once_and_its_neighbours_are_in_their_bars(
    make_trial: MakeTrial, seed: int
) -> None:
    trial = make_trial()
    trial.world.started(*WORKERS)
    poison = corpus(SYMBOLS[0], "TEST", START_US + 60_000_000, time.time_ns() // 1000)
    good = market(seed, 2 * RATE, venue="TEST", symbols=SYMBOLS)
    # The megabytes only once each: two in 33 of 4,000 would be 260 MB.
    small = [each for each in poison if len(each.value or b"") < 1000]
    pairs = mixed(seed, good, small, SHARE) + [(p.key, p.value) for p in poison if p not in small]
    trial.poison.update((each.key, each.value) for each in poison)
    with trial.flow(pairs):
        pass
    trial.judge()

    letters = [each for _, each in trial.world.outside.decoded("ticks.dlq.v1")]
    found = {(each["key"], each["value"]): each["reason"] for each in letters}
    wrong = [
        f"{p.name} must be {p.reason}, was {found[p.key, p.value]}"
        for p in poison
        if found[p.key, p.value] != p.reason
    ]
    trial.line.judged("I6", wrong)
    assert not wrong, "\n".join(wrong)
    assert len(letters) > 0.9 * SHARE * len(pairs)
