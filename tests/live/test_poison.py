"""F12: one record in ten is poison, of every kind."""

import time

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import START_US, market, mixed
from tests.live.verifier import verify
from tests.poison import corpus

pytestmark = pytest.mark.live

SEED = 12
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD", "ADA/USD")


def test_each_poison_is_a_dead_letter_once_and_its_neighbours_are_in_their_bars(
    make_world: MakeWorld,
) -> None:
    world = make_world()
    world.started("all")
    now_us = time.time_ns() // 1000
    poison = corpus(SYMBOLS[0], "TEST", START_US + 60_000_000, now_us)
    good = market(SEED, 20_000, venue="TEST", symbols=SYMBOLS)
    # The megabytes only once each: two in 33 of 2,000 would be 130 MB.
    small = [each for each in poison if len(each.value or b"") < 1000]
    pairs = mixed(SEED, good, small, 0.10) + [(p.key, p.value) for p in poison if p not in small]
    with world.feed() as feed:
        feed.send(pairs)
    healed_s = world.settle()

    expected = {(p.key, p.value): p.reason for p in poison}
    verdict = verify(world.outside, poison=expected)
    verdict.require(test="poison", seed=SEED, healed_s=round(healed_s, 1))
    assert verdict.numbers["I6"]["refused"] > 0.09 * len(pairs)
    found = {(each["key"], each["value"]): each["reason"] for each in verdict.letters.values()}
    wrong = [
        f"{p.name} must be {p.reason}, was {found[p.key, p.value]}"
        for p in poison
        if found[p.key, p.value] != p.reason
    ]
    assert not wrong, "\n".join(wrong)
