"""What a stranger sees of a running Tapeline: the logs of Kafka, Redis's keys, Postgres's rows.

Reads with confluent-kafka, fastavro, redis and psycopg directly; nothing of the application's.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from functools import cache
from io import BytesIO
from typing import Any, NamedTuple

import psycopg
import redis
from confluent_kafka import Consumer, TopicPartition
from fastavro import schemaless_reader
from psycopg.rows import dict_row

from tests.poison import SCHEMAS, plain_schema

WIDE = Context(prec=100)
TIMEOUT_S = 20.0
RANK_DIGITS = 40
"""What stands before the JSON of a bar in Redis."""

SCHEMA_OF = {
    "ticks.raw.v1": "tick",
    "ticks.v1": "tick",
    "bars.v1": "bar",
    "ticks.dlq.v1": "dead_letter",
    "ticks.late.v1": "late_tick",
    "clock.v1": "clock",
}
Fields = dict[str, Any]
BarKey = tuple[str, str, str, int]
"""Symbol, venue, timeframe, open time in microseconds."""


class Record(NamedTuple):
    """One record of a log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    append_us: int


@dataclass(frozen=True, slots=True)
class Outside:
    """The servers, and what is the world's among what they hold."""

    kafka: str
    redis_url: str
    postgres_url: str
    prefix: str
    partitions: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)

    def env(self) -> dict[str, str]:
        """Return the environment in which our commands find it; `settings` are its workers'."""
        return {
            **self.settings,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "REDIS_URL": self.redis_url,
            "POSTGRES_URL": self.postgres_url,
            "TAPELINE_TOPIC_PREFIX": self.prefix,
        }

    def log(self, topic: str) -> list[Record]:
        """Return all records of a topic, by partition in offset order."""
        ends = self.ends(topic)
        left = {partition for partition, end in ends.items() if end}
        found: dict[int, list[Record]] = {partition: [] for partition in ends}
        with closing(self._consumer("reader")) as consumer:
            consumer.assign([TopicPartition(self.prefix + topic, p, 0) for p in left])
            while left:
                messages = consumer.consume(50_000, 0.1)
                for message in messages:
                    assert message.error() is None, message.error()
                    at = message.partition(), message.offset()
                    append_us = message.timestamp()[1] * 1000
                    found[at[0]].append(Record(*at, message.key(), message.value(), append_us))
                positions = consumer.position(
                    [TopicPartition(self.prefix + topic, p) for p in left]
                )
                left -= {p.partition for p in positions if p.offset >= ends[p.partition]}
        return [record for partition in sorted(found) for record in found[partition]]

    def decoded(self, topic: str) -> Iterator[tuple[Record, Fields]]:
        """Yield the records of a topic and their fields."""
        for record in self.log(topic):
            yield record, decode(SCHEMA_OF[topic], record.value)

    def ends(self, topic: str) -> dict[int, int]:
        """Return the next offset of each partition of a topic."""
        with closing(self._consumer("reader")) as consumer:
            return {
                p: consumer.get_watermark_offsets(
                    TopicPartition(self.prefix + topic, p), timeout=TIMEOUT_S
                )[1]
                for p in range(self.partitions)
            }

    def lag(self, group: str, topic: str) -> int:
        """Return how many records of a topic a group has not committed yet."""
        committed = self.committed(group, topic)
        return sum(end - committed[p] for p, end in self.ends(topic).items())

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the next offset that a group would read of each partition, 0 at first."""
        asked = [TopicPartition(self.prefix + topic, p) for p in range(self.partitions)]
        with closing(self._consumer(group)) as consumer:
            found = consumer.committed(asked, timeout=TIMEOUT_S)
        return {at.partition: max(at.offset, 0) for at in found}

    def rewind(self, group: str, topics: Iterable[str]) -> None:
        """Commit offset 0 everywhere for a group that has no members now."""
        offsets = [
            TopicPartition(self.prefix + topic, p, 0)
            for topic in topics
            for p in range(self.partitions)
        ]
        with closing(self._consumer(group)) as consumer:
            done = consumer.commit(offsets=offsets, asynchronous=False)
        assert done is not None
        assert not [at.error for at in done if at.error]

    def _consumer(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.kafka,
                "group.id": self.prefix + group,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "queued.min.messages": 500_000,
                "fetch.wait.max.ms": 20,
            }
        )

    def redis_members(self) -> dict[str, list[str]]:
        """Return the members of every series of bars, oldest first, by key without the prefix."""
        first = f"{self.prefix}tl:bars:"
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            keys = sorted(client.scan_iter(f"{first}*", count=1000))
            return {key.removeprefix(first): client.zrange(key, 0, -1) for key in keys}

    def redis_bars(self) -> dict[BarKey, Fields]:
        """Return every bar that Redis holds, in the shape of `decode`."""
        bars = {}
        for members in self.redis_members().values():
            for member in members:
                bar = json.loads(member[RANK_DIGITS:])
                bar.update({n: _number(bar[n]) for n in _decimals("bar") if bar.get(n) is not None})
                bars[key_of(bar)] = bar
        return bars

    def postgres_bars(self) -> dict[BarKey, Fields]:
        """Return every bar that Postgres holds, in the shape of `decode`."""
        with self._postgres() as connection:
            rows = connection.execute("SELECT * FROM bars").fetchall()
        return {key_of(bar): bar for bar in map(_in_microseconds, rows)}

    def postgres_texts(self) -> list[str]:
        """Return the tables of bars and of their history as text, in order of their keys."""
        with self._postgres() as connection:
            rows = connection.execute(
                "SELECT 'bar' AS kind, bars::text AS text FROM bars"
                " UNION ALL SELECT 'revision', bar_revisions::text FROM bar_revisions ORDER BY 1, 2"
            ).fetchall()
        return [row["text"] for row in rows]

    def postgres_ticks(self) -> set[tuple[int, int]]:
        """Return (partition, offset in ticks.v1) of every tick in Postgres, none twice."""
        with self._postgres() as connection:
            rows = connection.execute("SELECT partition, tick_offset FROM ticks").fetchall()
        places = [(row["partition"], row["tick_offset"]) for row in rows]
        assert len(set(places)) == len(places), "a tick is in Postgres twice"
        return set(places)

    def _postgres(self) -> psycopg.Connection[Fields]:
        return psycopg.connect(self.postgres_url, row_factory=dict_row)


def key_of(bar: Fields) -> BarKey:
    """Return what names a bar."""
    return bar["symbol"], bar["venue"], bar["timeframe"], bar["open_time"]


def decode(name: str, value: bytes | None) -> Fields:
    """Return a framed record's fields: decimals as Decimal, times as microseconds.

    Raises:
        ValueError: These bytes are no record of that name, or more than one.
    """
    magic, _ = struct.unpack_from(">bI", value or b"")
    source = BytesIO((value or b"")[5:])
    fields = schemaless_reader(source, _schema(name), None)
    assert isinstance(fields, dict)
    if magic or source.read(1):
        raise ValueError(f"{name} must be one framed record, was {value!r}")
    for column, scale in _decimals(name).items():
        if fields[column] is not None:
            unscaled = int.from_bytes(fields[column], "big", signed=True)
            fields[column] = Decimal(unscaled).scaleb(-scale, WIDE)
    return fields


@cache
def _schema(name: str) -> Any:
    return plain_schema(name)


@cache
def _decimals(name: str) -> dict[str, int]:
    """Return the scale of each decimal field."""
    scales = {}
    for each in json.loads((SCHEMAS / f"{name}.avsc").read_text())["fields"]:
        for branch in each["type"] if isinstance(each["type"], list) else [each["type"]]:
            if isinstance(branch, dict) and branch.get("logicalType") == "decimal":
                scales[each["name"]] = branch["scale"]
    return scales


def _number(text: str) -> Decimal:
    assert isinstance(text, str), f"a decimal must be text in Redis, was {text!r}"
    return Decimal(text)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _in_microseconds(row: Fields) -> Fields:
    return {
        name: (value - _EPOCH) // timedelta(microseconds=1)
        if isinstance(value, datetime)
        else value
        for name, value in row.items()
    }
