"""bars.v1, quotes.v1, ticks.v1 → Redis: the newest of everything, announced.

Shape: nothing is kept here. Every write is guarded by the row's own rank, so a repeat after a
crash, or a late write of a worker that was given up, changes nothing.
"""

from collections.abc import Callable
from typing import Any

from app.domain.ports import HotStore
from app.engine.block import Block
from app.engine.sink import persist
from app.engine.stage import Stateless
from app.errors import StoreRejected
from app.metrics import Metrics
from app.outlets import Outlets

Put = Callable[[list[dict[str, Any]]], int]


class HotTicks(Stateless):
    """The newest ticks of one partition."""

    def __init__(self, store: HotStore, keep: int, metrics: Metrics) -> None:
        self._store = store
        self._keep = keep
        self._metrics = metrics

    async def apply(self, block: Block) -> None:
        """Put the block's ticks."""
        frame = block.decoded().frame
        if not frame.is_empty():
            await persist(lambda: self._store.put_ticks(frame, self._keep), "redis", self._metrics)


class HotRecords(Stateless):
    """Bars or quotes of one partition."""

    def __init__(self, put: Put, outlets: Outlets, metrics: Metrics) -> None:
        self._put = put
        self._out = outlets
        self._metrics = metrics

    async def apply(self, block: Block) -> None:
        """Put the block's records; one that Redis refuses becomes a dead letter."""
        good, bad = block.records()
        for row, reason, detail in bad:
            self._out.dead_letter(block, row, reason, detail)
        await self._put_all(block, good)

    async def _put_all(self, block: Block, good: list[tuple[int, dict[str, Any]]]) -> None:
        if not good:
            return
        try:
            await persist(lambda: self._put([record for _, record in good]), "redis", self._metrics)
        except StoreRejected as error:
            if len(good) == 1:
                self._out.dead_letter(block, good[0][0], "store_rejected", str(error))
                return
            half = len(good) // 2
            await self._put_all(block, good[:half])
            await self._put_all(block, good[half:])
