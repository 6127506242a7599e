"""How far our own outputs go: read from their ends when a partition is taken over.

An output record carries the offset of what caused it and outputs of a partition are in that
order, so the last one tells what a replay need not publish again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from typing import Any

import polars as pl
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Position

from app import topics
from app.errors import BrokerUnavailable
from app.topics import Topic
from schemas.block import decode
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.wire import Undecodable

TIMEOUT_S = 20.0
STEP = 1_000
AT_ONCE = 20_000
EVERY = 1 << 62

OffsetOf = Callable[[Mapping[str, Any]], int]


class Tail:
    """The ends of the topics that this worker writes.

    Args:
        client: librdkafka settings that reach the broker.
        registry: How their values are read.
        prefix: Put before every topic's name.
    """

    def __init__(self, client: Mapping[str, object], registry: Registry, prefix: str = "") -> None:
        self._client = client
        self._registry = registry
        self._prefix = prefix

    def end(self, topic: Topic, partition: int) -> int:
        """Return the offset that the next record of a partition gets."""
        settings = {**self._client, "group.id": "tapeline-tail"}
        with closing(Consumer(settings)) as consumer:
            return self._bounds(consumer, self._prefix + topic.name, partition)[1]

    def ticks(self, partition: int, window: int) -> Iterator[pl.DataFrame]:
        """Yield the last `window` ticks of a partition of ticks.v1, oldest first, in blocks."""
        for values in self._last(topics.TICKS, partition, window):
            yield decode(values, topics.TICKS.schema, self._registry).frame

    def dead_letters_through(self, source: Topic, partition: int) -> int:
        """Return the highest offset of `source` among the dead letters of a partition, or -1.

        Others may write dead letters of other topics between, so the end is searched in
        growing steps until one of `source` is found.
        """
        return self._through(
            topics.DEAD_LETTERS,
            partition,
            lambda letter: (
                letter["offset"] if letter["topic"] == self._prefix + source.name else -1
            ),
        )

    def late_through(self, partition: int) -> int:
        """Return the highest offset of ticks.v1 among the late ticks of a partition, or -1."""
        return self._through(topics.LATE, partition, lambda late: late["tick_offset"])

    def whole(self, topic: Topic, partition: int) -> Iterator[list[dict[str, Any]]]:
        """Yield every record of a partition, in blocks; what is no record is passed over."""
        codec = RecordCodec(topic.schema, self._registry)
        for values in self._last(topic, partition, EVERY):
            records = []
            for value in values:
                with suppress(Undecodable):
                    records.append(codec.decode(value or b""))
            yield records

    def _through(self, topic: Topic, partition: int, offset_of: OffsetOf) -> int:
        codec = RecordCodec(topic.schema, self._registry)
        step = STEP
        while True:
            found, read = -1, 0
            for values in self._last(topic, partition, step):
                read += len(values)
                for value in values:
                    try:
                        found = max(found, offset_of(codec.decode(value or b"")))
                    except Undecodable:
                        continue
            if found >= 0 or read < step:
                return found
            step *= 10

    def _last(self, topic: Topic, partition: int, count: int) -> Iterator[list[bytes | None]]:
        """Yield the values of the last `count` records in blocks, fewer when there are fewer."""
        name = self._prefix + topic.name
        settings = {
            **self._client,
            "group.id": "tapeline-tail",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 8 << 10,
        }
        with closing(Consumer(settings)) as consumer:
            low, high = self._bounds(consumer, name, partition)
            at = max(low, high - count)
            consumer.assign([Position(name, partition, at)])
            while at < high:
                messages = consumer.consume(AT_ONCE, 0.2)
                if not messages:
                    position = consumer.position([Position(name, partition)])[0].offset
                    if position >= high:
                        return  # the rest was compacted or aborted away
                    messages = consumer.consume(1, TIMEOUT_S)
                    if not messages:
                        raise BrokerUnavailable(f"{name}[{partition}] stopped at {at} of {high}")
                for message in messages:
                    if message.error() is not None:
                        raise BrokerUnavailable(f"{name}[{partition}]: {message.error()}")
                at = messages[-1].offset() + 1
                yield [message.value() for message in messages]

    @staticmethod
    def _bounds(consumer: Consumer, name: str, partition: int) -> tuple[int, int]:
        try:
            low, high = consumer.get_watermark_offsets(Position(name, partition), TIMEOUT_S)
        except KafkaException as error:
            raise BrokerUnavailable(f"{name}[{partition}] has no end: {error}") from error
        return low, high
