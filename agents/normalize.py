"""ticks.raw.v1 → ticks.v1, and what is refused, missing or in the wrong partition.

Shape: one `Normalizer` a partition. Out of raw partition p go accepted ticks to ticks.v1 p, dead
letters to ticks.dlq.v1 p and gaps to ticks.gaps.v1 p, each in raw order and carrying the raw
offset. After a crash the last record of each tells how far it got, so a replay publishes nothing
twice; ticks of another partition go back to ticks.raw.v1, where a repeat is only a duplicate.
"""

import asyncio
from collections.abc import Iterable, Iterator

import numpy as np

from app import topics
from app.domain.normalize import Normalized, Normalizer
from app.engine.block import Block
from app.engine.checkpoint import Row
from app.errors import LogShrunk
from app.outlets import Outlets
from app.tail import Tail
from schemas.record import RecordCodec
from schemas.stamp import stamp


class Normalize:
    """Normalization of one partition; keeps a `Normalizer`."""

    def __init__(
        self, normalizer: Normalizer, outlets: Outlets, tail: Tail, codec: RecordCodec
    ) -> None:
        self._core = normalizer
        self._out = outlets
        self._tail = tail
        self._codec = codec
        self._ticks_through = -1
        self._refused = np.empty(0, np.int64)

    @property
    def offset(self) -> int:
        """Highest raw offset applied."""
        return self._core.offset

    @offset.setter
    def offset(self, offset: int) -> None:
        self._core.offset = offset

    async def begin(self) -> None:
        """Learn from the outputs how far they go, and which ticks were seen."""
        await asyncio.to_thread(self._learn)

    def _learn(self) -> None:
        partition, rules = self._core.partition, self._core.rules
        for ticks in self._tail.ticks(partition, rules.dedupe_window):
            # What the replay will bring again must not be known yet: it is state, too.
            raw = ticks["raw_offset"]
            self._core.remember(ticks.filter(raw.is_null() | (raw <= self._core.offset)))
            published = ticks["raw_offset"].max()
            if isinstance(published, int):
                self._ticks_through = max(self._ticks_through, published)
        end = self._tail.end(topics.RAW, partition)
        if self._ticks_through >= end:
            raise LogShrunk(
                f"{self._tail.name(topics.RAW)}[{partition}] ends at {end}, but ticks of it up "
                f"to {self._ticks_through} were published"
            )
        fence = self._core.offset
        found = self._tail.dead_letters_beyond(topics.RAW, partition, fence)
        self._refused = np.array(sorted(found), np.int64)

    async def apply(self, block: Block) -> None:
        """Normalize one block and publish what became of it."""
        decoded = block.decoded()
        keys = list(block.keys)
        known = self._refused_before(block)
        frame = decoded.frame
        if known:
            frame = frame.filter(~frame["offset"].is_in(known))
        done = self._core.apply(frame, keys, block.appended_us)
        refused = [*decoded.bad, *done.refused]
        for row, reason, detail in sorted(refused):
            if block.offsets[row] not in known:
                self._out.dead_letter(block, row, reason, detail)
        for row, symbol in done.rerouted:
            self._out.reroute(block.values[row], symbol)
        self._publish(block, keys, done)
        for gap in done.gaps:
            self._out.gap(gap, self._core.partition)
        self._out.count(done)

    def _refused_before(self, block: Block) -> set[int]:
        """Return the block's offsets that have their letters from before a crash.

        They stay refused, though a registry may know their schema by now.
        """
        end = int(np.searchsorted(self._refused, block.last_offset, "right"))
        found, self._refused = self._refused[:end], self._refused[end:]
        return set(found.tolist())

    def _publish(self, block: Block, keys: list[bytes | None], done: Normalized) -> None:
        accepted = done.accepted
        if self._ticks_through >= block.offsets[0]:
            accepted = accepted.filter(accepted["offset"] > self._ticks_through)
        rows = accepted["row"].to_numpy().astype(np.int64)
        values = stamp(
            block.values.take(rows),
            accepted["quality"].to_numpy(),
            accepted["offset"].to_numpy(),
            self._codec,
        )
        self._out.ticks(self._core.partition, [keys[row] for row in rows.tolist()], values)

    def emit(self, *, full: bool) -> None:
        """Nothing is owed between blocks."""

    async def idle(self, now_us: int) -> None:
        """Nothing waits for the time."""

    def save(self) -> Iterator[Row]:
        """Yield the rows of the core that changed."""
        return self._core.save()

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put the core's rows back."""
        self._core.restore(rows)
