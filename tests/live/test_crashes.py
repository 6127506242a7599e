"""What a stop commits, and what a survivor takes over; see tests/fault for F1 and F2 themselves."""

import time

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import START_US, Pair, market, mixed
from tests.live.outside import Outside
from tests.live.verifier import verify
from tests.live.world import World
from tests.poison import MEGABYTE, corpus

pytestmark = pytest.mark.live

RATE = 20_000
BURST = 2 * RATE
"""Two seconds of them."""
SYMBOLS = [f"{base}/USD" for base in ("BTC", "ETH", "SOL", "DOGE", "ADA", "LTC", "XRP", "DOT")]


@pytest.fixture(scope="module")
def world(make_world: MakeWorld) -> World:
    world = make_world()
    world.started("hot", "warm")
    return world


_poison: set[Pair] = set()
"""All that was sent into the world."""


def stream(seed: int, venue: str, count: int) -> list[Pair]:
    """Return so many ticks, some twice, and 1 % poison among them."""
    now_us = time.time_ns() // 1000
    poison = [
        each
        for each in corpus(SYMBOLS[0], venue, START_US, now_us, mark=venue)
        if len(each.value or b"") < MEGABYTE // 2
    ]
    _poison.update((each.key, each.value) for each in poison)
    ticks = market(seed, count, venue=venue, symbols=SYMBOLS)
    return mixed(seed, ticks, poison, 0.01)


def judge(world: World, **more: object) -> None:
    """Judge the whole world: what earlier tests left in it must still be right."""
    healed_s = world.settle()
    verify(world.outside, poison=_poison).require(**more, healed_s=round(healed_s, 1))


def test_a_worker_told_to_stop_commits_all_it_did_and_leaves_quickly(world: World) -> None:
    """SIGTERM in mid-stream: exit status 0 within 20 s; the next goes on where it stopped."""
    pairs = stream(2, "STOPPED", BURST)
    (worker,) = world.started("compute")
    with world.feed() as feed:
        for sent in feed.send_at(RATE, pairs):
            if sent > len(pairs) // 2 and worker.process.poll() is None:
                assert worker.terminate() == 0
                _require_all_committed(world.outside)
    (worker,) = world.started("compute")

    judge(world, test="stopped", seed=2)
    assert worker.terminate() == 0


def _require_all_committed(outside: Outside) -> None:
    """Nothing was published for a record that a restart would read again."""
    raw, ticks = (outside.committed("tapeline-compute", t) for t in ("ticks.raw.v1", "ticks.v1"))
    assert sum(raw.values()), "it did nothing before it stopped"
    for record, tick in outside.decoded("ticks.v1"):
        assert tick["raw_offset"] < raw[record.partition]
    for record, letter in outside.decoded("ticks.dlq.v1"):
        assert letter["offset"] < raw[record.partition]
    for record, bar in outside.decoded("bars.v1"):
        assert bar["last_offset"] < ticks[record.partition]


def test_two_workers_share_the_work_and_one_may_die(world: World) -> None:
    """Killed, its partitions go to the other, and come back when it is started again."""
    pairs = stream(3, "SHARED", 2 * BURST)
    third = len(pairs) // 3
    first, second = world.started("compute", "compute")
    with world.feed() as feed:
        for sent in feed.send_at(RATE, pairs[:third]):
            if sent > third // 2 and second.process.poll() is None:
                second.kill()
        for _ in feed.send_at(RATE, pairs[third : 2 * third]):
            pass
        (second,) = world.started("compute")
        for _ in feed.send_at(RATE, pairs[2 * third :]):
            pass

    judge(world, test="shared", seed=3)
    assert [first.terminate(), second.terminate()] == [0, 0]
