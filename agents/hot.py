"""bars.v1, quotes.v1, ticks.v1 → Redis: the newest of everything, announced.

Shape: nothing is kept here. Every write is guarded by the row's own rank, so a repeat after a
crash, or a late write of a worker that was given up, changes nothing. A store that may have lost
something is filled again beside the blocks: all of a compacted topic, the end of ticks.v1.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NamedTuple

import polars as pl
import structlog

from app.domain.ports import HotStore
from app.engine.block import Block
from app.engine.sink import Sink
from app.engine.stage import Stateless
from app.errors import BrokerUnavailable, StoreRejected, StoreUnavailable
from app.metrics import Metrics
from app.refusals import Refusals
from app.tail import Tail
from app.topics import Topic
from schemas.block import Bad

FIRST_REST_S, LONGEST_REST_S = 1.0, 10.0
"""Between two fillings of a store that does not keep what it is given."""

_log = structlog.get_logger(__name__)


class Kind(NamedTuple):
    """Ticks, bars or quotes: where they come from and how the store takes them."""

    noun: Literal["tick", "bar", "quote"]
    topic: Topic
    store: HotStore
    sink: Sink
    metrics: Metrics
    tail: Tail


class _Hot(Stateless, ABC):
    """One partition of one topic."""

    def __init__(self, kind: Kind, partition: int, refusals: Refusals) -> None:
        self._kind = kind
        self._partition = partition
        self._part = f"{kind.topic.name}:{partition}"
        self._refusals = refusals
        self._look: asyncio.Future[None] | None = None
        self._rest_s, self._rested_at = FIRST_REST_S, 0.0

    async def begin(self) -> None:
        """Begin to look; a store that is away now must not delay the others' partitions."""
        self.emit(full=True)

    def emit(self, *, full: bool) -> None:
        """Look at checkpoints, beside the blocks, whether the store lost what it held."""
        if not full:
            return
        if self._look is not None:
            if not self._look.done():
                return
            self._look.result()
        self._look = asyncio.ensure_future(self._keep_whole())

    async def _keep_whole(self) -> None:
        kind = self._kind
        with suppress(StoreUnavailable, BrokerUnavailable):  # the next look finds it as it is
            if await kind.sink.once(lambda: kind.store.is_whole(self._part)):
                self._rest_s = FIRST_REST_S
            elif time.monotonic() >= self._rested_at:
                await self._fill()
                # Looked at again, not believed: a server that evicts takes as fast as we give.
                self._rested_at = time.monotonic() + self._rest_s
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)

    async def _fill(self) -> None:
        kind, records = self._kind, 0
        era = await kind.sink.once(kind.store.era)
        _log.warning("hot store incomplete", part=self._part)
        parts = self._parts()
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            records += len(part)
            kind.metrics.refilled(kind.noun, len(part))
            await self._put_again(part)
        await kind.sink.persist(lambda: kind.store.mark_whole(self._part, era))
        _log.info("hot store filled", part=self._part, records=records)

    @abstractmethod
    def _parts(self) -> Iterator[Any]:
        """Yield what the store should hold, from the topic; each write is guarded."""

    @abstractmethod
    async def _put_again(self, part: Any) -> None:
        """Put one of them."""


class HotTicks(_Hot):
    """The newest ticks of one partition."""

    def __init__(self, kind: Kind, partition: int, refusals: Refusals, keep: int) -> None:
        super().__init__(kind, partition, refusals)
        self._keep = keep

    async def apply(self, block: Block) -> None:
        """Put the block's ticks; those of a series that Redis refuses become dead letters."""
        refused = [
            Bad(row, "store_rejected", str(error))
            for rows, error in await self._put(block.decoded().frame)
            for row in rows
        ]
        await self._refusals.refuse(block, refused)

    async def _put(self, frame: pl.DataFrame) -> list[tuple[list[int], StoreRejected]]:
        """Put ticks, series by series if need be; return the rows that Redis refuses."""
        if frame.is_empty():
            return []
        try:
            await self._kind.sink.persist(lambda: self._kind.store.put_ticks(frame, self._keep))
        except StoreRejected as error:
            series = frame.partition_by("symbol", "venue")
            if len(series) == 1:
                return [(frame["row"].to_list(), error)]
            return [found for each in series for found in await self._put(each)]
        return []

    def _parts(self) -> Iterator[pl.DataFrame]:
        return self._kind.tail.newest_ticks(self._partition, self._keep)

    async def _put_again(self, part: pl.DataFrame) -> None:
        await self._put(part)  # refused when it first came, and then a dead letter


class HotRecords(_Hot):
    """Bars or quotes of one partition."""

    def __init__(
        self,
        kind: Kind,
        partition: int,
        refusals: Refusals,
        put: Callable[[list[dict[str, Any]]], int],
    ) -> None:
        super().__init__(kind, partition, refusals)
        self._put_in = put

    async def apply(self, block: Block) -> None:
        """Put the block's records; one that Redis refuses becomes a dead letter."""
        good, bad = block.records()
        refused = [
            Bad(good[n][0], "store_rejected", str(error))
            for n, error in await self._put([record for _, record in good])
        ]
        await self._refusals.refuse(block, [*bad, *refused])

    async def _put(
        self, records: list[dict[str, Any]], first: int = 0
    ) -> list[tuple[int, StoreRejected]]:
        """Put records, by halves if need be; return the places of those that Redis refuses."""
        if not records:
            return []
        try:
            await self._kind.sink.persist(partial(self._put_in, records))
        except StoreRejected as error:
            if len(records) == 1:
                return [(first, error)]
            half = len(records) // 2
            lower = await self._put(records[:half], first)
            return lower + await self._put(records[half:], first + half)
        return []

    def _parts(self) -> Iterator[list[dict[str, Any]]]:
        return self._kind.tail.whole(self._kind.topic, self._partition)

    async def _put_again(self, part: list[dict[str, Any]]) -> None:
        await self._put(part)
