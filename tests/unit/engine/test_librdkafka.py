"""The consumer on librdkafka's C interface, against librdkafka's own mock of a broker."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from app.engine.gather import gather
from app.engine.librdkafka import BEGINNING, Consumer
from app.errors import BrokerUnavailable, ConfigError
from app.topics import TopicPartition
from tests.unit.engine.mock_kafka import MockKafka, Record, threads

SETTINGS = {"group.id": "test", "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
NOWHERE = {"bootstrap.servers": "127.0.0.1:1", "log_level": 0}
WITHIN_S = 10.0


@pytest.fixture
def consumer(kafka: MockKafka) -> Iterator[Consumer]:
    made = Consumer({**kafka.client, **SETTINGS}, lambda _said: None)
    yield made
    # A message that was not given back would keep librdkafka from ending.
    ending = threading.Thread(target=made.close, daemon=True)
    ending.start()
    ending.join(WITHIN_S)
    assert not ending.is_alive()


def values(consumer: Consumer, count: int) -> list[bytes | None]:
    """Return at least so many values, in order of arrival; partitions one after the other."""
    pointers = np.zeros(100, np.int64)
    found: list[bytes | None] = []
    deadline = time.monotonic() + WITHIN_S
    while len(found) < count:
        assert time.monotonic() < deadline
        taken = consumer.take(pointers, 0.05)
        for held in gather(pointers[:taken]).values():
            found += list(held.values)
    return found


def nothing_comes(consumer: Consumer) -> bool:
    return consumer.take(np.zeros(1, np.int64), 0.3) == 0


def written(kafka: MockKafka, topic: str, *counts: int) -> None:
    """Write so many records to each partition, such as b"1:0" as the first of partition 1."""
    kafka.create(topic, len(counts))
    for partition, count in enumerate(counts):
        kafka.write(topic, partition, (Record(f"{partition}:{n}".encode()) for n in range(count)))


def test_only_what_is_assigned_is_read_from_where_it_was_told(
    kafka: MockKafka, consumer: Consumer
) -> None:
    written(kafka, "assigned", 3, 3, 3)

    consumer.assign({TopicPartition("assigned", 0): 2, TopicPartition("assigned", 2): BEGINNING})
    assert sorted(values(consumer, 4)) == [b"0:2", b"2:0", b"2:1", b"2:2"]
    assert nothing_comes(consumer)

    consumer.assign({TopicPartition("assigned", 1): 0})
    assert values(consumer, 3) == [b"1:0", b"1:1", b"1:2"]


def test_nothing_is_read_once_nothing_is_assigned(kafka: MockKafka, consumer: Consumer) -> None:
    written(kafka, "revoked", 2)
    consumer.assign({TopicPartition("revoked", 0): BEGINNING})
    values(consumer, 2)

    consumer.assign({})
    kafka.write("revoked", 0, [Record(b"late")])
    assert nothing_comes(consumer)

    consumer.assign({TopicPartition("revoked", 0): 1})
    assert values(consumer, 2) == [b"0:1", b"late"]


def test_no_more_is_taken_than_there_is_room_for(kafka: MockKafka, consumer: Consumer) -> None:
    written(kafka, "room", 5)
    consumer.assign({TopicPartition("room", 0): BEGINNING})
    pointers = np.zeros(8, np.int64)

    while not consumer.take(pointers[:1], WITHIN_S):
        pass
    taken = consumer.take(pointers[1:4], 0.5)

    assert taken == 3
    assert (pointers[:4] != 0).all()
    assert (pointers[4:] == 0).all()
    [held] = gather(pointers[:4]).values()
    assert held.offsets.tolist() == [0, 1, 2, 3]


def test_taking_waits_as_long_as_it_was_told_for_what_does_not_come(consumer: Consumer) -> None:
    consumer.assign({})
    began = time.monotonic()
    assert consumer.take(np.zeros(1, np.int64), 0.2) == 0
    assert 0.15 < time.monotonic() - began < 2


def test_bounds_are_asked_for_and_known_ones_are_those_of_the_last_fetch(
    kafka: MockKafka, consumer: Consumer
) -> None:
    written(kafka, "bounds", 5, 0)
    kafka.expire("bounds", 0, 2)
    full, empty = TopicPartition("bounds", 0), TopicPartition("bounds", 1)
    assert consumer.known_bounds(full)[1] < 0

    assert consumer.bounds(full, WITHIN_S) == (2, 5)
    assert consumer.bounds(empty, WITHIN_S) == (0, 0)

    consumer.assign({full: 4})
    values(consumer, 1)
    assert consumer.known_bounds(full) == (2, 5)
    kafka.write("bounds", 0, [Record(b"one more")])
    values(consumer, 1)
    assert consumer.known_bounds(full) == (2, 6)


def test_bounds_of_no_answer_name_the_partition() -> None:
    consumer = Consumer({**NOWHERE, **SETTINGS}, lambda _said: None)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"t\[3\].*Local: "):
        consumer.bounds(TopicPartition("t", 3), 0.3)
    assert time.monotonic() - began < WITHIN_S
    consumer.close()


def test_a_troubled_connection_is_told() -> None:
    said: list[str] = []
    consumer = Consumer({**NOWHERE, **SETTINGS}, said.append)
    deadline = time.monotonic() + WITHIN_S
    while not said and time.monotonic() < deadline:
        consumer.take(np.zeros(1, np.int64), 0.1)
    consumer.close()

    assert "127.0.0.1:1" in said[0]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"fetch.wait.max.ms": -1}, r"fetch\.wait\.max\.ms"),
        ({"fetch.wiat.max.ms": 20}, r"fetch\.wiat\.max\.ms"),
        ({"enable.auto.commit": "perhaps"}, r"enable\.auto\.commit"),
        ({"security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-512"}, r"sasl\.user"),
    ],
)
def test_a_setting_that_is_refused_is_named(wrong: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Consumer({**NOWHERE, **SETTINGS, **wrong}, lambda _said: None)


@pytest.mark.parametrize("value", [True, False, "true", "false"])
def test_settings_are_taken_as_confluent_kafka_takes_them(value: object) -> None:
    settings = {**NOWHERE, **SETTINGS, "enable.auto.commit": value}
    Consumer(settings, lambda _said: None).close()


def test_closing_ends_the_threads_of_librdkafka() -> None:
    before = threads()
    consumer = Consumer({**NOWHERE, **SETTINGS}, lambda _said: None)
    assert threads() > before
    consumer.close()
    assert threads() == before


def test_a_closed_consumer_refuses_instead_of_crashing() -> None:
    consumer = Consumer({**NOWHERE, **SETTINGS}, lambda _said: None)
    consumer.close()

    for use in (
        lambda: consumer.take(np.zeros(1, np.int64), 0),
        lambda: consumer.assign({}),
        lambda: consumer.bounds(TopicPartition("t", 0), 0.1),
        lambda: consumer.known_bounds(TopicPartition("t", 0)),
        consumer.close,
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()
