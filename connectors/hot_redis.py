"""The hot store on Redis 7: the newest bars, quotes and ticks, and their announcements.

Under which names, and in which form, is in `hot_keys`.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, TypeVar

import polars as pl
import redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.retry import Retry
from typing_extensions import override

from app.domain.ports import (
    BarText,
    Held,
    HotStore,
    Row,
    bar_key,
    bar_rank,
    newest,
    quote_key,
    quote_rank,
)
from connectors import hot_calls, hot_guards, hot_questions
from connectors.hot_calls import Call
from connectors.hot_keys import Keys
from connectors.hot_questions import Question
from connectors.hot_ticks import SeriesTicks, ticks_by_series
from connectors.redis_errors import translated, translating
from schemas.json_form import from_jsonable, jsonable, microseconds, to_json

T = TypeVar("T")


class RedisHotStore(HotStore):
    """`HotStore` on a Redis server; safe to call from several threads."""

    def __init__(
        self, url: str, *, prefix: str = "tl", keep_bars: int = 2000, timeout_s: float = 3.0
    ) -> None:
        """Connects on first use.

        Args:
            url: Such as ``redis://127.0.0.1:6379/0``.
            prefix: First part of every key and channel. Channels ignore the database number.
            keep_bars: How many bars of each series are kept.
            timeout_s: Longest wait for a connection and for each answer.
        """
        self.prefix, self._keys, self._keep_bars = prefix, Keys(prefix), keep_bars
        self._redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once, for a pooled connection that a server's restart has closed: repeats are safe.
            retry=Retry(NoBackoff(), 1, supported_errors=(NotConnected,)),
        )

    @override
    def put_bars(self, rows: Sequence[Row]) -> int:
        series: dict[tuple[str, str, str], list[Any]] = {}
        for row in newest(rows, bar_key, bar_rank):
            name = (row["symbol"], row["venue"], row["timeframe"])
            member = hot_guards.rank(*bar_rank(row)) + to_json("bar", row)
            series.setdefault(name, []).extend((microseconds(row["open_time"]), member))
        keys = {name: self._keys.bars(*name) for name in series}
        calls = (
            Call(hot_guards.PUT_BARS, keys[name], [self._keep_bars, keys[name], *pairs])
            for name, whole in series.items()
            for pairs in _cut(whole)
        )
        return hot_calls.run(self._redis, calls)

    @override
    def put_quotes(self, rows: Sequence[Row]) -> int:
        calls = (self._quote_call(row) for row in newest(rows, quote_key, quote_rank))
        return hot_calls.run(self._redis, calls)

    def _quote_call(self, row: Row) -> Call:
        symbol, venue = quote_key(row)
        values = jsonable("quote", row)
        texts = ((k, v if isinstance(v, str) else json.dumps(v)) for k, v in values.items())
        pairs = chain.from_iterable((k, v) for k, v in texts if values[k] is not None)
        time, sequence, offset = quote_rank(row)
        rank = hot_guards.rank(microseconds(time), sequence, offset)
        channel = self._keys.quotes(symbol, venue)
        arguments = [rank, channel, json.dumps(values, separators=(",", ":")), *pairs]
        return Call(hot_guards.PUT_QUOTE, self._keys.quote(symbol, venue), arguments)

    @override
    def put_ticks(self, frame: pl.DataFrame, keep: int = 1000) -> int:
        blocks = hot_calls.trips(ticks_by_series(frame, keep), lambda series: len(series.pairs))
        return sum(self._send_ticks(block, keep) for block in blocks)

    def _send_ticks(self, block: list[SeriesTicks], keep: int) -> int:
        """Write the ticks in one round trip, and announce in a second what is new.

        No script: a tick is its own guard, and copying each into Lua costs half of the rate.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for series in block:
            key = self._keys.ticks(series.symbol, series.venue)
            # Not zadd(): it would take a dict and flatten it again, tick by tick.
            pipeline.execute_command("ZADD", key, *series.pairs)  # type: ignore[no-untyped-call]
            pipeline.zremrangebyrank(key, 0, -keep - 1)
            pipeline.zscore(key, series.pairs[-1])
        with translating():
            answers = pipeline.execute(raise_on_error=False)
            for series, added, score in zip(block, answers[::3], answers[2::3], strict=True):
                # Ticks of a backfill that the trim dropped again are no news to live readers.
                if isinstance(added, int) and added and score is not None:
                    pipeline.publish(self._keys.ticks(series.symbol, series.venue), series.payload)
            answers += pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, RedisError):
                raise translated(answer) from answer
        return sum(answers[: 3 * len(block) : 3])

    @override
    def bars(
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[Row]:
        key = self._keys.bars(symbol, venue, timeframe)
        found = self._answer(hot_questions.bars(key, limit, start, end))
        return [from_jsonable("bar", json.loads(each.text)) for each in found]

    @override
    def bar_texts(
        self,
        part: str,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Held[list[BarText]]:
        key = self._keys.bars(symbol, venue, timeframe)
        return self._held(part, hot_questions.bars(key, limit, start, end))

    def _answer(self, question: Question[T]) -> T:
        with translating():
            answer = question.ask(self._redis)
        return question.read(answer)

    def _held(self, part: str, question: Question[T]) -> Held[T]:
        with translating():
            return hot_questions.held(self._redis, self._keys.whole(part), question)

    @override
    def latest_bar(self, symbol: str, venue: str, timeframe: str) -> Row | None:
        found = self.bars(symbol, venue, timeframe, 1)
        return found[0] if found else None

    @override
    def latest_quote(self, symbol: str, venue: str) -> Row | None:
        return self._answer(hot_questions.quote(self._keys.quote(symbol, venue)))

    @override
    def held_quote(self, part: str, symbol: str, venue: str) -> Held[Row | None]:
        return self._held(part, hot_questions.quote(self._keys.quote(symbol, venue)))

    @override
    def ticks(self, symbol: str, venue: str, limit: int) -> list[Row]:
        found = self._answer(hot_questions.ticks(self._keys.ticks(symbol, venue), limit))
        return [from_jsonable("tick", json.loads(text)) for text in found]

    @override
    def tick_texts(self, part: str, symbol: str, venue: str, limit: int) -> Held[list[str]]:
        return self._held(part, hot_questions.ticks(self._keys.ticks(symbol, venue), limit))

    @override
    def series(self) -> set[tuple[str, str]]:
        with translating():
            keys = self._redis.scan_iter(self._keys.pattern(), count=5_000)
            found = {self._keys.series(str(key)) for key in keys}
        return {each for each in found if each is not None}

    @override
    def era(self) -> str:
        with translating():
            return hot_questions.era_of(self._redis.info("server", "stats"))

    @override
    def is_whole(self, part: str) -> bool:
        with translating():
            marked = self._redis.get(self._keys.whole(part))
        return marked is not None and marked == self.era()

    @override
    def mark_whole(self, part: str, era: str) -> None:
        with translating():
            self._redis.set(self._keys.whole(part), era)

    @override
    def ping(self) -> str:
        with translating():
            return f"Redis {self._redis.info('server')['redis_version']}"

    @override
    def close(self) -> None:
        self._redis.close()


def _cut(pairs: list[Any]) -> Iterator[list[Any]]:
    """Yield parts of `pairs` that do not hold the server up: 1,000 bars take it some 5 ms."""
    for begin in range(0, len(pairs), 2000):
        yield pairs[begin : begin + 2000]
