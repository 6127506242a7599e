"""Where blocks come from: a librdkafka consumer, driven from one thread of its own.

Group membership stays with Faust's consumer; this one is told which partitions to read and from
where. Deep prefetch is what makes it fast (ARCHITECTURE.md has the figures). The next fetch and
its decoding run in the thread while the agents work on the last one.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import structlog

from app.engine.block import Block, Reading
from app.engine.gather import Gathered, gather
from app.engine.librdkafka import BEGINNING, Consumer
from app.errors import LogShrunk
from app.topics import TopicPartition

FETCH_RECORDS = 24_000
"""Records taken from librdkafka's queue at once, over all partitions."""
IDLE_WAIT_S = 0.1
ANSWER_WITHIN_S = 20.0

_log = structlog.get_logger(__name__)

DEEP_PREFETCH = {
    "fetch.max.bytes": 50 << 20,
    "max.partition.fetch.bytes": 1 << 20,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 8 << 10,
    "fetch.wait.max.ms": 20,
    "fetch.queue.backoff.ms": 5,
}


class Bounds(NamedTuple):
    """The first offset that is still there, and the one that the next record gets."""

    first: int
    end: int


class Source:
    """Blocks of the partitions it is assigned.

    Args:
        client: librdkafka settings that reach the broker.
        readings: How each topic's values are read, by topic name.
        patience: Other librdkafka settings of the fetch.

    Attributes:
        epoch: Counts assignments.
    """

    def __init__(
        self,
        client: Mapping[str, object],
        readings: Mapping[str, Reading],
        patience: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._readings = readings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._next: dict[TopicPartition, int] = {}
        self._messages = np.empty(FETCH_RECORDS, np.int64)
        self.epoch = 0
        self._consumer = Consumer(
            {
                **client,
                **DEEP_PREFETCH,
                **patience,
                "group.id": "tapeline-blocks",  # required by assign(), never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
            },
            _note_error,
        )

    def assign(self, positions: Mapping[TopicPartition, int]) -> Future[None]:
        """Read these partitions from these offsets, and no others; -1 is the beginning."""
        return self._thread.submit(self._assign, dict(positions))

    def fetch(self) -> Future[list[Block]]:
        """Fetch once: the result is empty when nothing came within 0.1 s.

        Raises:
            BrokerUnavailable: The broker refuses one of the partitions.
            LogShrunk: A topic was deleted and made again.
        """
        found: Future[list[Block]] = Future()
        self._thread.submit(self._fetch_for, found)
        return found

    def bounds(
        self, tps: Collection[TopicPartition], within_s: float = ANSWER_WITHIN_S
    ) -> Future[dict[TopicPartition, Bounds]]:
        """Ask the broker where the log of each partition begins and ends, each within a time."""
        return self._thread.submit(self._bounds, tps, within_s)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to read of each partition that was read from."""
        return dict(self._next)

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the log's end of each assigned partition, as far as it is known."""
        ends = {tp: self._consumer.known_bounds(tp)[1] for tp in list(self._next)}
        return {tp: end for tp, end in ends.items() if end >= 0}

    def close(self) -> None:
        """Stop reading."""
        self._thread.submit(self._consumer.close).result()
        self._thread.shutdown()
        self._decoder.shutdown()

    def _assign(self, positions: dict[TopicPartition, int]) -> None:
        self._next = positions
        self.epoch += 1
        self._consumer.assign(
            {tp: BEGINNING if offset < 0 else offset for tp, offset in positions.items()}
        )

    def _bounds(
        self, tps: Collection[TopicPartition], within_s: float
    ) -> dict[TopicPartition, Bounds]:
        return {tp: Bounds(*self._consumer.bounds(tp, within_s)) for tp in tps}

    def _fetch_for(self, found: Future[list[Block]]) -> None:
        """Fetch, and leave the decoding to the thread for it: both keep the order."""
        try:
            self._decoder.submit(_decode_for, self._fetch(), found)
        except BaseException as error:  # noqa: BLE001 - the waiting side raises it
            found.set_exception(error)

    def _fetch(self) -> list[Block]:
        # Taking waits for as many as are wanted: take one, then whatever is there already.
        count = self._consumer.take(self._messages[:1], IDLE_WAIT_S)
        if count:
            count += self._consumer.take(self._messages[1:], 0)
        return [self._block(tp, held) for tp, held in gather(self._messages[:count]).items()]

    def _block(self, tp: TopicPartition, held: Gathered) -> Block:
        reading = self._readings[tp.topic]
        first, expected = int(held.offsets[0]), self._next[tp]
        if first < expected:
            where = f"{tp.topic}[{tp.partition}]"
            raise LogShrunk(f"{where} begins anew at {first}, and was read up to {expected}")
        if reading.columnar and 0 <= expected < first:
            _log.error(
                "records lost to retention", topic=tp.topic, partition=tp.partition,
                expected=expected, found=first,
            )  # fmt: skip
        self._next[tp] = int(held.offsets[-1]) + 1
        return Block(
            *tp, held.values, held.keys, held.offsets, held.appended_us, reading, self.epoch
        )


def _decode_for(blocks: list[Block], found: Future[list[Block]]) -> None:
    try:
        for block in blocks:
            block.prepare()
    except BaseException as error:  # noqa: BLE001 - the waiting side raises it
        found.set_exception(error)
    else:
        found.set_result(blocks)


def _note_error(said: str) -> None:
    _log.warning("broker connection troubled", error=said)
