"""Many clients' messages share the loop with everything else."""

import asyncio
import time
from functools import partial

import pytest

from app.api.turns import TURN_S, Turns


async def some_rounds() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_others_want_comes_between() -> None:
    """A request waits for a turn, not for all that are owed a message."""
    turns, done = Turns(), list[object]()

    def work() -> None:
        time.sleep(TURN_S / 4)
        done.append(1)

    for _ in range(400):
        turns.add(work)
    looks = 0
    while len(done) < 400:
        before = len(done)
        await asyncio.sleep(0)
        assert len(done) - before <= 2 * 5, "a turn took longer than it may"
        looks += 1

    assert looks >= 400 / 5 / 2


async def test_the_order_is_kept_and_what_is_added_meanwhile_comes_last() -> None:
    turns, done = Turns(), list[object]()

    def first() -> None:
        done.append("a")
        turns.add(partial(done.append, "c"))

    turns.add(first)
    turns.add(partial(done.append, "b"))
    await some_rounds()

    assert done == ["a", "b", "c"]


async def test_one_that_fails_takes_nobody_elses_turn() -> None:
    loop, said = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: said.append(context["exception"]))
    turns, done = Turns(), list[object]()

    def fail() -> None:
        raise RuntimeError("broken")

    turns.add(fail)
    turns.add(partial(done.append, "next"))
    await some_rounds()

    assert done == ["next"]
    assert [str(error) for error in said] == ["broken"]


async def test_turns_go_on_after_a_pause() -> None:
    turns, done = Turns(), list[object]()
    for n in range(3):
        turns.add(partial(done.append, n))
        await some_rounds()
    assert done == [0, 1, 2]


def test_turns_are_taken_within_the_loop() -> None:
    with pytest.raises(RuntimeError):
        Turns().add(lambda: None)
