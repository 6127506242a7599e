"""Calls of a store that blocks, made beside the event loop, and never waited for long."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from app.breaker import Breaker, CircuitOpen
from app.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Calls one store from threads of its own.

    Three failures in a row leave the store alone for a while (`app.breaker`), so that requests
    do not wait for one that is away.

    Args:
        name: What the store is called in threads and messages.
        threads: Calls at a time.
        timeout_s: Longest wait for an answer; the call itself goes on in its thread.
        clock_s: A monotonic clock.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int = 4,
        timeout_s: float = 1.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._breaker = Breaker(clock_s=clock_s)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `function` returns.

        Raises:
            StoreUnavailable: No answer, or none in time, or the store is left alone.
        """
        try:
            with self._breaker.attempt(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(self._timeout_s):
                    return await asyncio.wrap_future(self._pool.submit(function, *args, **kwargs))
        except TimeoutError:
            raise StoreUnavailable(f"{self._name}: no answer in {self._timeout_s:g} s") from None
        except CircuitOpen as error:
            raise StoreUnavailable(f"{self._name}: {error}") from error

    def close(self) -> None:
        """Begin no more calls; those under way end by their own timeouts."""
        self._pool.shutdown(wait=False, cancel_futures=True)
