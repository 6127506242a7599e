"""How many requests a principal may make a minute, counted by all API processes together.

Counted in Redis, in sliding windows: the last minute's count is the current window's plus the
share of the one before that still lies within it, so a burst at a boundary buys nothing. Two
small keys a principal, whatever the limit.

While Redis does not answer, each process counts for itself: a limit is then the sum of theirs.
No request fails or waits for it: an answer of Redis is waited for `TIMEOUT_S`, and a Redis that
failed three times in a row is left alone for a while (`app.breaker`).
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.breaker import Breaker, CircuitOpen, State

TIMEOUT_S = 0.25
CONNECTIONS = 32
"""To Redis; a request beyond them waits, `TIMEOUT_S` at most."""
_FAILURES = (RedisError, OSError)
"""Of Redis, and of the way to it; TimeoutError is an OSError."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a minute.

    Attributes:
        is_allowed: Whether the request may be served.
        limit: Requests a minute.
        remaining: How many more may be made now; None when this one is allowed, because to ask
            would cost every request a second trip to Redis. Likewise `reset_s`.
        reset_s: In how many seconds there is room for one more.
    """

    is_allowed: bool
    limit: int
    remaining: int | None = None
    reset_s: float | None = None

    @property
    def retry_after_s(self) -> int:
        """Whole seconds to wait after a refusal."""
        return max(1, math.ceil(self.reset_s or 0))


class Limits:
    """Counts requests.

    Args:
        redis_url: Where all processes count; empty: each for itself.
        per_minute: Requests that a principal may make in any minute; 0: as many as it likes.
        prefix: First part of the keys in Redis.
        note: Told whether counts are shared now, at each change.
    """

    def __init__(
        self,
        redis_url: str,
        per_minute: int,
        *,
        prefix: str = "tl",
        note: Callable[[bool], None] = lambda _is_shared: None,
    ) -> None:
        self._item = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = (
            SlidingWindowCounterRateLimiter(_storage(redis_url, self._pool, prefix))
            if self._pool
            else None
        )
        self._asking: set[asyncio.Task[Allowance]] = set()
        self._is_shared = self._shared is not None
        self._note = note
        note(self._is_shared)
        self._breaker = Breaker(note=self._tell)

    async def spend(self, who: str) -> Allowance | None:
        """Count one request of `who`; None when there is no limit."""
        if self._item is None:
            return None
        if self._shared is not None:
            try:
                with self._breaker.attempt(*_FAILURES):
                    return await self._in_time(self._spend(self._shared, self._item, who))
            except (CircuitOpen, *_FAILURES):
                pass  # told when the breaker opens: one late answer is no news
        return await self._spend(self._local, self._item, who)

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._pool is not None:
            await self._pool.aclose()

    async def _in_time(self, asking: Coroutine[None, None, Allowance]) -> Allowance:
        """Return an answer of Redis that comes in time; a later one is dropped when it comes.

        It is not cancelled: the client would put a connection back in whose handshake is not
        answered yet, and the next command would read that answer for its own.
        """
        task = asyncio.create_task(asking)
        self._asking.add(task)
        task.add_done_callback(self._forget)
        done, _ = await asyncio.wait({task}, timeout=TIMEOUT_S)
        if not done:
            raise TimeoutError
        return task.result()

    def _forget(self, task: asyncio.Task[Allowance]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            task.exception()

    @staticmethod
    async def _spend(
        limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerMinute, who: str
    ) -> Allowance:
        if await limiter.hit(item, who):
            return Allowance(is_allowed=True, limit=item.amount)
        reset_time, remaining = await limiter.get_window_stats(item, who)
        return Allowance(
            is_allowed=False,
            limit=item.amount,
            remaining=int(remaining),
            reset_s=max(0.0, round(reset_time - time.time(), 3)),
        )

    def _tell(self, state: State) -> None:
        """Say that Redis is left alone, and that it is asked again: each once."""
        is_shared = self._shared is not None and state is State.CLOSED
        if state is State.HALF_OPEN or is_shared is self._is_shared:
            return
        self._is_shared = is_shared
        self._note(is_shared)
        if is_shared:
            log.info("limits shared again")
        else:
            log.warning("limits counted by each process alone", reason="Redis does not answer")


def _pool(url: str) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


def _storage(url: str, pool: BlockingConnectionPool, prefix: str) -> Storage:
    return RedisStorage(
        f"async+{url}",
        implementation="redispy",
        key_prefix=f"{prefix}:limits",
        connection_pool=pool,  # type: ignore[arg-type]  # passed on to the client
    )
