"""Parts of our own topics, read once from where to where, beside the flow."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from app.errors import BrokerUnavailable
from app.topics import Topic

TIMEOUT_S = 20.0
AT_ONCE = 10_000
TO_THE_END = 1 << 62
"""An offset beyond every log's end."""


class LogReader:
    """Reads a range of one partition at a time.

    Args:
        client: librdkafka settings that reach the broker.
        prefix: Put before every topic's name.
    """

    def __init__(self, client: Mapping[str, object], prefix: str = "") -> None:
        self.prefix = prefix
        self._settings = {
            **client,
            "group.id": "tapeline-tail",  # required by assign(), never joined
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 4 << 10,
            "fetch.message.max.bytes": 1 << 20,
        }

    def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        """Return the first offset that is still there, and the one the next record gets."""
        with closing(Consumer(self._settings)) as consumer:
            return self._bounds(consumer, self.prefix + topic.name, partition)

    def since(self, topic: Topic, partition: int, append_us: int) -> int:
        """Return the first offset appended at or after a time; the end when there is none."""
        name = self.prefix + topic.name
        with closing(Consumer(self._settings)) as consumer:
            wanted = [Position(name, partition, append_us // 1000)]
            try:
                [found] = consumer.offsets_for_times(wanted, TIMEOUT_S)
            except KafkaException as error:
                raise BrokerUnavailable(f"{name}[{partition}] tells no times: {error}") from error
            if found.offset >= 0:
                return int(found.offset)
            return self._bounds(consumer, name, partition)[1]

    def records(
        self, topic: Topic, partition: int, start: int, stop: int
    ) -> Iterator[list[Message]]:
        """Yield the records of [start, stop) that are still there, in blocks of at least one.

        Raises:
            BrokerUnavailable: The broker refuses the partition or does not answer in time.
        """
        name = self.prefix + topic.name
        with closing(Consumer(self._settings)) as consumer:
            low, high = self._bounds(consumer, name, partition)
            at, stop = max(low, start), min(high, stop)
            if at >= stop:
                return
            consumer.assign([Position(name, partition, at)])
            while at < stop:
                messages = consumer.consume(AT_ONCE, 0.2)
                if not messages:
                    position = consumer.position([Position(name, partition)])[0].offset
                    if position >= stop:
                        return  # the rest was compacted or aborted away
                    messages = consumer.consume(1, TIMEOUT_S)
                    if not messages:
                        raise BrokerUnavailable(f"{name}[{partition}] stopped at {at} of {stop}")
                for message in messages:
                    if message.error() is not None:
                        raise BrokerUnavailable(f"{name}[{partition}]: {message.error()}")
                at = messages[-1].offset() + 1
                wanted = [m for m in messages if m.offset() < stop] if at > stop else messages
                if wanted:
                    yield wanted

    @staticmethod
    def _bounds(consumer: Consumer, name: str, partition: int) -> tuple[int, int]:
        try:
            low, high = consumer.get_watermark_offsets(Position(name, partition), TIMEOUT_S)
        except KafkaException as error:
            raise BrokerUnavailable(f"{name}[{partition}] has no end: {error}") from error
        return low, high
