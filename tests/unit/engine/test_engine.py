"""What the engine does without a broker: who is behind, and when the process ends."""

import os
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError, UnknownError
from faust.transport.consumer import ThreadDelegateConsumer
from faust.types import TP

from app.engine.agent import Agent
from app.engine.broker_clock import BrokerClock
from app.engine.cadence import Cadence
from app.engine.engine import EXIT_SOFTWARE, Engine
from app.engine.lease import Lease
from app.engine.stage import Stage, Stateless
from app.engine.transport import BlockConsumer
from app.topics import TopicPartition


def engine(ends: dict[TopicPartition, int] | None = None, **app: object) -> Engine:
    """Return an engine on a source that knows these ends."""
    source: Any = SimpleNamespace(end_offsets=lambda: ends or {})
    parts: Any = SimpleNamespace(flow=None, **app)
    nothing: Any = None
    return Engine(
        parts, source, nothing, Lease(), BrokerClock(), Cadence(0.01, 1), nothing, lambda: None
    )


def agent(topic: str, **offsets: int) -> Agent:
    """Return an agent that has applied its partitions up to some offsets: ``p0=7``."""
    stages: dict[int, Stage] = {}
    for name, offset in offsets.items():
        stages[int(name[1:])] = stage = Stateless()
        stage.offset = offset
    return Agent(topic, topic, lambda _: Stateless(), stages=stages)


@pytest.mark.parametrize(
    ("ends", "behind"),
    [
        ({("ticks", 0): 8, ("ticks", 1): 3}, set()),
        ({("ticks", 0): 9, ("ticks", 1): 3}, {0}),
        ({("ticks", 0): 8}, {1}),
        ({}, {0, 1}),
    ],
    ids=["all applied", "one record not", "an end is unknown", "no end is known"],
)
def test_who_may_not_be_told_the_time(ends: dict[tuple[str, int], int], behind: set[int]) -> None:
    """Who has records to apply is not idle, and an end that is not known may be anywhere."""
    it = engine({TopicPartition(*tp): end for tp, end in ends.items()})
    it._agents = [agent("ticks", p0=7, p1=2)]

    assert it._behind() == behind


def test_a_partition_is_behind_with_any_of_its_topics() -> None:
    """Raw ticks that are not normalized yet are trades of an idle series as well."""
    it = engine({TopicPartition("raw", 0): 5, TopicPartition("ticks", 0): 3})
    it._agents = [agent("raw", p0=3), agent("ticks", p0=2)]

    assert it._behind() == {0}


class Ended(BaseException):
    """The process would have ended."""


async def test_a_crash_of_faust_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for parts that never end, without heartbeat, checkpoint or watchdog."""
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        raise Ended

    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended):
        await engine(should_stop=True, crash_reason=UnknownError())._pulse()
    assert statuses == [EXIT_SOFTWARE]

    await engine(should_stop=True, crash_reason=None)._pulse()


def consumer(error: Exception | None) -> tuple[BlockConsumer, list[Any]]:
    """Return a consumer of ticks[0] whose broker answers commits with an error."""
    committed: list[Any] = []

    async def commit(offsets: dict[Any, Any]) -> None:
        if error is not None:
            raise error
        committed.append({(tp.topic, tp.partition): at.offset for tp, at in offsets.items()})

    async def call(method: Callable[..., Awaitable[None]], *arguments: object) -> None:
        await method(*arguments)

    it = BlockConsumer.__new__(BlockConsumer)
    client = SimpleNamespace(commit=commit)
    it._thread = SimpleNamespace(_ensure_consumer=lambda: client, call_thread=call)
    it.assignment = lambda: {TP("ticks", 0)}
    return it, committed


async def test_positions_of_what_is_assigned_are_committed() -> None:
    it, committed = consumer(None)
    positions = {TopicPartition("ticks", 0): 8, TopicPartition("ticks", 1): 3}

    assert await it.commit_positions(positions)
    assert committed == [{("ticks", 0): 8}]


@pytest.mark.parametrize("error", [UnknownError("disk full"), CommitFailedError()])
async def test_a_commit_that_is_refused_ends_nothing(error: Exception) -> None:
    """The next checkpoint tries again; a watchdog counts how long."""
    it, _ = consumer(error)

    assert not await it.commit_positions({TopicPartition("ticks", 0): 8})


@pytest.mark.parametrize("has_left", [False, True])
async def test_a_consumer_that_stops_answers_no_rebalance(
    monkeypatch: pytest.MonkeyPatch, has_left: bool
) -> None:
    """Its thread would wait for an answer, and its stop for the thread, for ever."""
    asked: list[str] = []

    async def ask(_self: object, _loop: object, _tps: object, *_more: object) -> None:
        asked.append("asked")

    for name in ("revoked", "assigned"):
        monkeypatch.setattr(ThreadDelegateConsumer, f"threadsafe_partitions_{name}", ask)
    it = BlockConsumer.__new__(BlockConsumer)
    it._has_left = has_left

    await it.threadsafe_partitions_revoked(None, set())
    await it.threadsafe_partitions_assigned(None, set(), 1)

    assert asked == ([] if has_left else ["asked", "asked"])
