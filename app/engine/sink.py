"""Stages that write blocks to a store: wait while it is away, set aside what it refuses.

All stages of a worker reach their store through one `Sink`. Each retries with capped backoff; the
breaker they share sees to it that a store that is away is tried by one of them at a time, and
that a store that hangs does not take every thread.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar

import stamina
import structlog

from app.breaker import Breaker, CircuitOpen, State
from app.errors import StoreUnavailable
from app.metrics import Metrics

T = TypeVar("T")
Store = Literal["redis", "postgres"]

GIVE_UP_AFTER_S = 300.0
"""A store away for longer ends the process, nothing acked; its supervisor starts it again."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0

_log = structlog.get_logger(__name__)


def _wait_s(error: Exception) -> bool | float:
    """Return whether to try again, or after how many seconds."""
    return (
        error.retry_after_s
        if isinstance(error, CircuitOpen)
        else isinstance(error, StoreUnavailable)
    )


class Sink:
    """One store, as the stages of one worker reach it.

    Args:
        store: Names it in metrics and logs.
        metrics: What is counted.
        give_up_after_s: How long a call is tried.
        breaker: Decides whether a call is made now; None makes one.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        give_up_after_s: float = GIVE_UP_AFTER_S,
        breaker: Breaker | None = None,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._give_up_after_s = give_up_after_s
        self._breaker = breaker or Breaker(note=self._note)

    async def persist(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread, again with capped backoff while the store is away.

        Raises:
            StoreUnavailable: The store was away for longer than the cap.
            StoreRejected: The store refuses what `call` brought.
        """
        try:
            async for attempt in stamina.retry_context(
                on=_wait_s, attempts=None, timeout=self._give_up_after_s,
                wait_initial=FIRST_WAIT_S, wait_max=LONGEST_WAIT_S, wait_jitter=FIRST_WAIT_S,
            ):  # fmt: skip
                with attempt:
                    return await self._try(call, is_again=attempt.num > 1)
        except CircuitOpen as error:
            raise StoreUnavailable(f"{self._store} is {error}") from error
        raise AssertionError("retry_context ends by returning or raising")

    async def once(self, call: Callable[[], T]) -> T:
        """Run `call` in a thread, once.

        Raises:
            StoreUnavailable: The store is away.
            StoreRejected: The store refuses what `call` brought.
        """
        try:
            return await self._try(call, is_again=False)
        except CircuitOpen as error:
            raise StoreUnavailable(f"{self._store} is {error}") from error

    async def _try(self, call: Callable[[], T], *, is_again: bool) -> T:
        with self._breaker.attempt(StoreUnavailable):
            if is_again:
                self._metrics.retried(self._store)
            return await asyncio.to_thread(call)

    def _note(self, state: State) -> None:
        self._metrics.breaker(self._store, state.value)
        if state is State.OPEN:
            _log.warning("store left alone", store=self._store)
