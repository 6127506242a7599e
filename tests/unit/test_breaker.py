"""When a breaker lets a call through, on a clock of the test's own."""

import asyncio
from contextlib import suppress

import pytest

from app.breaker import Breaker, CircuitOpen, State


class Away(Exception):
    """What the server does when it does not answer."""


class Bench:
    """A breaker with its clock and what it noted."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.noted: list[State] = []
        self.breaker = Breaker(3, 1.0, 4.0, clock_s=lambda: self.now_s, note=self.noted.append)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with suppress(Away), self.breaker.attempt(Away):
                raise Away

    def is_let_through(self) -> bool:
        try:
            self.breaker.enter()
        except CircuitOpen:
            return False
        self.breaker.abandoned()
        return True


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_opens_after_so_many_failures_in_a_row(bench: Bench) -> None:
    bench.fail(2)
    with bench.breaker.attempt(Away):
        pass
    bench.fail(2)
    assert bench.is_let_through()
    bench.fail()

    assert not bench.is_let_through()
    assert bench.noted == [State.CLOSED, State.OPEN]


def test_a_refusal_is_an_answer(bench: Bench) -> None:
    for _ in range(5):
        bench.fail(2)
        with suppress(ValueError), bench.breaker.attempt(Away):
            raise ValueError

    assert bench.breaker.state is State.CLOSED


def test_after_its_pause_one_call_tries_and_no_other_until_it_has_told(bench: Bench) -> None:
    bench.fail(3)
    bench.now_s += 1.0
    with bench.breaker.attempt(Away):
        assert bench.breaker.state is State.HALF_OPEN
        with pytest.raises(CircuitOpen):
            bench.breaker.enter()

    assert bench.breaker.state is State.CLOSED


def test_its_pause_doubles_up_to_a_cap_and_begins_anew_with_an_answer(bench: Bench) -> None:
    #  pauses: 1, 2, 4, 4 s
    bench.fail(3)
    for pause_s in (1.0, 2.0, 4.0, 4.0):
        bench.now_s += pause_s - 0.01
        assert not bench.is_let_through()
        bench.now_s += 0.01
        bench.fail()
    bench.now_s += 4.0
    with bench.breaker.attempt(Away):
        pass
    bench.fail(3)
    bench.now_s += 1.0

    assert bench.is_let_through()


def test_a_call_from_before_it_opened_does_not_make_its_pause_longer(bench: Bench) -> None:
    with suppress(Away), bench.breaker.attempt(Away):
        bench.fail(3)
        bench.now_s += 0.9
        raise Away
    bench.now_s += 0.1

    assert bench.is_let_through()


def test_a_call_that_is_given_up_leaves_the_turn_to_the_next(bench: Bench) -> None:
    bench.fail(3)
    bench.now_s += 1.0
    with suppress(asyncio.CancelledError), bench.breaker.attempt(Away):
        raise asyncio.CancelledError

    assert bench.is_let_through()


def test_it_says_how_soon_to_come_again(bench: Bench) -> None:
    bench.fail(3)
    bench.now_s += 0.25
    with pytest.raises(CircuitOpen) as caught:
        bench.breaker.enter()

    assert caught.value.retry_after_s == 0.75
