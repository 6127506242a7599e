"""Stages that write blocks to a store: wait while it is away, set aside what it refuses."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import stamina

from app.errors import StoreUnavailable
from app.metrics import Metrics

T = TypeVar("T")

GIVE_UP_AFTER_S = 300.0
"""A store away for longer ends the process, nothing acked; its supervisor starts it again."""


async def persist(call: Callable[[], T], store: str, metrics: Metrics) -> T:
    """Run `call` in a thread, again with capped backoff while the store is away.

    Raises:
        StoreUnavailable: The store was away for longer than `GIVE_UP_AFTER_S`.
    """
    async for attempt in stamina.retry_context(
        on=StoreUnavailable, attempts=None, timeout=GIVE_UP_AFTER_S, wait_initial=0.1, wait_max=5.0
    ):
        with attempt:
            if attempt.num > 1:
                metrics.retried(store)
            return await asyncio.to_thread(call)
    raise AssertionError("retry_context ends by returning or raising")
