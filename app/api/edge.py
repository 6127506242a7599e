"""Calls to a store from the event loop: never later than their time, never more than it can take.

    store = Edge("redis", timeout_s=2.0)
    row = await store.call(hot.latest_quote, "BTC/USD", "KRAKEN")

A store's client blocks, so its calls run in threads of their own. A store that failed again and
again is left alone by its breaker; when too many calls wait, one more is refused at once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from app.breaker import Breaker, State
from app.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
MOST_WAITING = 256


class Edge:
    """The way to one store.

    Args:
        name: The server's, for messages.
        timeout_s: Longest wait for an answer, waiting for a thread included.
        note: Told each change of its breaker.
    """

    def __init__(
        self,
        name: str,
        timeout_s: float,
        note: Callable[[State], None] = lambda _state: None,
    ) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self.breaker = Breaker(note=note)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)
        self._under_way = 0

    async def call(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the store answers.

        Raises:
            StoreUnavailable: It did not answer, not in time, or has too much to do.
            CircuitOpen: It is left alone for a while.
            StoreRejected: It refuses what it is given.
        """
        if self._under_way >= THREADS + MOST_WAITING:
            raise StoreUnavailable(f"{self.name}: {self._under_way} calls wait already")

        def guarded() -> T:
            with self.breaker.attempt(StoreUnavailable):
                return ask(*args, **kwargs)

        # Counted until the thread is done with it, not until the caller has given up.
        self._under_way += 1
        answer = asyncio.get_running_loop().run_in_executor(self._pool, guarded)
        answer.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(answer), self._timeout_s)
        except TimeoutError:
            raise StoreUnavailable(
                f"{self.name} did not answer within {self._timeout_s:g} s"
            ) from None

    def _done(self, answer: "asyncio.Future[T]") -> None:
        self._under_way -= 1
        if not answer.cancelled():
            answer.exception()  # seen, also when nobody waits for it any more

    def close(self) -> None:
        """Start nothing more; calls under way end by their own timeouts."""
        self._pool.shutdown(wait=False, cancel_futures=True)
