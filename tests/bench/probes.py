"""Ticks whose price tells which one they are, sent among a steady flow of others.

Probe n is of symbol n modulo their count, by turns a quote and a trade of it. Its bid or price is
1000 + n/10: by so much that no mid moves too little to be sent at once, whatever the throttle.
"""

import gc
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from app.domain.simulator import Market, feed
from app.partitions import partition_of
from app.topics import Topic
from connectors.kafka_reader import read
from connectors.producer import TickProducer
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.bench.ground import Ground

VENUE = "BENCH"
FIRST, PER_UNIT = 1_000, 10
SPREAD = Decimal("0.05")
SLICE_S = 0.005
"""The steady flow goes out this often, or tick by tick where it is slower."""

Sighting = tuple[int, float]
"""A probe's number, and when it was seen: seconds since the epoch."""


class Probes(NamedTuple):
    """The probes of some symbols."""

    symbols: tuple[str, ...]

    @classmethod
    def of_partitions(cls, partitions: int) -> "Probes":
        """Return probes with one symbol in each partition, which sort before the simulator's."""
        found: dict[int, str] = {}
        n = 0
        while len(found) < partitions:
            name = f"A-PROBE-{n}/USD"
            found.setdefault(partition_of(name, partitions), name)
            n += 1
        return cls(tuple(found.values()))

    def is_quote(self, n: int) -> bool:
        """Return whether probe n is a quote; else it is a trade."""
        return n // len(self.symbols) % 2 == 0

    def tick(self, n: int, now_us: int) -> dict[str, Any]:
        """Return probe n, of this moment, as `TickProducer.send` takes it."""
        value = FIRST + Decimal(n) / PER_UNIT
        tick = {
            "venue": VENUE, "symbol": self.symbols[n % len(self.symbols)], "event_time": now_us,
            "sequence": n, "source": "probe",
        }  # fmt: skip
        if self.is_quote(n):
            return {**tick, "bid": value, "ask": value + SPREAD, "bid_size": 1, "ask_size": 1}
        # Without holes: a missing id would be looked for.
        return {**tick, "trade_id": str(n // (2 * len(self.symbols))), "price": value, "size": 1}

    def first_seen(self, numbers: Iterable[int], sightings: Iterable[Sighting]) -> dict[int, float]:
        """Return when each of the probes, or a newer one of its symbol, was seen first.

        A newer value replaces an older one where values are conflated, so it is as good.
        """
        waiting: dict[int, list[int]] = defaultdict(list)
        for n in sorted(numbers, reverse=True):
            waiting[n % len(self.symbols)].append(n)
        seen = {}
        for n, at in sorted(sightings, key=lambda each: each[1]):
            older = waiting[n % len(self.symbols)]
            while older and older[-1] <= n:
                seen[older.pop()] = at
        return seen

    def logged(self, here: Ground, topic: Topic) -> list[Sighting]:
        """Return when each probe came into a topic of ticks, by its records' times: at most.

        Those are whole milliseconds, and no later than the moment.
        """
        codec, keys = RecordCodec(topic.schema, built_in()), [s.encode() for s in self.symbols]
        return [
            (number_of(tick["price"] or tick["bid"]), (record.append_us + 1000) / 1e6)
            for records in read(here.client, here.settings.topic(topic))
            for record in records
            if record.key in keys
            for tick in [codec.decode(record.value)]
        ]


def number_of(value: str | Decimal) -> int:
    """Return the number of the probe that has this bid or price."""
    return round((Decimal(value) - FIRST) * PER_UNIT)


class Flow(NamedTuple):
    """Ticks as they are sent, and how many a second."""

    keys: list[bytes]
    values: list[bytes]
    rate: float

    @classmethod
    def made(cls, producer: TickProducer, rate: float, symbols: int, seconds: float) -> "Flow":
        """Return simulated trades and quotes, encoded, whose event times begin now."""
        market = Market(7, symbols, start_us=time.time_ns() // 1000, step_us=1e6 / rate)
        keys: list[bytes] = []
        values: list[bytes] = []
        for frame in feed(market, round(rate * seconds)):
            keys += [symbol.encode() for symbol in frame["symbol"].to_list()]
            values += producer.encode(frame.drop("poison"))
        return cls(keys, values, rate)


class Sent(NamedTuple):
    """What was sent.

    Attributes:
        produced: When each probe was handed to the producer, seconds since the epoch, by number.
        began, ended: Of the flow, likewise.
        cpu_s: What sending took of this process.
        late_s: Most by which it woke up late: what stood still then was not measured.
    """

    produced: Mapping[int, float]
    began: float
    ended: float
    cpu_s: float
    late_s: float


def send(producer: TickProducer, flow: Flow, probes: Probes, first: int, rate: float) -> Sent:
    """Send the flow evenly and `rate` probes a second, numbered from `first`, until it is over.

    Probes go at random moments, one in each of their intervals: with an even beat they would meet
    what the workers do by the clock always at the same place.
    """
    dice = random.Random(1)
    produced: dict[int, float] = {}
    gc.collect()
    gc.freeze()
    gc.disable()
    step_s, sent, probe_s = max(SLICE_S, 1 / flow.rate), 0, dice.random() / rate
    next_s = late_s = 0.0
    began, began_s, began_cpu_s = time.time(), time.monotonic(), time.process_time()
    while sent < len(flow.values):
        now_s = time.monotonic() - began_s
        late_s = max(late_s, now_s - next_s)
        due = min(len(flow.values), int(now_s * flow.rate))
        if due > sent:
            producer.send_encoded(flow.keys[sent:due], flow.values[sent:due])
            sent = due
        if now_s >= probe_s:
            n = first + len(produced)
            produced[n] = send_probe(producer, probes, n)
            probe_s = (len(produced) + dice.random()) / rate
        next_s = min((now_s // step_s + 1) * step_s, probe_s)
        time.sleep(max(0.0, next_s - (time.monotonic() - began_s)))
    ended, cpu_s = time.time(), time.process_time() - began_cpu_s
    gc.enable()
    gc.unfreeze()
    producer.flush()
    return Sent(produced, began, ended, cpu_s, late_s)


def send_probe(producer: TickProducer, probes: Probes, n: int) -> float:
    """Send probe n; return when it was handed over."""
    now = time.time()
    producer.send(probes.tick(n, int(now * 1e6)))
    return now
