"""The keys that were shown lately, as the store last knew them.

A key is asked for again `FRESH_S` after it was last read: what was revoked is refused within that
time, in every process. While the store is away, a key that it knew is taken for `STALE_S` more;
then, and for keys never seen, the answer is 503, because nobody can tell.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from app.api.access.aside import Aside
from app.api.access.keys import ApiKey, KeyStore
from app.errors import StoreUnavailable

FRESH_S = 30.0
STALE_S = 600.0

log = structlog.get_logger()


class KeyRing:
    """Finds keys by their ids.

    Args:
        store: Where they are kept.
        aside: Calls it.
        clock_s: A monotonic clock.
    """

    def __init__(
        self, store: KeyStore, aside: Aside, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._aside, self._clock_s = store, aside, clock_s
        self._held: dict[str, tuple[ApiKey, float]] = {}
        self._asked: dict[str, asyncio.Task[ApiKey | None]] = {}
        self._is_stale = False

    def holds(self, key_id: str) -> bool:
        """Return whether `find` answers without the store."""
        held = self._held.get(key_id)
        return held is not None and self._clock_s() - held[1] < FRESH_S

    async def find(self, key_id: str) -> ApiKey | None:
        """Return the key of an id, at most `FRESH_S` old while the store answers.

        Raises:
            StoreUnavailable: The store is away, and was for `STALE_S` or never knew the key.
        """
        if self.holds(key_id):
            return self._held[key_id][0]
        try:
            return await self._ask(key_id)
        except StoreUnavailable as error:
            held = self._held.get(key_id)
            if held is None or self._clock_s() - held[1] >= STALE_S:
                raise
            self._tell(str(error))
            return held[0]

    async def is_empty(self) -> bool:
        """Return whether the store has no key at all; raises `StoreUnavailable`."""
        return await self._aside.call(self._store.is_empty)

    async def _ask(self, key_id: str) -> ApiKey | None:
        """Ask once for all who wait for the same key."""
        task = self._asked.get(key_id)
        if task is None:
            task = asyncio.create_task(self._read(key_id))
            self._asked[key_id] = task
            task.add_done_callback(lambda done: self._forget(key_id, done))
        # One who gives up must not take the answer from the others.
        return await asyncio.shield(task)

    def _forget(self, key_id: str, done: "asyncio.Task[ApiKey | None]") -> None:
        self._asked.pop(key_id, None)
        if not done.cancelled():
            done.exception()  # seen, also when everyone who asked has gone

    async def _read(self, key_id: str) -> ApiKey | None:
        asked_at_s = self._clock_s()
        row = await self._aside.call(self._store.get, key_id)
        self._tell(None)
        if row is None:
            self._held.pop(key_id, None)
            return None
        key = ApiKey.of(row)
        self._held[key_id] = key, asked_at_s
        return key

    def _tell(self, fault: str | None) -> None:
        """Log once that keys are taken as they were known, and once that it is over."""
        if self._is_stale is (fault is not None):
            return
        self._is_stale = fault is not None
        if self._is_stale:
            log.warning("keys taken as last known", for_s=STALE_S, error=fault)
        else:
            log.info("keys read again")
