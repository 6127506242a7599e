"""bars.v1, ticks.v1 → Postgres or TimescaleDB: every bar with its history, every tick.

Shape: the store keeps the offset of each partition in the transaction that writes its rows, so
it knows better than Kafka where to go on, and a block is applied once whatever crashes. Dead
letters are acknowledged before the store's offset moves past their records.
"""

import asyncio
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

import polars as pl
from typing_extensions import override

from app.domain.ports import OFFSET, Applied, Row, WarmStore
from app.engine.block import Block
from app.engine.sink import Sink
from app.engine.stage import Stateless
from app.errors import StoreRejected
from app.refusals import Refusals
from schemas.block import Bad

DAY_S = 86_400.0


async def keep_house(store: WarmStore, sink: Sink) -> None:
    """Make the coming days' partitions and drop what is too old, daily."""
    while True:
        await sink.persist(store.maintain)
        await asyncio.sleep(DAY_S)


class _Warm(Stateless, ABC):
    """One partition of one topic."""

    def __init__(
        self, topic: str, partition: int, store: WarmStore, sink: Sink, refusals: Refusals
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._store = store
        self._sink = sink
        self._refusals = refusals

    async def begin(self) -> None:
        """Go on where the store stands, which may be ahead of the committed offset or behind."""
        known = await self._sink.persist(lambda: self._store.positions([self._topic]))
        self.offset = known.get((self._topic, self._partition), 0) - 1

    async def _put(self, block: Block, rows: Any, start: int, stop: int) -> None:
        """Store rows, by halves if need be; one that the store refuses becomes a dead letter."""
        if start == stop:
            return
        first, last = int(block.offsets[start]), int(block.offsets[stop - 1])
        try:
            await self._sink.persist(partial(self._store_in, first, last, rows))
        except StoreRejected as error:
            if stop - start > 1:
                half = (start + stop) // 2
                await self._put(block, rows, start, half)
                await self._put(block, rows, half, stop)
                return
            await self._refuse(block, Bad(start, "store_rejected", str(error)), rows[:0])

    async def _refuse(self, block: Block, bad: Bad, none: Any) -> None:
        """Write a dead letter, and only then move the store's offset past its record."""
        offset = int(block.offsets[bad.row])
        await self._refusals.refuse(block, [bad])
        await self._refusals.settle()
        await self._sink.persist(partial(self._store_in, offset, offset, none))

    @abstractmethod
    def _store_in(self, first: int, last: int, rows: Any) -> Applied:
        """Store those of a block's rows that are of these offsets, both inclusive."""


class WarmTicks(_Warm):
    """Ticks of one partition."""

    async def apply(self, block: Block) -> None:
        """Store the block's ticks and its last offset; ticks refused become dead letters."""
        await self._put(block, block.decoded().frame, 0, len(block))

    @override
    def _store_in(self, first: int, last: int, rows: pl.DataFrame) -> Applied:
        some = rows.filter(rows["offset"].is_between(first, last))
        return self._store.apply_ticks(self._topic, self._partition, first, last, some)


class WarmBars(_Warm):
    """Bars of one partition."""

    async def apply(self, block: Block) -> None:
        """Store the block's bars and its last offset; bars refused become dead letters."""
        good, bad = block.records()
        bars = [{**bar, OFFSET: int(block.offsets[row])} for row, bar in good]
        start = 0
        for each in bad:  # letters go out in the order of their records, see Refusals
            await self._put(block, bars, start, each.row)
            await self._refuse(block, each, [])
            start = each.row + 1
        await self._put(block, bars, start, len(block))

    @override
    def _store_in(self, first: int, last: int, rows: list[Row]) -> Applied:
        some = [bar for bar in rows if first <= bar[OFFSET] <= last]
        return self._store.apply_bars(self._topic, self._partition, first, last, some)
