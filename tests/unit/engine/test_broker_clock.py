import pytest

from app.engine.broker_clock import BrokerClock

SECOND_US = 1_000_000


class Steady:
    """A clock that does not jump; a test moves it."""

    now_us = 50 * SECOND_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def steady() -> Steady:
    return Steady()


def clock(steady: Steady, wall_s: int) -> BrokerClock:
    return BrokerClock(lambda: wall_s * SECOND_US, steady)


def test_it_begins_with_this_machines_clock_and_goes_on_without_it(steady: Steady) -> None:
    it = clock(steady, 1_000)
    steady.now_us += 7 * SECOND_US

    assert it.now_us() == 1_007 * SECOND_US


def test_a_clock_that_is_behind_is_set_by_what_was_appended(steady: Steady) -> None:
    it = clock(steady, 1_000)
    it.at_least(1_600 * SECOND_US)
    it.at_least(900 * SECOND_US)  # an old record, read late, tells nothing
    steady.now_us += SECOND_US

    assert it.now_us() == 1_601 * SECOND_US


def test_a_clock_that_is_ahead_is_set_by_our_own_record(steady: Steady) -> None:
    it = clock(steady, 1_000)
    it.exactly(400 * SECOND_US)
    steady.now_us += SECOND_US

    assert it.now_us() == 401 * SECOND_US
