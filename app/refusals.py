"""The dead letters of one agent about one partition: each once, whatever crashes.

Letters are published in the order of their records and acknowledged before the agent's position
moves past them, so a restart finds in the topic of dead letters how far they go. It looks only
when there is something to refuse: nearly always there is not.
"""

import asyncio
from collections.abc import Iterable

from app.engine.block import Block
from app.outlets import Outlets
from app.tail import Tail
from app.topics import Topic
from schemas.block import Bad


class Refusals:
    """What one agent refuses of one partition.

    Args:
        by: The agent; no other writes letters under its name.
        topic: What it reads.
        partition: Likewise.
        outlets: Where letters go.
        tail: Where earlier ones are found.
    """

    def __init__(self, by: str, topic: Topic, partition: int, outlets: Outlets, tail: Tail) -> None:
        self._by = by
        self._topic = topic
        self._partition = partition
        self._out = outlets
        self._tail = tail
        self._through: int | None = None

    async def refuse(self, block: Block, bad: Iterable[Bad]) -> None:
        """Publish the letters of a block, in any order, that were not published before."""
        refused = sorted(bad)
        if not refused:
            return
        if self._through is None:
            first = int(block.offsets[refused[0].row])
            self._through = await asyncio.to_thread(
                self._tail.refused_through, self._topic, self._partition, self._by, first
            )
        for row, reason, detail in refused:
            if block.offsets[row] > self._through:
                self._out.dead_letter(block, row, reason, detail, self._by)

    async def settle(self) -> None:
        """Wait until the letters are acknowledged."""
        await asyncio.to_thread(self._out.flush)
