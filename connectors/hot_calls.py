"""Guarded writes: calls of Redis's scripts, many in one round trip."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import redis
from redis.exceptions import NoScriptError, RedisError

from connectors import hot_guards
from connectors.hot_guards import Guard
from connectors.redis_errors import translated, translating

ARGUMENTS_PER_TRIP = 20_000
"""A longer put goes in several round trips, so that neither side buffers it whole."""

T = TypeVar("T")


class Call(NamedTuple):
    """A script, the key that it changes, and its other arguments."""

    guard: Guard
    key: str
    arguments: list[Any]


def trips(parts: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield `parts` in lists, each as soon as it has `ARGUMENTS_PER_TRIP` by `size`."""
    trip, held = [], 0
    for part in parts:
        trip.append(part)
        held += size(part)
        if held >= ARGUMENTS_PER_TRIP:
            yield trip
            trip, held = [], 0
    if trip:
        yield trip


def run(server: redis.Redis, calls: Iterable[Call]) -> int:
    """Run `calls`; return how many values they applied.

    Raises:
        StoreError: The first call that was refused, by its key; others may have been applied.
    """
    return sum(_send(server, trip) for trip in trips(calls, lambda call: len(call.arguments)))


def _send(server: redis.Redis, calls: list[Call]) -> int:
    """Run `calls` in one round trip, and once more if the server had lost the scripts."""
    with translating():
        answers = _pipelined(server, calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            for guard in hot_guards.ALL:
                server.script_load(guard.text)
            # What was applied in the first trip is refused now and is counted from it.
            again = _pipelined(server, calls)
            answers = [
                new if isinstance(old, NoScriptError) else old
                for old, new in zip(answers, again, strict=True)
            ]
    for call, answer in zip(calls, answers, strict=True):
        if isinstance(answer, RedisError):
            raise translated(answer, f"{call.key}: ") from answer
    return sum(answers)


def _pipelined(server: redis.Redis, calls: list[Call]) -> list[Any]:
    pipeline = server.pipeline(transaction=False)
    for guard, key, arguments in calls:
        pipeline.evalsha(guard.digest, 1, key, *arguments)
    return pipeline.execute(raise_on_error=False)
