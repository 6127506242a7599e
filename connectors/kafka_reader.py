"""Read topics once, up to where they end when the reading begins; nothing is committed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from app.errors import BrokerUnavailable
from connectors.kafka_admin import QUIET, KafkaAdmin

AT_ONCE = 20_000
"""Records taken at once."""


class Record(NamedTuple):
    """One record of a topic; `append_us` is Kafka's time of it, µs since the epoch."""

    topic: str
    partition: int
    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None


def read(
    client: Mapping[str, object],
    topic: str,
    *,
    partitions: Sequence[int] | None = None,
    last: int | None = None,
    timeout_s: float = 15.0,
) -> Iterator[list[Record]]:
    """Yield a topic's records in blocks, in order within each partition.

    Args:
        client: librdkafka settings that reach the broker.
        topic: Its name on the broker; yields nothing if it is not there.
        partitions: Only these.
        last: At most so many of each partition, the newest; compaction leaves fewer.
        timeout_s: Longest wait for the next record.

    Raises:
        BrokerUnavailable: Kafka did not answer in time.
    """
    admin = KafkaAdmin(client, timeout_s=timeout_s)
    ends, begins = admin.ends([topic]), admin.ends([topic], first=True)
    spans = {
        at.partition: (begins[at] if last is None else max(begins[at], end - last), end)
        for at, end in ends.items()
        if partitions is None or at.partition in partitions
    }
    left = {partition: end for partition, (begin, end) in spans.items() if begin < end}
    settings = {**client, **QUIET, "group.id": "tapeline-reader", "enable.auto.commit": False,
                "enable.partition.eof": True}  # fmt: skip
    if not left:
        return
    with closing(Consumer(settings)) as consumer:
        consumer.assign([Position(topic, p, spans[p][0]) for p in left])
        while left:
            found = [m for m in _taken(consumer, topic, timeout_s) if m.partition() in left]
            records = [
                _record(m) for m in found
                if m.error() is None and m.offset() < spans[m.partition()][1]
            ]  # fmt: skip
            for message in found:
                # The end of a partition is told by the record before it, or by an "error".
                if (
                    message.error() is not None
                    or message.offset() + 1 >= spans[message.partition()][1]
                ):
                    left.pop(message.partition(), None)
            if records:
                yield records


def _taken(consumer: Consumer, topic: str, timeout_s: float) -> list[Message]:
    try:
        messages: list[Message] = consumer.consume(1, timeout_s)
        if messages:
            messages += consumer.consume(AT_ONCE - 1, 0)
    except KafkaException as error:
        raise BrokerUnavailable(f"{topic}: {error.args[0].str()}") from error
    if not messages:
        raise BrokerUnavailable(f"{topic}: no record came within {timeout_s:g} s")
    for message in messages:
        trouble = message.error()
        if trouble is not None and trouble.name() != "_PARTITION_EOF":
            raise BrokerUnavailable(f"{topic}: {trouble.str()}")
    return messages


def _record(message: Message) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1] * 1000,
        message.key(),
        message.value(),
    )
