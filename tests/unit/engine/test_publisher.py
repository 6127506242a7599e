"""What a worker may publish, and for how long, against librdkafka's own mock of a broker."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position

from app.engine import publisher as module
from app.engine.broker_clock import BrokerClock
from app.engine.lease import HOLD_S, Lease
from app.engine.publisher import Publisher
from app.errors import DeliveryFailed, LeaseLost
from tests.unit.engine.mock_kafka import MockKafka

NOWHERE: dict[str, object] = {"bootstrap.servers": "127.0.0.1:1"}


def lease(age_s: float) -> Lease:
    """Return a lease of which the last answered heartbeat was sent so long ago."""
    now_s = [100.0]
    made = Lease(lambda: now_s[0])
    made.renew(made.now_s())
    now_s[0] += age_s
    return made


WAYS: list[Callable[[Publisher, str], object]] = [
    lambda it, topic: it.publish(topic, 0, b"k", b"v"),
    lambda it, topic: it.publish_many(topic, 0, [b"k"], [b"v"]),
    lambda it, topic: it.append(topic, 0, b"k", b"v"),
]


@pytest.mark.parametrize("way", WAYS, ids=["one", "many", "append"])
def test_nothing_is_published_when_the_lease_is_over(
    kafka: MockKafka, way: Callable[[Publisher, str], object], request: pytest.FixtureRequest
) -> None:
    topic = f"leased-{request.node.callspec.id}"
    kafka.create(topic, 1)

    with pytest.raises(LeaseLost):
        way(Publisher(kafka.client, lease(HOLD_S + 0.1)), topic)
    way(Publisher(kafka.client, lease(HOLD_S - 0.1)), topic)


def test_what_could_not_be_delivered_in_time_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not go out when the way is free again: another may own the partition by then."""
    monkeypatch.setattr(module, "DELIVER_WITHIN_S", 0.3)
    it = Publisher(NOWHERE, lease(0))
    it.publish("leased", 0, b"k", b"v")
    began = time.monotonic()

    with pytest.raises(DeliveryFailed):
        it.flush()
    assert time.monotonic() - began < 10
    with pytest.raises(DeliveryFailed):
        it.append("leased", 0, b"k", b"v")


def test_an_appended_record_tells_the_brokers_time(kafka: MockKafka) -> None:
    """By the clock of the mock it is always 1,234 ms since the epoch."""
    kafka.create("told", 1)

    assert Publisher(kafka.client, lease(0)).append("told", 0, b"k", b"v") == 1_234_000


def test_a_record_carries_the_time_at_which_it_was_made_by_the_brokers_clock(
    kafka: MockKafka,
) -> None:
    """The broker refuses it when that is too long ago, whatever this machine's clock says."""
    kafka.create("made", 1)
    clock = BrokerClock(lambda: 5_000_000, lambda: 0)
    it = Publisher(kafka.client, lease(0), clock)
    it.publish("made", 0, b"k", b"one")
    clock.exactly(7_000_000)
    it.publish_many("made", 0, [b"k", None], [b"two", b"three"])
    it.flush()

    reader = Consumer({**kafka.client, "group.id": "made"})
    reader.assign([Position("made", 0, 0)])
    read = reader.consume(3, 10)
    assert [(m.value(), m.timestamp()[1]) for m in read] == [
        (b"one", 5_000), (b"two", 7_000), (b"three", 7_000),
    ]  # fmt: skip
