"""What the API looks at on its own: the broker's progress and the series."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from app.api.freshness import LOOK_EVERY_S, Place
from app.api.services import Services
from app.breaker import CircuitOpen
from app.errors import BrokerUnavailable, StoreError

SERIES_EVERY_S = 10.0
RATES_OVER_S = 5.0

Look = Callable[[], tuple[Sequence[Place], Mapping[str, int]]]
"""Returns how far the workers are, and how many records each topic ever took."""


class Background:
    """The tasks of one API process.

    Args:
        services: What they keep up to date.
        look: Asks the broker; blocks.
    """

    def __init__(self, services: Services, look: Look) -> None:
        self._services = services
        self._look = look
        self._tasks: list[asyncio.Task[None]] = []
        self._counts: list[tuple[float, Mapping[str, int]]] = []

    def start(self) -> None:
        """Begin."""
        for work, every_s in (
            (self._progress, LOOK_EVERY_S),
            (self._series, SERIES_EVERY_S),
        ):
            task = asyncio.create_task(self._keep(work, every_s), name=work.__name__)
            self._tasks.append(task)

    async def stop(self) -> None:
        """End, and wait for the end."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    async def _keep(self, work: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            # What is away is told by the answers' age; the next look finds it again.
            with suppress(BrokerUnavailable, StoreError, CircuitOpen):
                await work()
            await asyncio.sleep(every_s)

    async def _progress(self) -> None:
        began_s = time.monotonic()
        places, counts = await asyncio.to_thread(self._look)
        self._services.freshness.observe(began_s, places)
        self._counts = [each for each in self._counts if began_s - each[0] <= RATES_OVER_S] + [
            (began_s, counts)
        ]
        first_s, first = self._counts[0]
        if began_s > first_s:
            self._services.rates = {
                topic: max(0, count - first.get(topic, count)) / (began_s - first_s)
                for topic, count in counts.items()
            }

    async def _series(self) -> None:
        services = self._services
        found = await services.hot_edge.call(services.hot.series)
        of_topics = set()
        for name in services.hub.streams():
            symbol, _, venue = name.partition(":")[2].partition("@")
            of_topics.add((symbol, venue.partition(":")[0]))
        services.series = frozenset(found | of_topics)
