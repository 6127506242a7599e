"""The administration, the reader and the producer on a real broker."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Position

from app import topics
from app.domain.simulator import Market, feed
from app.engine.block import Reading
from app.engine.broker_clock import BrokerClock
from app.engine.publisher import Publisher
from app.engine.source import Source
from app.errors import BrokerUnavailable, DeliveryFailed
from app.partitions import partition_of
from app.topics import TopicPartition
from connectors.kafka_admin import KafkaAdmin, Lag
from connectors.kafka_reader import read
from connectors.producer import QUEUE, TickProducer
from schemas.registry import built_in
from tests.conftest import Stack

pytestmark = pytest.mark.live


class Edge:
    """A prefix of its own on the broker."""

    def __init__(self, kafka: str) -> None:
        self.prefix = f"edge_{uuid4().hex[:10]}."
        self.client: dict[str, object] = {"bootstrap.servers": kafka}
        self.admin = KafkaAdmin(self.client, self.prefix)
        self.raw = self.prefix + topics.RAW.name


@pytest.fixture
def edge(stack: Stack) -> Iterator[Edge]:
    it = Edge(stack.kafka)
    it.admin.apply([topics.RAW], 4)
    yield it
    it.admin.delete(list(it.admin.partitions()))


def test_a_changed_setting_is_found_and_set(edge: Edge) -> None:
    shorter = replace(topics.RAW, retention_ms=3_600_000)

    (difference,) = edge.admin.diff([shorter], 4)

    assert difference.action == "configure"
    assert difference.settings == {"retention.ms": "3600000"}
    edge.admin.apply([shorter], 4)
    assert edge.admin.diff([shorter], 4) == []
    assert edge.admin.partitions() == {edge.raw: 4}


def test_lag_is_what_a_group_has_not_committed(edge: Edge) -> None:
    partition = partition_of("SPY", 4)
    with TickProducer(edge.client, topic=edge.raw, venue="NYSE") as producer:
        producer.send_many(
            {"symbol": "SPY", "event_time": 1_700_000_000 + n, "bid": "1"} for n in range(5)
        )
    group = edge.prefix + "reader"
    assert Lag(group, edge.raw, partition, -1, 5).records == 5
    consumer = Consumer({**edge.client, "group.id": group, "enable.auto.commit": False})
    consumer.commit(offsets=[Position(edge.raw, partition, 3)], asynchronous=False)
    consumer.close()

    lags = edge.admin.lag({group: [edge.raw]})

    assert Lag(group, edge.raw, partition, 3, 5) in lags
    assert sum(lag.records for lag in lags) == 2
    assert edge.admin.ends([edge.raw])[TopicPartition(edge.raw, partition)] == 5


def test_a_reader_ends_where_the_topic_ended(edge: Edge) -> None:
    with TickProducer(edge.client, topic=edge.raw) as producer:
        sent = sum(
            producer.send_frame(frame.drop("poison"))
            for frame in feed(Market(symbols=20, start_us=1_700_000_000_000_000), 60_000)
        )

    everything = [record for block in read(edge.client, edge.raw) for record in block]
    newest = [record for block in read(edge.client, edge.raw, last=10) for record in block]

    assert len(everything) == sent == 60_000
    assert len(newest) == 40
    assert {partition_of((r.key or b"").decode(), 4) == r.partition for r in everything} == {True}
    for partition in range(4):
        offsets = [r.offset for r in everything if r.partition == partition]
        assert offsets == list(range(len(offsets)))
    assert list(read(edge.client, edge.prefix + "nothing")) == []


def test_more_ticks_than_the_queue_holds_wait_and_none_is_lost(edge: Edge) -> None:
    with TickProducer(edge.client, topic=edge.raw, venue="NYSE") as producer:
        key, value = b"SPY", producer.encode(
            next(feed(Market(start_us=1_700_000_000_000_000), 1)).drop("poison")
        )[0]  # fmt: skip
        producer.send_encoded([key] * (QUEUE + 50_000), [value] * (QUEUE + 50_000))

    assert sum(edge.admin.ends([edge.raw]).values()) == QUEUE + 50_000


def test_a_broker_that_is_not_there_is_unavailable() -> None:
    admin = KafkaAdmin({"bootstrap.servers": "127.0.0.1:1"}, timeout_s=1)

    with pytest.raises(BrokerUnavailable, match=r"Kafka at 127\.0\.0\.1:1: "):
        admin.brokers()


def test_blocks_step_over_what_transactions_leave_in_a_log(edge: Edge) -> None:
    """Markers and records that were aborted take offsets, too."""
    #  offset:  0  1  2       3  4  5  6      7  8
    #  log:     a  b  commit  x  y  z  abort  c  commit
    producer = Producer({**edge.client, "transactional.id": edge.prefix})
    producer.init_transactions(20)
    for values, end in (
        (b"ab", producer.commit_transaction),
        (b"xyz", producer.abort_transaction),
        (b"c", producer.commit_transaction),
    ):
        producer.begin_transaction()
        for value in values:
            producer.produce(edge.raw, bytes([value]), partition=0)
        producer.flush(20)
        end(20)

    found = []
    readings = {edge.raw: Reading("tick", built_in(), columnar=False)}
    with closing(Source(edge.client, readings)) as source:
        source.assign({TopicPartition(edge.raw, 0): -1}).result()
        deadline = time.monotonic() + 20
        while len(found) < 3 and time.monotonic() < deadline:
            for block in source.fetch().result():
                found += zip(block.offsets.tolist(), block.values, strict=True)
        source.assign({TopicPartition(edge.raw, 0): 4}).result()
        [rest] = [block for _ in range(20) for block in source.fetch().result()]

    assert found == [(0, b"a"), (1, b"b"), (7, b"c")]
    assert (rest.offsets.tolist(), list(rest.values)) == ([7], [b"c"])


@pytest.mark.parametrize("off_s", [-6, 6], ids=["made long ago", "made by a wrong clock"])
def test_what_an_owner_made_comes_in_time_or_not_at_all(edge: Edge, off_s: int) -> None:
    """A worker that was stopped sends what it had built; another owns the partition by then."""
    edge.admin.apply([topics.TICKS], 1)
    name = edge.prefix + topics.TICKS.name
    right = BrokerClock()
    wrong = BrokerClock(lambda: time.time_ns() // 1000 + off_s * 1_000_000)
    Publisher(edge.client, clock=right).append(name, 0, b"k", b"in time")

    late = Publisher(edge.client, clock=wrong)
    late.publish_many(name, 0, [b"k", b"k"], [b"1", b"2"])
    with pytest.raises(DeliveryFailed, match="Invalid timestamp"):
        late.flush()
    with pytest.raises(DeliveryFailed, match="Invalid timestamp"):
        late.append(name, 0, b"k", b"3")

    assert edge.admin.ends([name]) == {TopicPartition(name, 0): 1}
