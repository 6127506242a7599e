"""Markets made up from a seed, and producers that are not ours."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from confluent_kafka import KafkaError, Message, Producer

from tests.poison import Poison, tick, unscaled

Pair = tuple[bytes | None, bytes | None]
"""Key and value of a Kafka record."""
START_US = 1_700_000_000_000_000
SLICE_S = 0.01


def market(  # noqa: PLR0913 - the dials of a market
    seed: int,
    count: int,
    *,
    venue: str,
    symbols: Sequence[str],
    every_us: int = 2_000_000,
    jitter_us: int = 20_000_000,
    repeats: float = 0.02,
    start_us: int = START_US,
) -> list[Pair]:
    """Return trades in the order in which they arrive, those sent twice among them.

    Args:
        seed: Of all that is random.
        count: How many trades.
        venue: Their venue.
        symbols: Traded in turn; those at odd places give their trades no ids.
        every_us: Between two trades of one symbol.
        jitter_us: How much a trade may come after one that happened later; below grace.
        repeats: Share of trades that come twice.
        start_us: Event time of the first.
    """
    dice = random.Random(seed)
    arrivals: list[tuple[int, int, Pair]] = []
    prices = [dice.randrange(10**13, 10**17) for _ in symbols]
    for n in range(count):
        which = n % len(symbols)
        symbol, numbered = symbols[which], which % 2 == 0
        at_us = start_us + n // len(symbols) * every_us
        prices[which] = max(1, prices[which] + dice.randrange(-(10**9), 10**9))
        fields = {
            "venue": venue,
            "symbol": symbol,
            "event_time": at_us - at_us % 1000,
            "ingest_time": at_us,
            "sequence": n,
            "trade_id": str(n) if numbered else None,
            "price": unscaled(prices[which]),
            "size": unscaled(dice.randrange(1, 10**13)),
            "source": "market",
        }
        pair = symbol.encode(), tick(fields)
        times = 2 if dice.random() < repeats else 1
        for _ in range(times):
            arrivals.append((at_us + dice.randrange(jitter_us + 1), len(arrivals), pair))
    return [pair for *_, pair in sorted(arrivals)]


def mixed(seed: int, pairs: Iterable[Pair], poison: Sequence[Poison], share: float) -> list[Pair]:
    """Return `pairs` with poison of every kind among them, about `share` of all."""
    dice = random.Random(seed)
    found: list[Pair] = []
    for pair in pairs:
        if dice.random() < share / (1 - share):
            drop = dice.choice(poison)
            found.append((drop.key, drop.value))
        found.append(pair)
    found += [(drop.key, drop.value) for drop in poison]
    return found


class Feed:
    """A producer of librdkafka, no other code.

    Args:
        kafka: ``host:port``.
        topic: The topic's whole name.
        partitioner: ``consistent_random`` is librdkafka's own default, and wrong here.

    Attributes:
        partitions: Where each key went last, once it was acknowledged.
    """

    def __init__(self, kafka: str, topic: str, partitioner: str = "murmur2_random") -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "partitioner": partitioner,
                "enable.idempotence": True,
                "linger.ms": 2,
                "compression.type": "lz4",
                "message.max.bytes": 4 << 20,
                "queue.buffering.max.messages": 1_000_000,
                "on_delivery": self._note,
            }
        )
        self._failed: list[str] = []
        self.partitions: dict[bytes | None, int | None] = {}

    def send(self, pairs: Iterable[Pair]) -> None:
        """Send as fast as it goes."""
        for key, value in pairs:
            self._producer.produce(self._topic, value, key)
            self._producer.poll(0)

    def send_at(self, rate: float, pairs: Sequence[Pair]) -> Iterator[int]:
        """Send so many a second, and yield every 10 ms how many were sent."""
        began, sent = time.monotonic(), 0
        while sent < len(pairs):
            due = min(len(pairs), int((time.monotonic() - began) * rate) + 1)
            self.send(pairs[sent:due])
            sent = due
            yield sent
            ahead = began + sent / rate - time.monotonic()
            self._producer.poll(max(0.0, min(ahead, SLICE_S)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        left = self._producer.flush(60)
        assert not left, f"{left} records were not acknowledged"
        assert not self._failed, self._failed[:3]

    def _note(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(f"{message.topic()}: {error}")
        self.partitions[message.key()] = message.partition()
