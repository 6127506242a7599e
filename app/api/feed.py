"""Reads the served topics in a thread of its own and hands what they bring to the event loop.

Shape: no consumer group and nothing committed; every API process reads all partitions, from
offsets that it is given. Ticks are read from when somebody first listens to one, and decoded only
of symbols that somebody listens to: a batch says by which wish. When the loop is slow the thread
waits, and Kafka keeps.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from typing import Self

import structlog
from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka import TopicPartition as Position

from app import topics
from app.api.hub import Batch, Wish
from app.api.reading import Reading
from app.api.streams import Noun, Token, Update
from app.errors import RegistryError
from app.topics import Topic, TopicPartition
from schemas.json_form import jsonable
from schemas.wire import Undecodable

AT_ONCE = 256
"""Records of a batch, which the loop takes in one go."""
LOOK_S = 0.1
"""How soon a change of what is wanted, or the end, is seen while nothing comes."""
MOST_BATCHES = 4
"""Handed over and not yet taken."""
TIMEOUT_S = 10.0

_log = structlog.get_logger(__name__)


class Feed:
    """The thread.

    Args:
        client: librdkafka settings that reach the broker.
        prefix: Put before every topic's name.
        reading: How values are read.
        start: Where each partition begins.
        wish: Returns whose ticks are wanted now.
        hand_over: Takes a batch, from this thread, and calls its second argument when done.
    """

    def __init__(  # noqa: PLR0913 - what it stands between
        self,
        client: Mapping[str, object],
        prefix: str,
        reading: Reading,
        start: Mapping[TopicPartition, int],
        wish: Callable[[], Wish],
        hand_over: Callable[[Batch, Callable[[], None]], None],
    ) -> None:
        self._settings = {
            **client,
            "group.id": "tapeline-api",  # required by assign(), never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 10,
            "queued.max.messages.kbytes": 32 << 10,
            "log_level": 0,
            "error_cb": lambda _error: None,
        }
        self._prefix, self._reading, self._start = prefix, reading, dict(start)
        self._wish, self._hand_over = wish, hand_over
        self._by_name: dict[str, Topic | Noun] = {
            prefix + noun.topic.name: noun for noun in Noun
        } | {prefix + topics.GAPS.name: topics.GAPS}
        self._room = threading.Semaphore(MOST_BATCHES)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._picked = Wish(0, frozenset())
        self._keys: frozenset[bytes] = frozenset()
        self._has_ticks = False

    def _run(self) -> None:
        with closing(Consumer(self._settings)) as consumer:
            consumer.assign([Position(*at, offset) for at, offset in self._start.items()])
            self._pass_on(Batch((), dict(self._start), {}))
            while not self._ended.is_set():
                with suppress(KafkaException):  # the broker is away: tried again
                    self._mind_ticks(consumer)
                first = consumer.poll(LOOK_S)
                if first is not None:
                    self._pass_on(self._batch([first, *consumer.consume(AT_ONCE, 0)]))

    def _pass_on(self, batch: Batch) -> None:
        while not self._room.acquire(timeout=LOOK_S):
            if self._ended.is_set():
                return
        self._hand_over(batch, self._room.release)

    def _mind_ticks(self, consumer: Consumer) -> None:
        """Pick ticks by the present wish from here on, and say so; begin at their logs' ends."""
        wish = self._wish()
        if wish.version == self._picked.version:
            return
        begun: dict[TopicPartition, int] = {}
        if wish.symbols and not self._has_ticks:
            name = self._prefix + topics.TICKS.name
            places = [Position(name, n) for n in range(1 + max(at.partition for at in self._start))]
            for place in places:
                place.offset = consumer.get_watermark_offsets(place, TIMEOUT_S)[1]
            consumer.incremental_assign(places)
            begun = {TopicPartition(name, at.partition): at.offset for at in places}
            # For good: an end and a new beginning would have to be told apart by who joins between.
            self._has_ticks = True
        self._picked = wish
        self._keys = frozenset(symbol.encode() for symbol in wish.symbols)
        self._pass_on(Batch((), begun, {}, wish.version))

    def _batch(self, messages: Sequence[Message]) -> Batch:
        updates: list[Update] = []
        positions: dict[TopicPartition, int] = {}
        gaps = {}
        for message in messages:
            if message.error() is not None:
                continue
            at = TopicPartition(message.topic(), message.partition())
            positions[at] = message.offset() + 1
            kind = self._by_name[at.topic]
            key = message.key() or b""
            if kind is Noun.TICKS and key not in self._keys:
                continue
            try:
                if isinstance(kind, Noun):
                    updates.append(update_of(self._reading, kind, message))
                else:
                    gaps[key] = jsonable(kind.schema, self._reading.row(kind, message.value()))
            except (Undecodable, RegistryError) as error:
                _log.error("record not read", topic=at.topic, place=at, error=str(error))
        return Batch(updates, positions, gaps, self._picked.version)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def update_of(reading: Reading, noun: Noun, message: Message) -> Update:
    """Return a message of the topic of `noun` as its stream carries it."""
    token = Token(message.partition(), message.offset())
    return reading.update(noun, message.value(), token, message.timestamp()[1])
