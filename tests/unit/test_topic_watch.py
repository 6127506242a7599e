import asyncio
from collections.abc import Mapping

import pytest

from app import topic_watch
from app.errors import BrokerUnavailable, ConfigError
from app.topic_watch import require, watch


def test_topics_as_they_must_be_are_no_fault() -> None:
    require(["a", "b"], 4, {"a": 4, "b": 4, "other": 6})


def test_every_topic_that_differs_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError) as refused:
        require(["a", "b", "c"], 4, {"a": 6, "b": 4})

    assert str(refused.value).splitlines() == [
        "topic a must have 4 partitions, had 6",
        "topic c must have 4 partitions, had 0",
        (
            "keep TAPELINE_PARTITIONS as it is, or replay into topics of another "
            "TAPELINE_TOPIC_PREFIX: a symbol would move away from its state and its records"
        ),
        "run `tapeline topics apply`: a topic is missing",
        "see infra/runbooks.md",
    ]


@pytest.mark.parametrize(
    ("found", "advice", "other"),
    [({"a": 6}, "TAPELINE_TOPIC_PREFIX", "apply"), ({}, "topics apply", "TAPELINE_PARTITIONS")],
)
def test_the_advice_is_the_one_that_helps(found: dict[str, int], advice: str, other: str) -> None:
    """Nobody is sent to a command that refuses, too."""
    with pytest.raises(ConfigError, match=advice) as refused:
        require(["a"], 4, found)
    assert other not in str(refused.value)


async def test_a_topic_that_changes_later_is_refused_and_a_broker_that_is_away_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topic_watch, "LOOK_EVERY_S", 0)
    looks = iter([{"a": 4}, BrokerUnavailable("away"), {"a": 4}, {"a": 6}])
    refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look() -> Mapping[str, int]:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    watching = asyncio.create_task(watch(["a"], 4, look, lambda e: refused.set_result(str(e))))
    said = await asyncio.wait_for(refused, 5)
    watching.cancel()

    assert "topic a must have 4 partitions, had 6" in said
    assert next(looks, None) is None
