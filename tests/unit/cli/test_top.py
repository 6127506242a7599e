"""What one look at the broker promises."""

from collections.abc import Iterable
from itertools import count
from types import SimpleNamespace
from typing import Any

from confluent_kafka import TopicPartition as Position
from typing_extensions import override

from app import topics
from app.cli.top import look, summary
from app.settings import load
from app.topics import TopicPartition
from connectors.kafka_admin import KafkaAdmin

SETTINGS = load({"TAPELINE_HOME": "/nowhere"}, needs=())


class Written(KafkaAdmin):
    """A cluster that is written to: ends grow by 10 each time they are asked.

    Args:
        committed: How far every group is, everywhere.
    """

    def __init__(self, committed: int = 0) -> None:
        super().__init__({})
        self._committed = committed
        self._grown = count(100, 10)

    @override
    def ends(self, topics: Iterable[str], *, first: bool = False) -> dict[TopicPartition, int]:
        end = 0 if first else next(self._grown)
        return {TopicPartition(topic, 0): end for topic in topics}

    @override
    def _member(self, group: str) -> Any:
        def committed(asked: list[Position], timeout: float) -> list[Position]:
            return [Position(at.topic, at.partition, self._committed) for at in asked]

        return SimpleNamespace(committed=committed)


def test_lags_reach_to_the_ends_that_are_shown_beside_them() -> None:
    seen = look(Written(), SETTINGS)

    assert {lag.topic for lag in seen.lags} >= {topics.RAW.name, topics.BARS.name}
    assert {lag.end - seen.ends[TopicPartition(lag.topic, 0)] for lag in seen.lags} == {0}


def test_a_group_that_went_on_since_the_ends_were_asked_has_no_lag() -> None:
    seen = look(Written(committed=107), SETTINGS)

    assert {row["lag"] for row in summary(SETTINGS, seen, seen)["lag"]} == {0}
