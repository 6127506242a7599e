"""bars.v1, ticks.v1 → Postgres or TimescaleDB: every bar with its history, every tick.

Shape: the store keeps the offset of each partition in the transaction that writes its rows, so
it knows better than Kafka where to go on, and a block is applied once whatever crashes.
"""

import asyncio
from typing import Any

from app.domain.ports import OFFSET, WarmStore
from app.engine.block import Block
from app.engine.sink import persist
from app.engine.stage import Stateless
from app.errors import StoreRejected
from app.metrics import Metrics
from app.outlets import Outlets

DAY_S = 86_400.0


async def keep_house(store: WarmStore, metrics: Metrics) -> None:
    """Make the coming days' partitions and drop what is too old, daily."""
    while True:
        await persist(store.maintain, "postgres", metrics)
        await asyncio.sleep(DAY_S)


class _Warm(Stateless):
    """One partition of one topic."""

    def __init__(
        self, topic: str, partition: int, store: WarmStore, outlets: Outlets, metrics: Metrics
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._store = store
        self._out = outlets
        self._metrics = metrics

    async def begin(self) -> None:
        """Go on where the store stands, which may be ahead of the committed offset or behind."""
        known = await persist(
            lambda: self._store.positions([self._topic]), "postgres", self._metrics
        )
        self.offset = known.get((self._topic, self._partition), 0) - 1


class WarmTicks(_Warm):
    """Ticks of one partition."""

    async def apply(self, block: Block) -> None:
        """Store the block's ticks and its last offset; ticks refused become dead letters."""
        await self._store_rows(block, 0, len(block))

    async def _store_rows(self, block: Block, start: int, stop: int) -> None:
        frame = block.decoded().frame
        first, last = int(block.offsets[start]), int(block.offsets[stop - 1])
        rows = frame.filter(frame["offset"].is_between(first, last))
        try:
            await persist(
                lambda: self._store.apply_ticks(self._topic, self._partition, first, last, rows),
                "postgres",
                self._metrics,
            )
        except StoreRejected as error:
            if stop - start > 1:
                half = (start + stop) // 2
                await self._store_rows(block, start, half)
                await self._store_rows(block, half, stop)
                return
            self._out.dead_letter(block, start, "store_rejected", str(error))
            none = frame.clear()
            await persist(
                lambda: self._store.apply_ticks(self._topic, self._partition, first, last, none),
                "postgres",
                self._metrics,
            )


class WarmBars(_Warm):
    """Bars of one partition."""

    async def apply(self, block: Block) -> None:
        """Store the block's bars and its last offset; bars refused become dead letters."""
        good, bad = block.records()
        for row, reason, detail in bad:
            self._out.dead_letter(block, row, reason, detail)
        rows = {row: {**bar, OFFSET: int(block.offsets[row])} for row, bar in good}
        await self._store_rows(block, rows, 0, len(block))

    async def _store_rows(
        self, block: Block, bars: dict[int, dict[str, Any]], start: int, stop: int
    ) -> None:
        first, last = int(block.offsets[start]), int(block.offsets[stop - 1])
        rows = [bars[row] for row in range(start, stop) if row in bars]
        try:
            await persist(
                lambda: self._store.apply_bars(self._topic, self._partition, first, last, rows),
                "postgres",
                self._metrics,
            )
        except StoreRejected as error:
            if stop - start > 1:
                half = (start + stop) // 2
                await self._store_rows(block, bars, start, half)
                await self._store_rows(block, bars, half, stop)
                return
            self._out.dead_letter(block, start, "store_rejected", str(error))
            await persist(
                lambda: self._store.apply_bars(self._topic, self._partition, first, last, []),
                "postgres",
                self._metrics,
            )
