"""Keys are held for a while, asked for once, and never waited for long."""

import asyncio
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from app.api.access import keys
from app.api.access.aside import Aside
from app.api.access.ring import KeyRing
from app.api.access.roles import Role
from app.errors import StoreUnavailable
from tests.unit.api.access.house import Clock, Keys


def key_in(store: Keys) -> str:
    made = keys.new("desk", Role.VIEWER, datetime.now(UTC)).key
    store.put(made.row())
    return made.id


async def test_a_key_is_read_once_in_30_s() -> None:
    store, clock = Keys(), Clock()
    ring, key_id = KeyRing(store, Aside("keys"), clock), key_in(store)

    for step_s in (0, 10, 19.9):
        clock.now_s += step_s
        assert await ring.find(key_id)
    assert store.asked == 1

    clock.now_s += 0.1
    assert await ring.find(key_id)
    assert store.asked == 2


async def test_many_who_ask_for_one_key_ask_the_store_once() -> None:
    store = Keys()
    ring, key_id = KeyRing(store, Aside("keys")), key_in(store)

    found = await asyncio.gather(*(ring.find(key_id) for _ in range(50)))

    assert len(found) == 50
    assert store.asked == 1


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others() -> None:
    store = Slow()
    ring, key_id = KeyRing(store, Aside("keys", timeout_s=30)), key_in(store)
    first = asyncio.create_task(ring.find(key_id))
    second = asyncio.create_task(ring.find(key_id))
    await asyncio.sleep(0.05)

    first.cancel()
    store.may_answer.set()

    assert await second is not None


async def test_a_store_that_hangs_is_not_waited_for_long_nor_again_and_again() -> None:
    store = Slow()
    ring = KeyRing(store, Aside("keys", timeout_s=0.1))
    began_s = time.monotonic()
    for n in range(30):
        with pytest.raises(StoreUnavailable):
            await ring.find(f"{n:08}")
    took_s = time.monotonic() - began_s
    store.may_answer.set()

    assert took_s < 2.5  # thirty waits would be 3 s


async def test_that_keys_are_taken_as_last_known_is_said_once() -> None:
    store, clock = Keys(), Clock()
    ring, key_id = KeyRing(store, Aside("keys", clock_s=clock), clock), key_in(store)
    await ring.find(key_id)
    store.is_away = True
    clock.now_s += 60

    with structlog.testing.capture_logs() as logged:
        for _ in range(5):
            assert await ring.find(key_id)
        store.is_away, clock.now_s = False, clock.now_s + 60
        assert await ring.find(key_id)

    assert [each["event"] for each in logged] == ["keys taken as last known", "keys read again"]


async def test_a_store_that_comes_back_is_believed_at_once() -> None:
    """Also that a key, known before, was revoked meanwhile."""
    store, clock = Keys(), Clock()
    ring, key_id = KeyRing(store, Aside("keys", clock_s=clock), clock), key_in(store)
    await ring.find(key_id)
    store.is_away = True
    store.revoke(key_id, datetime.now(UTC))
    clock.now_s += 60
    stale = await ring.find(key_id)

    store.is_away, clock.now_s = False, clock.now_s + 5
    fresh = await ring.find(key_id)

    assert stale is not None
    assert fresh is not None
    assert (stale.revoked_at is None, fresh.revoked_at is None) == (True, False)


class Slow(Keys):
    """A store that answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()

    def get(self, key_id: str) -> Mapping[str, Any] | None:
        self.may_answer.wait(30)
        return super().get(key_id)
