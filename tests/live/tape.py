"""Quotes straight into quotes.v1, at a steady rate, each telling when it was sent."""

import random
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Self

from confluent_kafka import Producer

from app.partitions import partition_of
from schemas.record import RecordCodec
from schemas.registry import built_in

SLICE_S = 0.01
VENUE = "CROWD"


class Tape:
    """A thread that sends quotes while the context is open.

    Args:
        client: librdkafka settings that reach the broker.
        topic: The topic's name on the broker.
        partitions: Of it.
        symbols: How many symbols change in turn.
        rate: Quotes a second.
    """

    def __init__(
        self, client: Mapping[str, object], topic: str, partitions: int, symbols: int, rate: float
    ) -> None:
        self._producer = Producer({**client, "linger.ms": 1})
        self._topic, self._partitions, self._rate = topic, partitions, rate
        self._names = [f"S{n:05d}/USD" for n in range(symbols)]
        self._codec = RecordCodec("quote", built_in())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tape", daemon=True)
        self.sent = 0

    def _run(self) -> None:
        dice, began_s = random.Random(1), time.monotonic()
        mids = dict.fromkeys(self._names, 10_000)
        while not self._ended.wait(SLICE_S):
            due = int((time.monotonic() - began_s) * self._rate)
            while self.sent < due:
                symbol = self._names[self.sent % len(self._names)]
                mids[symbol] += dice.choice((-3, -2, 2, 3))
                self._send(symbol, mids[symbol])
                self.sent += 1
            self._producer.poll(0)
        self._producer.flush(10)

    def _send(self, symbol: str, mid: int) -> None:
        now = datetime.now(UTC)
        quote = {
            "symbol": symbol, "venue": VENUE, "event_time": now, "ingest_time": now,
            "sequence": self.sent, "bid": Decimal(mid - 1) / 100, "ask": Decimal(mid + 1) / 100,
            "bid_size": Decimal(1), "ask_size": Decimal(1), "crossed": False, "source": "tape",
            "source_partition": 0, "tick_offset": self.sent,
        }  # fmt: skip
        self._producer.produce(
            self._topic, self._codec.encode(quote), f"{symbol}@{VENUE}".encode(),
            partition=partition_of(symbol, self._partitions),
        )  # fmt: skip

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
