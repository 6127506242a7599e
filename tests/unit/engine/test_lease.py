import asyncio

import pytest

from app.engine import lease as terms
from app.engine.lease import Lease
from app.errors import LeaseLost


class Clock:
    """A clock that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_sent_at_the_last_moment_is_gone_before_another_may_own_the_partition() -> None:
    """Librdkafka looks for what has waited too long once a second."""
    assert terms.HOLD_S + terms.DELIVER_WITHIN_S + 1 <= terms.SESSION_S
    assert terms.HEARTBEAT_S < terms.RENEW_WITHIN_S < terms.HOLD_S


def test_one_that_was_never_renewed_gives_no_right(clock: Clock) -> None:
    with pytest.raises(LeaseLost):
        Lease(clock).require()


def test_it_lasts_from_when_the_heartbeat_was_sent_not_from_its_answer(clock: Clock) -> None:
    lease = Lease(clock)
    sent_s = lease.now_s()
    clock.now_s += 3
    lease.renew(sent_s)
    clock.now_s += 1
    lease.require()
    clock.now_s += 0.1

    with pytest.raises(LeaseLost, match=r"no heartbeat of the last 4 s was answered: 4\.1 s"):
        lease.require()
    lease.renew(sent_s - 1)  # an answer that comes late changes nothing
    assert lease.age_s == pytest.approx(4.1)


async def test_nothing_is_begun_with_little_of_it_left(clock: Clock) -> None:
    lease = Lease(clock)
    lease.renew(lease.now_s())
    clock.now_s += terms.RENEW_WITHIN_S
    await asyncio.wait_for(lease.fresh(), 1)
    clock.now_s += 0.1
    begun = asyncio.create_task(lease.fresh())
    await asyncio.sleep(0.1)
    assert not begun.done()
    lease.renew(lease.now_s())
    await asyncio.wait_for(begun, 1)


async def test_beyond_the_session_nothing_is_waited_for(clock: Clock) -> None:
    lease = Lease(clock)
    lease.renew(lease.now_s())
    clock.now_s += terms.SESSION_S + 0.1

    with pytest.raises(LeaseLost, match="the group has not answered for 10 s"):
        await lease.fresh()
