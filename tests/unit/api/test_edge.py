import asyncio
import threading
import time

import pytest

from app.api import edge
from app.api.edge import Edge
from app.breaker import CircuitOpen
from app.errors import StoreRejected, StoreUnavailable


def refuses() -> None:
    raise StoreUnavailable("connection refused")


async def test_an_answer_is_given_on() -> None:
    assert await Edge("redis", 1.0).call(max, 1, 2) == 2


async def test_an_answer_that_takes_too_long_is_not_waited_for() -> None:
    began_s = time.monotonic()

    with pytest.raises(StoreUnavailable, match=r"redis did not answer within 0.05 s"):
        await Edge("redis", 0.05).call(time.sleep, 0.5)

    assert time.monotonic() - began_s < 0.4


async def test_a_store_that_fails_again_and_again_is_left_alone() -> None:
    way, calls = Edge("redis", 1.0), []
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await way.call(refuses)

    with pytest.raises(CircuitOpen):
        await way.call(calls.append, 1)

    assert calls == []


async def test_a_store_that_refuses_what_it_is_given_is_there() -> None:
    way = Edge("redis", 1.0)

    def rejects() -> None:
        raise StoreRejected("too long")

    for _ in range(5):
        with pytest.raises(StoreRejected):
            await way.call(rejects)
    assert await way.call(max, 1, 2) == 2


async def test_when_too_many_wait_one_more_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edge, "MOST_WAITING", 2)
    way, go = Edge("redis", 5.0), threading.Event()
    under_way = [asyncio.create_task(way.call(go.wait)) for _ in range(edge.THREADS + 2)]
    await asyncio.sleep(0.05)

    with pytest.raises(StoreUnavailable, match="10 calls wait already"):
        await way.call(max, 1, 2)
    go.set()

    assert all(await asyncio.gather(*under_way))
    assert await way.call(max, 1, 2) == 2
