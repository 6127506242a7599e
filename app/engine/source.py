"""Where blocks come from: a librdkafka consumer, driven from one thread of its own.

Group membership stays with Faust's consumer; this one is told which partitions to read and from
where. Deep prefetch is what makes it fast (ARCHITECTURE.md has the figures). The next fetch and
its decoding run in the thread while the agents work on the last one.
"""

import gc
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from operator import methodcaller
from typing import NamedTuple

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from app.engine.block import Block, Reading
from app.errors import BrokerUnavailable
from app.topics import TopicPartition

FETCH_RECORDS = 24_000
"""Records taken from librdkafka's queue at once, over all partitions."""
IDLE_WAIT_S = 0.1
ANSWER_WITHIN_S = 20.0

_topic = methodcaller("topic")
_partition = methodcaller("partition")
_value = methodcaller("value")
_key = methodcaller("key")
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
        keyed: Topics whose keys are wanted.

    Attributes:
        epoch: Counts assignments.
    """

    def __init__(
        self, client: Mapping[str, object], readings: Mapping[str, Reading], keyed: frozenset[str]
    ) -> None:
        self._readings = readings
        self._keyed = keyed
        self._dense = frozenset(topic for topic, reading in readings.items() if reading.dense)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
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
        found: Future[list[Block]] = Future()
        self._thread.submit(self._fetch_for, found)
        return found

    def bounds(self, tps: Collection[TopicPartition]) -> Future[dict[TopicPartition, Bounds]]:
        """Ask the broker where the log of each partition begins and ends."""
        return self._thread.submit(self._bounds, tps)

    def positions(self) -> dict[TopicPartition, int]:
        """Return the next offset to read of each partition that was read from."""
        return dict(self._next)

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
        self._decoder.shutdown()

    def _assign(self, positions: dict[TopicPartition, int]) -> None:
        self._next = positions
        self.epoch += 1
        self._consumer.assign(
            [
                Position(*tp, OFFSET_BEGINNING if offset < 0 else offset)
                for tp, offset in positions.items()
            ]
        )

    def _bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        try:
            return {
                tp: Bounds(*self._consumer.get_watermark_offsets(Position(*tp), ANSWER_WITHIN_S))
                for tp in tps
            }
        except KafkaException as error:
            raise BrokerUnavailable(f"no bounds of a partition: {error}") from error

    def _fetch(self) -> list[Block]:
        # A fetch makes thousands of objects that the collector tracks, for a moment: meanwhile it
        # would walk the heap again and again, which was measured as 30 % of a worker's CPU.
        gc.disable()
        try:
            blocks = [
                self._block(tp, runs)
                for tp, runs in _by_partition(self._taken(), self._dense).items()
            ]
        finally:
            gc.enable()
        return blocks

    def _fetch_for(self, found: Future[list[Block]]) -> None:
        """Fetch, and leave the decoding to the thread for it: both keep the order."""
        try:
            self._decoder.submit(_decode_for, self._fetch(), found)
        except BaseException as error:  # noqa: BLE001 - the waiting side raises it
            found.set_exception(error)

    def _taken(self) -> list[Message]:
        try:
            # consume() waits for the whole batch: take one, then whatever is there already.
            messages: list[Message] = self._consumer.consume(1, IDLE_WAIT_S)
            if messages:
                messages += self._consumer.consume(FETCH_RECORDS - 1, 0)
        except KafkaException as error:
            raise BrokerUnavailable(f"fetch failed: {error}") from error
        return messages

    def _block(self, tp: TopicPartition, runs: list[list[Message]]) -> Block:
        reading = self._readings[tp.topic]
        spans = [range(run[0].offset(), run[0].offset() + len(run)) for run in runs]
        offsets = spans[0] if len(spans) == 1 else list(chain.from_iterable(spans))
        messages = runs[0] if len(runs) == 1 else list(chain.from_iterable(runs))
        expected = self._next[tp]
        if reading.columnar and 0 <= expected < offsets[0]:
            _log.error(
                "records lost to retention", topic=tp.topic, partition=tp.partition,
                expected=expected, found=offsets[0],
            )  # fmt: skip
        self._next[tp] = offsets[-1] + 1
        return Block(
            *tp,
            list(map(_value, messages)),
            list(map(_key, messages)) if tp.topic in self._keyed else [],
            offsets,
            messages[-1].timestamp()[1] * 1000,
            reading,
            self.epoch,
        )


def _by_partition(
    messages: list[Message], dense: Collection[str] = ()
) -> dict[TopicPartition, list[list[Message]]]:
    """Group records by partition, into runs of consecutive offsets; those become ranges.

    A fetch brings long runs. The end of one is looked for in ever larger steps, by its offset
    being as far away as its index; then all between must be of the same partition, or a hole in
    the offsets (of compaction, or a transaction's marker) has made up for another's record.
    Topics in `dense` have no holes, and need no second look.
    """
    groups: dict[TopicPartition, list[list[Message]]] = {}
    start = 0
    while start < len(messages):
        first = messages[start]
        if first.error() is not None:
            where = f"{first.topic()}[{first.partition()}]"
            raise BrokerUnavailable(f"{where} cannot be read: {first.error()}")
        stop = _run_end(messages, start)
        run = messages[start:stop]
        tp = TopicPartition(first.topic(), first.partition())
        while tp.topic not in dense and (
            len(set(map(_partition, run))) > 1 or len(set(map(_topic, run))) > 1
        ):
            run = run[: len(run) // 2]
        groups.setdefault(tp, []).append(run)
        start += len(run)
    return groups


def _run_end(messages: list[Message], start: int) -> int:
    """Return the index behind what looks like one run."""
    first = messages[start]
    topic, partition, base = first.topic(), first.partition(), first.offset() - start

    def belongs(index: int) -> bool:
        other = messages[index]
        where = other.offset() - index, other.partition(), other.topic()
        return bool(where == (base, partition, topic))

    reach = 1
    while start + reach < len(messages) and belongs(start + reach):
        reach *= 2
    low, high = start + reach // 2, min(start + reach, len(messages))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if belongs(middle) else (low, middle)
    return high


def _decode_for(blocks: list[Block], found: Future[list[Block]]) -> None:
    try:
        for block in blocks:
            block.prepare()
    except BaseException as error:  # noqa: BLE001 - the waiting side raises it
        found.set_exception(error)
    else:
        found.set_result(blocks)


def _note_error(error: object) -> None:
    _log.warning("broker connection troubled", error=str(error))
