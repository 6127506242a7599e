"""Where blocks come from: a librdkafka consumer, driven from one thread of its own.

Group membership stays with Faust's consumer; this one is told which partitions to read and from
where. Deep prefetch is what makes it fast (ARCHITECTURE.md has the figures). The next fetch and
its decoding run in the thread while the agents work on the last one.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby
from operator import methodcaller

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from app.engine.block import Block, Reading
from app.errors import BrokerUnavailable
from app.topics import TopicPartition

FETCH_RECORDS = 50_000
"""Records taken from librdkafka's queue at once, over all partitions."""
IDLE_WAIT_S = 0.1
ANSWER_WITHIN_S = 20.0
MAX_RECORD_BYTES = 8 << 20

_partition = methodcaller("partition")
_topic = methodcaller("topic")
_log = structlog.get_logger(__name__)

DEEP_PREFETCH = {
    "fetch.max.bytes": 50 << 20,
    "max.partition.fetch.bytes": MAX_RECORD_BYTES,
    "queued.min.messages": 200_000,
    "queued.max.messages.kbytes": 32 << 10,
    "fetch.wait.max.ms": 20,
    "fetch.queue.backoff.ms": 5,
}


class Source:
    """Blocks of the partitions it is assigned.

    Args:
        client: librdkafka settings that reach the broker.
        readings: How each topic's values are read, by topic name.
        keyed: Topics whose keys are wanted.

    Attributes:
        epoch: Counts assignments.
    """

    def __init__(
        self, client: Mapping[str, object], readings: Mapping[str, Reading], keyed: frozenset[str]
    ) -> None:
        self._readings = readings
        self._keyed = keyed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="blocks")
        self._next: dict[TopicPartition, int] = {}
        self.epoch = 0
        self._consumer = Consumer(
            {
                **client,
                **DEEP_PREFETCH,
                "group.id": "tapeline-blocks",  # required by assign(), never joined
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "error_cb": _note_error,
            }
        )

    def assign(self, positions: Mapping[TopicPartition, int]) -> Future[None]:
        """Read these partitions from these offsets, and no others; -1 is the beginning."""
        return self._thread.submit(self._assign, dict(positions))

    def fetch(self) -> Future[list[Block]]:
        """Fetch once: the result is empty when nothing came within 0.1 s.

        Raises:
            BrokerUnavailable: The broker refuses one of the partitions.
        """
        return self._thread.submit(self._fetch)

    def ends(self, tps: Collection[TopicPartition]) -> Future[dict[TopicPartition, int]]:
        """Ask the broker for the log's end of each partition."""
        return self._thread.submit(self._ends, tps)

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the log's end of each assigned partition, as far as it is known."""
        ends = {}
        for tp in list(self._next):
            _, high = self._consumer.get_watermark_offsets(Position(*tp), cached=True)
            if high >= 0:
                ends[tp] = high
        return ends

    def close(self) -> None:
        """Stop reading."""
        self._thread.submit(self._consumer.close).result()
        self._thread.shutdown()

    def _assign(self, positions: dict[TopicPartition, int]) -> None:
        self._next = positions
        self.epoch += 1
        self._consumer.assign(
            [
                Position(*tp, OFFSET_BEGINNING if offset < 0 else offset)
                for tp, offset in positions.items()
            ]
        )

    def _ends(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            return {
                tp: self._consumer.get_watermark_offsets(Position(*tp), ANSWER_WITHIN_S)[1]
                for tp in tps
            }
        except KafkaException as error:
            raise BrokerUnavailable(f"no end of a partition: {error}") from error

    def _fetch(self) -> list[Block]:
        try:
            # consume() waits for the whole batch: take one, then whatever is there already.
            messages = self._consumer.consume(1, IDLE_WAIT_S)
            if messages:
                messages += self._consumer.consume(FETCH_RECORDS - 1, 0)
        except KafkaException as error:
            raise BrokerUnavailable(f"fetch failed: {error}") from error
        blocks = [self._block(group) for group in _by_partition(messages)]
        for block in blocks:
            block.prepare()
        return blocks

    def _block(self, messages: list[Message]) -> Block:
        for message in messages:
            error = message.error()
            if error is not None:
                raise BrokerUnavailable(
                    f"{message.topic()}[{message.partition()}] cannot be read: {error}"
                )
        topic, partition = messages[0].topic(), messages[0].partition()
        offsets = [m.offset() for m in messages]
        tp = TopicPartition(topic, partition)
        expected = self._next[tp]
        if 0 <= expected < offsets[0]:
            _log.error(
                "records lost to retention", topic=topic, partition=partition,
                expected=expected, found=offsets[0],
            )  # fmt: skip
        self._next[tp] = offsets[-1] + 1
        keys = [m.key() for m in messages] if topic in self._keyed else []
        values = [m.value() for m in messages]
        append_us = messages[-1].timestamp()[1] * 1000
        return Block(
            topic, partition, values, keys, offsets, append_us, self._readings[topic], self.epoch
        )


def _by_partition(messages: list[Message]) -> list[list[Message]]:
    """Group records by (topic, partition), keeping their order."""
    groups: dict[tuple[str, int], list[Message]] = {}
    for topic, of_topic in groupby(messages, _topic):
        for partition, run in groupby(of_topic, _partition):
            groups.setdefault((topic, partition), []).extend(run)
    return list(groups.values())


def _note_error(error: object) -> None:
    _log.warning("broker connection troubled", error=str(error))
