"""Parts of our topics, and how much of them was read."""

from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import Message

from app.log_reader import LogReader
from app.topics import Topic


@dataclass(slots=True)
class Read:
    """What was asked of one partition, [start, stop), and what came.

    Attributes:
        times: How often it was asked for.
        records: How many came, all times together; likewise `bytes`, of keys and values.
        gone: Offsets of it that the topic does not hold any more.
    """

    topic: str
    partition: int
    start: int
    stop: int
    times: int = 0
    records: int = 0
    bytes: int = 0
    gone: int = 0


class CountedLog:
    """Reads parts of our topics, and counts.

    Args:
        reader: What reads them.

    Attributes:
        reads: What was read so far.
    """

    def __init__(self, reader: LogReader) -> None:
        self.reads: list[Read] = []
        self._reader = reader

    @property
    def prefix(self) -> str:
        """What stands before every topic's name."""
        return self._reader.prefix

    def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        """Return the first offset that is still there, and the one the next record gets."""
        return self._reader.bounds(topic, partition)

    def since(self, topic: Topic, partition: int, append_us: int) -> int:
        """Return the first offset appended at or after a time; the end when there is none."""
        return self._reader.since(topic, partition, append_us)

    def records(
        self, topic: Topic, partition: int, start: int, stop: int
    ) -> Iterator[list[Message]]:
        """Yield the records of [start, stop) that are still there, in blocks of at least one.

        Raises:
            BrokerUnavailable: The broker refuses the partition or does not answer in time.
        """
        if start >= stop:
            return
        read = self._read(topic, partition, start, stop)
        for messages in self._reader.records(topic, partition, start, stop):
            read.records += len(messages)
            read.bytes += sum(len(m.key() or b"") + len(m.value() or b"") for m in messages)
            yield messages

    def _read(self, topic: Topic, partition: int, start: int, stop: int) -> Read:
        asked = topic.name, partition, start, stop
        for read in self.reads:
            if (read.topic, read.partition, read.start, read.stop) == asked:
                read.times += 1
                return read
        low, high = self.bounds(topic, partition)
        left = max(0, min(high, stop) - max(low, start))
        gone = stop - start - left
        self.reads.append(Read(topic.name, partition, start, stop, times=1, gone=gone))
        return self.reads[-1]
