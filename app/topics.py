"""The topics, as data: `tapeline topics apply` creates what stands here and nothing else.

Every topic of the flow has the same partition count, so that one symbol lives in one partition
of each. No time of a record is the producer's idea of a tick's: retention would delete replayed
history at once. Where anyone may write it is the broker's (`LogAppendTime`). What only the owner
of a partition may write carries the time at which it was made, by the broker's clock, and the
broker refuses it later than `FENCE_MS` after: whoever wrote it owns the partition no more.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

DAY_MS = 86_400_000
FENCE_MS = 5_000
"""How long what an owner wrote may be on its way; `app.engine.lease` counts on it."""
RECORD_BYTES = 2 << 20
"""Largest batch a topic takes; a tick may have 1 MiB."""


FENCED = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": str(FENCE_MS),
    "message.timestamp.after.max.ms": str(FENCE_MS),
}
"""Neither a late record of a stopped worker is taken, nor any of one whose clock is wrong."""
APPENDED = {"message.timestamp.type": "LogAppendTime"}


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the flow.

    Attributes:
        name: The topic's name, with the contract's major version.
        schema: Name of the record schema in `schemas/`.
        cleanup: ``compact`` keeps the newest value of each key, ``delete`` keeps by age.
        retention_ms: How long a deleted topic keeps records; None for compacted ones.
        max_bytes: Largest batch of records; a dead letter holds a whole refused record.
        is_owned: Whether only the workers that own its partitions write to it.
    """

    name: str
    schema: str
    cleanup: Literal["compact", "delete"]
    retention_ms: int | None = None
    max_bytes: int = RECORD_BYTES
    is_owned: bool = True

    def config(self) -> dict[str, str]:
        """Return the broker's settings for this topic."""
        settings = {
            "cleanup.policy": self.cleanup,
            **(FENCED if self.is_owned else APPENDED),
            "compression.type": "producer",
            "max.message.bytes": str(self.max_bytes),
        }
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        if self.cleanup == "compact":
            # The newest value of a hot key is rewritten every second: clean early and often.
            settings["segment.bytes"] = str(64 << 20)
            settings["min.cleanable.dirty.ratio"] = "0.2"
        return settings


RAW = Topic("ticks.raw.v1", "tick", "delete", 7 * DAY_MS, is_owned=False)
TICKS = Topic("ticks.v1", "tick", "delete", 30 * DAY_MS)
BARS = Topic("bars.v1", "bar", "compact")
QUOTES = Topic("quotes.v1", "quote", "compact")
ANOMALIES = Topic("anomalies.v1", "anomaly", "delete", 30 * DAY_MS, is_owned=False)
GAPS = Topic("ticks.gaps.v1", "gap", "compact")
LATE = Topic("ticks.late.v1", "late_tick", "delete", 30 * DAY_MS)
DEAD_LETTERS = Topic("ticks.dlq.v1", "dead_letter", "delete", 30 * DAY_MS, 3 * RECORD_BYTES)
CLOCK = Topic("clock.v1", "clock", "delete", 30 * DAY_MS)

ALL = (RAW, TICKS, BARS, QUOTES, ANOMALIES, GAPS, LATE, DEAD_LETTERS, CLOCK)
