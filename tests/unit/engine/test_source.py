"""Blocks of a source, against librdkafka's own mock of a broker."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from app.engine.block import Block, Reading
from app.engine.source import Bounds, Source
from app.errors import BrokerUnavailable, LogShrunk
from app.topics import TopicPartition
from schemas.record import RecordCodec
from schemas.registry import Registry, built_in
from tests.unit.engine.mock_kafka import (
    FETCH,
    FIND_COORDINATOR,
    GROUP_AUTHORIZATION_FAILED,
    TOPIC_AUTHORIZATION_FAILED,
    MockKafka,
    Record,
)
from tests.unit.schemas.records import tick

CODEC = RecordCodec("tick", built_in())
WITHIN_S = 10.0


def ticks(count: int, first: int = 0) -> list[Record]:
    return [Record(CODEC.encode(tick(sequence=first + n)), b"BTC/USD") for n in range(count)]


def source(kafka: MockKafka, *topics: str, registry: Registry | None = None) -> Source:
    reading = Reading("tick", registry or built_in(), columnar=True)
    return Source(kafka.client, dict.fromkeys(topics, reading))


@pytest.fixture
def topic(kafka: MockKafka, request: pytest.FixtureRequest) -> str:
    """A topic of three partitions with 5, 3 and 0 ticks."""
    name: str = request.node.originalname
    kafka.create(name, 3)
    kafka.write(name, 0, ticks(5))
    kafka.write(name, 1, ticks(3, first=100))
    return name


@pytest.fixture
def read(kafka: MockKafka, topic: str) -> Iterator[Source]:
    with closing(source(kafka, topic)) as made:
        yield made


def blocks(of: Source, count: int) -> list[Block]:
    """Fetch until so many records have come."""
    found: list[Block] = []
    deadline = time.monotonic() + WITHIN_S
    while sum(map(len, found)) < count:
        assert time.monotonic() < deadline
        found += of.fetch().result(WITHIN_S)
    return found


def sequences(found: list[Block]) -> dict[int, list[tuple[int, int]]]:
    """Return offset and sequence of every tick by partition."""
    by: dict[int, list[tuple[int, int]]] = {}
    for block in found:
        rows = block.decoded().frame.select("offset", "sequence").rows()
        by.setdefault(block.partition, []).extend(rows)
    return by


def test_every_record_comes_once_in_order_with_its_offset(read: Source, topic: str) -> None:
    read.assign({TopicPartition(topic, p): -1 for p in range(3)}).result()

    found = blocks(read, 8)

    assert sequences(found) == {
        0: [(n, n) for n in range(5)],
        1: [(n, 100 + n) for n in range(3)],
    }
    assert {(block.topic, block.epoch) for block in found} == {(topic, 1)}
    assert [key for block in found for key in block.keys] == [b"BTC/USD"] * 8
    assert read.fetch().result() == []
    ends = {TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 3}
    assert read.positions() == {**ends, TopicPartition(topic, 2): -1}
    assert read.end_offsets() == {**ends, TopicPartition(topic, 2): 0}


def test_a_fetch_takes_all_that_is_there(kafka: MockKafka) -> None:
    kafka.create("many", 1)
    kafka.write("many", 0, ticks(500))
    with closing(source(kafka, "many")) as read:
        read.assign({TopicPartition("many", 0): -1}).result()
        found = blocks(read, 500)

    assert len(found) < 50


def test_ends_are_unknown_before_a_broker_has_told_them() -> None:
    client = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    with closing(Source(client, {})) as read:
        read.assign({TopicPartition("t", 0): -1}).result()
        assert read.end_offsets() == {}


def test_reading_goes_on_where_it_is_told(read: Source, topic: str) -> None:
    read.assign({TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 2}).result()

    assert sequences(blocks(read, 3)) == {0: [(3, 3), (4, 4)], 1: [(2, 102)]}


def test_a_new_assignment_replaces_the_old_one_and_is_told_apart(read: Source, topic: str) -> None:
    read.assign({TopicPartition(topic, 0): -1}).result()
    first = blocks(read, 5)
    assert {block.epoch for block in first} == {read.epoch} == {1}

    read.assign({}).result()
    assert (read.positions(), read.end_offsets(), read.epoch) == ({}, {}, 2)
    assert read.fetch().result() == []

    read.assign({TopicPartition(topic, 1): 0, TopicPartition(topic, 0): 4}).result()
    again = blocks(read, 4)
    assert sequences(again) == {0: [(4, 4)], 1: [(n, 100 + n) for n in range(3)]}
    assert {block.epoch for block in again} == {read.epoch} == {3}


def test_fetches_that_overlap_keep_the_order(kafka: MockKafka, read: Source, topic: str) -> None:
    read.assign({TopicPartition(topic, 0): -1}).result()
    found, n = [], 5
    deadline = time.monotonic() + WITHIN_S
    while sum(map(len, found)) < 5 + 40:
        assert time.monotonic() < deadline
        fetches = [read.fetch() for _ in range(3)]
        if n < 5 + 40:
            kafka.write(topic, 0, ticks(8, first=n))
            n += 8
        for fetch in fetches:
            found += fetch.result(WITHIN_S)

    assert sequences(found) == {0: [(n, n) for n in range(45)]}


def test_topics_are_read_each_in_its_own_way(kafka: MockKafka) -> None:
    for name in ("columnar", "recorded"):
        kafka.create(name, 1)
        kafka.write(name, 0, ticks(2))
    readings = {
        "columnar": Reading("tick", built_in(), columnar=True),
        "recorded": Reading("tick", built_in(), columnar=False),
    }
    with closing(Source(kafka.client, readings)) as read:
        read.assign(dict.fromkeys((TopicPartition(name, 0) for name in readings), -1)).result()
        found = blocks(read, 4)

    for block in found:
        is_columnar = block.topic == "columnar"
        assert (block._decoded is not None, block._records is not None) == (
            is_columnar, not is_columnar,
        )  # fmt: skip
    assert {block.topic for block in found} == set(readings)


@pytest.mark.parametrize("walked", [True, False])
def test_blocks_come_prepared_as_their_readers_want_them(kafka: MockKafka, walked: bool) -> None:
    name = f"walked{walked}"
    kafka.create(name, 1)
    kafka.write(name, 0, ticks(2))
    readings = {name: Reading("tick", built_in(), columnar=True, walked=walked)}
    with closing(Source(kafka.client, readings)) as read:
        read.assign({TopicPartition(name, 0): -1}).result()
        found = blocks(read, 2)

    for block in found:
        assert (block._columns is not None, block._decoded is not None) == (walked, not walked)


def test_bounds_are_asked_for(kafka: MockKafka, read: Source, topic: str) -> None:
    kafka.expire(topic, 0, 2)
    tps = [TopicPartition(topic, p) for p in range(3)]

    assert read.bounds(tps).result() == dict(
        zip(tps, [Bounds(2, 5), Bounds(0, 3), Bounds(0, 0)], strict=True)
    )


@pytest.mark.parametrize(("start", "is_lost"), [(0, True), (1, True), (2, False), (-1, False)])
def test_records_that_expired_before_they_were_read_are_an_error_in_the_log(
    kafka: MockKafka, start: int, is_lost: bool
) -> None:
    name = f"lost{start}"
    kafka.create(name, 1)
    kafka.write(name, 0, ticks(5))
    kafka.expire(name, 0, 2)
    with capture_logs() as logs, closing(source(kafka, name)) as read:
        read.assign({TopicPartition(name, 0): start}).result()
        found = blocks(read, 3)

    assert sequences(found) == {0: [(n, n) for n in range(2, 5)]}
    told = [log for log in logs if log["event"] == "records lost to retention"]
    assert [(log["expected"], log["found"]) for log in told] == [(start, 2)] * is_lost


@pytest.fixture
def strict() -> Iterator[MockKafka]:
    """A broker of its own, as whoever asks next is refused."""
    broker = MockKafka()
    yield broker
    broker.close()


def test_a_partition_that_must_not_be_read_is_named(strict: MockKafka) -> None:
    strict.create("secret", 2)
    strict.write("secret", 1, ticks(3))
    strict.refuse(FETCH, TOPIC_AUTHORIZATION_FAILED)
    with closing(source(strict, "secret")) as read:
        read.assign({TopicPartition("secret", 1): -1}).result()
        with pytest.raises(BrokerUnavailable, match=r"secret\[1\].*Topic authorization failed"):
            blocks(read, 1)


def test_a_group_that_must_not_be_used_is_an_error_though_it_is_of_no_partition(
    strict: MockKafka,
) -> None:
    strict.refuse(FIND_COORDINATOR, GROUP_AUTHORIZATION_FAILED)
    with (
        closing(source(strict, "none")) as read,
        pytest.raises(BrokerUnavailable, match="Group authorization failed"),
    ):
        blocks(read, 1)


def test_trouble_in_decoding_reaches_whoever_waits(kafka: MockKafka, topic: str) -> None:
    class Away(Exception):
        pass

    class Broken:
        def id_of(self, _name: str) -> int:
            raise Away

    with closing(source(kafka, topic, registry=Broken())) as read:  # type: ignore[arg-type]
        read.assign({TopicPartition(topic, 0): -1}).result()
        with pytest.raises(Away):
            blocks(read, 1)


def test_a_troubled_connection_is_a_warning() -> None:
    client = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
    deadline = time.monotonic() + WITHIN_S
    with capture_logs() as logs, closing(Source(client, {})) as read:
        while not logs and time.monotonic() < deadline:
            assert read.fetch().result() == []

    assert logs[0]["event"] == "broker connection troubled"
    assert logs[0]["log_level"] == "warning"
    assert "127.0.0.1:1" in logs[0]["error"]


def test_a_topic_made_again_is_not_read_on_as_if_it_were_the_old_one(
    read: Source, topic: str
) -> None:
    """Its records have lower offsets: they would pass for read, and be lost."""
    read.assign({TopicPartition(topic, 0): 40}).result()

    with pytest.raises(LogShrunk, match=r"begins anew at 0, and was read up to 40; see infra/run"):
        blocks(read, 5)
