"""What the hot store asks of Redis, and what the answers mean."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import redis

from app.domain.ports import BarText, Held, Row
from connectors.hot_guards import RANK_WIDTH
from schemas.json_form import Kind, fields, from_jsonable, microseconds

T = TypeVar("T")

_BAR_RANK = 2 * RANK_WIDTH
_JSON = (Kind.TIME, Kind.PLAIN)


class Question(NamedTuple, Generic[T]):
    """One command.

    Attributes:
        ask: Sends it to a server, or puts it into a pipeline.
        read: Makes of the server's answer what was asked for.
    """

    ask: Callable[[redis.Redis], Any]
    read: Callable[[Any], T]


def held(server: redis.Redis, mark: str, question: Question[T]) -> Held[T]:
    """Return the answer, and whether the part with that key of its mark was whole meanwhile.

    One trip and no transaction: out of memory, Redis refuses all of one, what only reads among it.
    So the mark is read on both sides of the answer, and the era behind it. A store that was
    emptied, or was still being filled, lacks it on one side; one that lost something is in
    another era than its mark.
    """
    with server.pipeline(transaction=False) as pipeline:
        pipeline.get(mark)
        question.ask(pipeline)
        pipeline.info("server", "stats")
        pipeline.get(mark)
        before, answer, info, behind = pipeline.execute()
    return Held(question.read(answer), before == behind == era_of(info))


def era_of(info: Mapping[str, Any]) -> str:
    """Return the era that a server's sections `server` and `stats` tell of.

    A restart may come back with less than was told, however it saves; so may a replica that takes
    over. An eviction takes a key without a word.
    """
    return f"{info['run_id']}:{info['evicted_keys']}"


def bars(
    key: str, limit: int, start: datetime | None, end: datetime | None
) -> Question[list[BarText]]:
    """Ask for the newest `limit` bars with start <= open_time < end, oldest first."""
    low = "-inf" if start is None else str(microseconds(start))
    high = "+inf" if end is None else f"({microseconds(end)}"

    def ask(server: redis.Redis) -> Any:
        return server.zrange(
            key, high, low, desc=True, byscore=True, offset=0, num=limit, withscores=True
        )

    return Question(ask, _bars)


def _bars(members: Any) -> list[BarText]:
    return [BarText(int(score), member[_BAR_RANK:]) for member, score in reversed(members)]


def ticks(key: str, limit: int) -> Question[list[str]]:
    """Ask for the newest `limit` ticks, as JSON, oldest first."""
    return Question(
        lambda server: server.zrange(key, -limit, -1),
        lambda members: [member[RANK_WIDTH:] for member in members],
    )


def quote(key: str) -> Question[Row | None]:
    """Ask for the newest quote."""
    return Question(lambda server: server.hgetall(key), _quote)


def _quote(texts: Mapping[str, str]) -> Row | None:
    if not texts:
        return None
    values = {
        name: json.loads(texts[name]) if kind in _JSON else texts[name]
        for name, kind in fields("quote").items()
        if name in texts
    }
    return from_jsonable("quote", values)
