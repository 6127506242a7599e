"""One arrow of the flow: the agent, its stages by partition, and the rows of their state."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from app.engine import checkpoint
from app.engine.publisher import Publisher
from app.engine.rows import Rows
from app.engine.stage import Stage
from app.topics import FENCED

CHANGELOG = {
    "cleanup.policy": "compact",
    **FENCED,
    "segment.bytes": str(32 << 20),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(8 << 20),
}
"""A row that is rewritten every second fills the changelog: small segments are cleaned early."""


@dataclass(slots=True)
class Agent:
    """One arrow of the flow.

    Attributes:
        name: Names the Faust agent, its table and its metrics.
        topic: Topic it reads.
        stage: Makes its stage for a partition.
        rows: Its state as its changelog has it; None for stateless ones.
        changelog: Topic that keeps its state.
        stages: Its stages by partition.
        numbers: Number of the last checkpoint by partition.
    """

    name: str
    topic: str
    stage: Callable[[int], Stage]
    rows: Rows | None = None
    changelog: str = ""
    stages: dict[int, Stage] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    async def begin(self, partition: int, committed: int) -> tuple[Stage, int]:
        """Return a partition's stage as its last checkpoint left it, and where it reads on.

        -1 is the beginning.
        """
        stage = self.stage(partition)
        if self.rows is None:
            stage.offset = committed - 1
        else:
            self.numbers[partition], rows = checkpoint.restored(partition, self.rows.of(partition))
            # In a thread: with many symbols it takes seconds, and the heart must go on beating.
            await asyncio.to_thread(stage.restore, rows.items())
        await stage.begin()
        return stage, stage.offset + 1 if stage.offset >= 0 else -1

    def write(self, partition: int, rows: list[checkpoint.Row], publisher: Publisher) -> None:
        """Publish a checkpoint: what a stage has saved."""
        if self.rows is None:
            raise AssertionError(f"{self.name} keeps no state")
        number = self.numbers[partition] = self.numbers[partition] + 1
        records = list(checkpoint.records(partition, number, rows))
        for key, value in records:
            publisher.publish(self.changelog, partition, key, value)
        self.rows.write(partition, records)
