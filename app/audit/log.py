"""Ranges of Kafka's logs, read by offset, and how far each group has come."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from app.audit.records import Message
from app.errors import BrokerUnavailable
from app.settings import Settings
from app.topics import Topic

AT_ONCE = 50_000
"""Records of one chunk, at most."""
BYTES_AT_ONCE = 48 << 20
TAKEN = 5_000
Offsets = dict[int, int]
"""By partition."""


class Log:
    """The topics of one flow; close it.

    Args:
        settings: Where they are, and what they are called.
        timeout_s: Longest wait for an answer.

    Attributes:
        records_read: How many records were read so far, by topic.
    """

    def __init__(self, settings: Settings, timeout_s: float = 20.0) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self.records_read: dict[str, int] = {}
        self._consumer = self._open(f"{settings.topic_prefix}{settings.group}-audit")

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    def partitions(self, topic: Topic) -> list[int]:
        """Return the partitions of a topic; none where there is no such topic."""
        name = self._settings.topic(topic)
        found = self._asked(self._consumer.list_topics, name, timeout=self._timeout_s).topics[name]
        return sorted(found.partitions)

    def ends(self, topic: Topic) -> Offsets:
        """Return the next offset of each partition."""
        return {p: self._bounds(topic, p)[1] for p in self.partitions(topic)}

    def begins(self, topic: Topic) -> Offsets:
        """Return the first offset of each partition that is still there."""
        return {p: self._bounds(topic, p)[0] for p in self.partitions(topic)}

    def committed(self, group: str, topic: Topic) -> Offsets:
        """Return the next offset of each partition that a group would read; -1 for none."""
        asked = [TopicPartition(self._settings.topic(topic), p) for p in self.partitions(topic)]
        with closing(self._open(group)) as consumer:
            found = self._asked(consumer.committed, asked, timeout=self._timeout_s)
        return {at.partition: max(at.offset, -1) for at in found}

    def since(self, topic: Topic, partition: int, append_us: int) -> int:
        """Return the first offset of a partition appended at or after a time."""
        at = TopicPartition(self._settings.topic(topic), partition, max(0, append_us // 1000))
        [found] = self._asked(self._consumer.offsets_for_times, [at], timeout=self._timeout_s)
        end = self._bounds(topic, partition)[1]
        return int(found.offset) if found.offset >= 0 else end

    def read(self, topic: Topic, partition: int, start: int, stop: int) -> Iterator[list[Message]]:
        """Yield the records of [start, stop), in chunks, in order; what is gone is left out."""
        first, end = self._bounds(topic, partition)
        start, stop = max(start, first), min(stop, end)
        if start >= stop:
            return
        name = self._settings.topic(topic)
        at = TopicPartition(name, partition, start)
        self._consumer.assign([at])
        chunk: list[Message] = []
        size = 0
        while start < stop:
            found = self._asked(self._consumer.consume, TAKEN, 0.2)
            for each in found:
                if each.error() is not None:
                    raise BrokerUnavailable(f"{name}: {each.error().str()}")
                if each.offset() < stop:
                    chunk.append(_message(each))
                    size += len(each.value() or b"")
            start = self._position(name, partition, start, found)
            if len(chunk) >= AT_ONCE or size >= BYTES_AT_ONCE:
                yield self._counted(topic, chunk)
                chunk, size = [], 0
        if chunk:
            yield self._counted(topic, chunk)

    def _counted(self, topic: Topic, chunk: list[Message]) -> list[Message]:
        self.records_read[topic.name] = self.records_read.get(topic.name, 0) + len(chunk)
        return chunk

    def _position(self, name: str, partition: int, start: int, found: list[Any]) -> int:
        if found:
            self._waits = 0
            start = max(start, found[-1].offset() + 1)
        else:
            # Behind the last record of a compacted range there may be nothing to be handed out.
            self._waits += 1
            if self._waits * 0.2 > self._timeout_s:
                raise BrokerUnavailable(f"{name}: no record came within {self._timeout_s:g} s")
        [at] = self._consumer.position([TopicPartition(name, partition)])
        return max(start, int(at.offset))

    _waits = 0

    def _bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        at = TopicPartition(self._settings.topic(topic), partition)
        found: tuple[int, int] = self._asked(
            self._consumer.get_watermark_offsets, at, timeout=self._timeout_s
        )
        return found

    def _asked(self, ask: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return ask(*arguments, **options)
        except KafkaException as error:
            raise BrokerUnavailable(f"Kafka: {error.args[0].str()}") from error

    def _open(self, group: str) -> Consumer:
        config: Mapping[str, Any] = {
            **self._settings.kafka_client_config(),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.min.messages": 100_000,
            "queued.max.messages.kbytes": 32_768,
            "fetch.wait.max.ms": 20,
            "log_level": 2,
        }
        return Consumer(config)


def _message(message: Any) -> Message:
    return Message(
        message.partition(), message.offset(), message.timestamp()[1] * 1000, message.key(),
        message.value(),
    )  # fmt: skip
