"""How many requests a minute, with Redis and without; Redis never makes a request fail."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
import structlog

from app.api.access.limits import Allowance, Limits

AWAY = "redis://127.0.0.1:1/0"


async def spent(limits: Limits, who: str, times: int) -> list[bool]:
    found = [await limits.spend(who) for _ in range(times)]
    return [each is not None and each.is_allowed for each in found]


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[str]:
    """Yield the URL of a server that gives each client one answer, or none, and stays silent."""
    served: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.add(asyncio.current_task())
        with closing(writer):
            while await reader.read(65536):
                writer.write(answer)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    await asyncio.gather(*filter(None, served))


async def test_so_many_a_minute_and_no_more() -> None:
    limits = Limits("", 3)

    assert await spent(limits, "a", 5) == [True, True, True, False, False]
    assert await spent(limits, "b", 1) == [True]


async def test_who_is_refused_is_told_what_is_left_and_when_to_come_again() -> None:
    limits = Limits("", 2)

    allowed, _, refused = [await limits.spend("a") for _ in range(3)]

    assert allowed is not None
    assert refused is not None
    assert (allowed.is_allowed, allowed.limit) == (True, 2)
    assert (refused.is_allowed, refused.limit, refused.remaining) == (False, 2, 0)
    assert refused.reset_s is not None
    assert 1 <= refused.retry_after_s <= 60


async def test_zero_is_no_limit() -> None:
    assert await Limits(AWAY, 0).spend("a") is None


async def test_while_redis_is_away_each_process_counts_alone_and_says_so_once() -> None:
    notes: list[bool] = []
    limits = Limits(AWAY, 3, note=notes.append)

    with structlog.testing.capture_logs() as logged:
        assert await spent(limits, "a", 5) == [True, True, True, False, False]

    assert notes == [True, False]
    assert [each["event"] for each in logged] == ["limits counted by each process alone"]
    await limits.close()


@pytest.mark.parametrize("answer", [b"", b"-LOADING Redis is loading\r\n", b"?\r\n", b"+\xff\r\n"])
async def test_a_redis_that_is_silent_or_talks_nonsense_makes_no_request_wait(
    answer: bytes,
) -> None:
    async with server(answer) as url:
        limits = Limits(url, 100)
        began_s = time.monotonic()
        found = await spent(limits, "a", 30)
        took_s = time.monotonic() - began_s
        await limits.close()

    assert found == [True] * 30
    # Three waits of 0.25 s, then Redis is left alone; ten such waits would be 7.5 s.
    assert took_s < 5


async def test_many_at_once_wait_no_longer_than_one() -> None:
    async with server(b"") as url:
        limits = Limits(url, 1000)
        began_s = time.monotonic()
        found = await asyncio.gather(*(limits.spend("a") for _ in range(200)))
        took_s = time.monotonic() - began_s
        await limits.close()

    assert all(each is not None and each.is_allowed for each in found)
    assert took_s < 10


async def test_an_answer_that_is_too_late_is_left_to_come_and_not_cut_off() -> None:
    """A connection that is cut off in its handshake would go back to the pool half greeted."""
    limits = Limits(AWAY, 3)
    may_answer = asyncio.Event()

    async def answer() -> Allowance:
        await may_answer.wait()
        return Allowance(is_allowed=True, limit=3)

    with pytest.raises(TimeoutError):
        await limits._in_time(answer())
    (left,) = limits._asking
    assert not left.done()

    may_answer.set()
    await limits.close()
    assert left.result().is_allowed
    assert not limits._asking
