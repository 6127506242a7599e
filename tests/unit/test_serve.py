"""What the API asks the broker: where its reading begins, and how far the workers are."""

from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position
from typing_extensions import override

from app import topics
from app.api.freshness import Place
from app.compose import READS
from app.serve import beginnings, progress
from app.settings import Settings, load
from app.topics import Topic, TopicPartition
from connectors.kafka_admin import KafkaAdmin
from tests.unit.engine.mock_kafka import MockKafka, Record

PREFIX = "unit."


class Attentive(KafkaAdmin):
    """Counts how often it asks for the topics and their ends."""

    asked_for_topics = asked_for_ends = 0

    @override
    def partitions(self) -> dict[str, int]:
        self.asked_for_topics += 1
        return super().partitions()

    @override
    def ends(self, topics: Iterable[str], *, first: bool = False) -> dict[TopicPartition, int]:
        self.asked_for_ends += 1
        return super().ends(topics, first=first)


@pytest.fixture
def settings() -> Settings:
    return load({"TAPELINE_HOME": "/nowhere", "TAPELINE_TOPIC_PREFIX": PREFIX}, needs=())


@pytest.fixture
def kafka(settings: Settings) -> Iterator[MockKafka]:
    broker = MockKafka()
    for topic in topics.ALL:
        broker.create(settings.topic(topic), 2)
    yield broker
    broker.close()


def wrote(kafka: MockKafka, topic: Topic, partition: int, count: int) -> None:
    kafka.write(PREFIX + topic.name, partition, [Record(b"x")] * count)


def committed(kafka: MockKafka, group: str, topic: Topic, partition: int, offset: int) -> None:
    settings = {**kafka.client, "group.id": group, "enable.auto.commit": False}
    consumer = Consumer(settings)
    place = Position(PREFIX + topic.name, partition, offset)
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def test_a_look_tells_commits_and_ends_and_asks_for_the_ends_once(
    kafka: MockKafka, settings: Settings
) -> None:
    wrote(kafka, topics.TICKS, 0, 5)
    wrote(kafka, topics.TICKS, 1, 2)
    wrote(kafka, topics.DEAD_LETTERS, 1, 3)
    committed(kafka, settings.group_of("hot"), topics.TICKS, 0, 4)
    admin = Attentive(kafka.client, PREFIX)

    places, counts = progress(admin, settings)

    assert (admin.asked_for_topics, admin.asked_for_ends) == (1, 1)
    assert Place("hot", "ticks.v1", 0, 4, 5) in places
    assert Place("warm", "ticks.v1", 1, -1, 2) in places
    assert sorted((each.role, each.topic, each.partition) for each in places) == sorted(
        (role, topic.name, n) for role, read in READS.items() for topic in read for n in (0, 1)
    )
    assert {name: count for name, count in counts.items() if count} == {
        "ticks.v1": 7, "ticks.dlq.v1": 3,
    }  # fmt: skip
    assert counts.keys() == {topic.name for topic in topics.ALL}


def test_reading_begins_where_the_hot_worker_has_committed(
    kafka: MockKafka, settings: Settings
) -> None:
    for topic in (topics.BARS, topics.QUOTES, topics.GAPS):
        wrote(kafka, topic, 0, 9)
    wrote(kafka, topics.ANOMALIES, 1, 1_005)
    committed(kafka, settings.group_of("hot"), topics.BARS, 0, 7)
    committed(kafka, settings.group_of("warm"), topics.QUOTES, 0, 8)

    start = beginnings(KafkaAdmin(kafka.client, PREFIX), settings)

    assert {(at.topic.removeprefix(PREFIX), at.partition): n for at, n in start.items()} == {
        ("bars.v1", 0): 7, ("bars.v1", 1): 0,
        ("quotes.v1", 0): 0, ("quotes.v1", 1): 0,
        (topics.ANOMALIES.name, 0): 0, (topics.ANOMALIES.name, 1): 5,
        (topics.GAPS.name, 0): 0, (topics.GAPS.name, 1): 0,
    }  # fmt: skip
