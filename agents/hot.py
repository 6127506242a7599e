"""bars.v1, quotes.v1, ticks.v1 → Redis: the newest of everything, announced.

Shape: nothing is kept here. Every write is guarded by the row's own rank, so a repeat after a
crash, or a late write of a worker that was given up, changes nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import polars as pl
import structlog

from app.domain.ports import HotStore
from app.engine.block import Block
from app.engine.sink import persist
from app.engine.stage import Stateless
from app.errors import StoreRejected, StoreUnavailable
from app.metrics import Metrics
from app.outlets import Outlets
from app.tail import Tail
from app.topics import Topic

_log = structlog.get_logger(__name__)


class Kind(NamedTuple):
    """Bars or quotes: the topic they come from and how the store takes them."""

    topic: Topic
    store: HotStore
    put: Callable[[list[dict[str, Any]]], int]
    metrics: Metrics


class HotTicks(Stateless):
    """The newest ticks of one partition."""

    def __init__(self, store: HotStore, keep: int, outlets: Outlets, metrics: Metrics) -> None:
        self._store = store
        self._keep = keep
        self._out = outlets
        self._metrics = metrics

    async def apply(self, block: Block) -> None:
        """Put the block's ticks; those of a series that Redis refuses become dead letters."""
        frame = block.decoded().frame
        try:
            await self._put(frame)
        except StoreRejected:
            for series in frame.partition_by("symbol", "venue"):
                try:
                    await self._put(series)
                except StoreRejected as error:
                    for row in series["row"]:
                        self._out.dead_letter(block, row, "store_rejected", str(error))

    async def _put(self, frame: pl.DataFrame) -> None:
        if not frame.is_empty():
            await persist(lambda: self._store.put_ticks(frame, self._keep), "redis", self._metrics)


class HotRecords(Stateless):
    """Bars or quotes of one partition; a store that lost them is filled again from the topic."""

    def __init__(self, kind: Kind, partition: int, outlets: Outlets, tail: Tail) -> None:
        self._kind = kind
        self._partition = partition
        self._part = f"{kind.topic.name}:{partition}"
        self._out = outlets
        self._tail = tail
        self._look: asyncio.Future[None] | None = None

    async def begin(self) -> None:
        """Fill the store if it is not known to be whole."""
        await self._keep_whole()

    async def apply(self, block: Block) -> None:
        """Put the block's records; one that Redis refuses becomes a dead letter."""
        good, bad = block.records()
        for row, reason, detail in bad:
            self._out.dead_letter(block, row, reason, detail)
        await self._put_all(block, good)

    def emit(self, *, full: bool) -> None:
        """Look at checkpoints, beside the blocks, whether the store lost what it held."""
        if full and (self._look is None or self._look.done()):
            self._look = asyncio.ensure_future(self._keep_whole_if_it_answers())

    async def _keep_whole_if_it_answers(self) -> None:
        with suppress(StoreUnavailable):  # the next block waits for it, or the next look
            await self._keep_whole()

    async def _keep_whole(self) -> None:
        store, metrics = self._kind.store, self._kind.metrics
        if not await persist(lambda: store.is_whole(self._part), "redis", metrics):
            _log.warning("hot store incomplete", part=self._part)
            await persist(self._fill, "redis", metrics)
            _log.info("hot store filled", part=self._part)

    def _fill(self) -> None:
        """Put the whole topic, which is compacted; each write is guarded, so order is no matter."""
        for records in self._tail.whole(self._kind.topic, self._partition):
            try:
                self._kind.put(records)
            except StoreRejected:  # a dead letter since it first came: its neighbours go on
                for record in records:
                    with suppress(StoreRejected):
                        self._kind.put([record])
        self._kind.store.mark_whole(self._part)

    async def _put_all(self, block: Block, good: list[tuple[int, dict[str, Any]]]) -> None:
        if not good:
            return
        records = [record for _, record in good]
        try:
            await persist(lambda: self._kind.put(records), "redis", self._kind.metrics)
        except StoreRejected as error:
            if len(good) == 1:
                self._out.dead_letter(block, good[0][0], "store_rejected", str(error))
                return
            half = len(good) // 2
            await self._put_all(block, good[:half])
            await self._put_all(block, good[half:])
