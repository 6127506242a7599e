"""The hot store on Redis 7: the newest bars, quotes and ticks, and their announcements.

    tl:bars:BTC-USD@KRAKEN:M1   sorted set   score open_time, member rank .. JSON
    tl:quote:BTC-USD@KRAKEN     hash         a field each, nulls left out, and _rank
    tl:ticks:BTC-USD@KRAKEN     sorted set   score event_time, member offset .. JSON

and channels tl:bars:BTC-USD@KRAKEN:M1 (a bar), tl:quotes:BTC-USD@KRAKEN (a quote) and
tl:ticks:BTC-USD@KRAKEN (an array of ticks, in one block's order; those of a partly repeated block
come again, known by raw_offset). A message is sent when the write it tells of was applied.

A series of bars is one sorted set, not one beside a hash: a range of bars is one command and one
key, so nothing can be there by half. Scores are doubles, exact for microseconds until 2255.
Decimals are plain strings without trailing zeros, times integer microseconds.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import polars as pl
import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import NoScriptError, RedisError
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
from connectors import hot_guards
from connectors.hot_guards import RANK_WIDTH, Guard
from connectors.hot_ticks import SeriesTicks, ticks_by_series
from connectors.redis_errors import translated, translating
from schemas.json_form import Kind, fields, from_jsonable, jsonable, microseconds, to_json

ARGUMENTS_PER_TRIP = 20_000
"""A longer put goes in several round trips, so that neither side buffers it whole."""

_SERIES_NOUNS = ("bars", "quote", "ticks")
_JSON = (Kind.TIME, Kind.PLAIN)
_BAR_RANK = 2 * RANK_WIDTH


class _Call(NamedTuple):
    guard: Guard
    key: str
    arguments: list[Any]


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
        self.prefix, self._keep_bars = prefix, keep_bars
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
        keys = {name: self.bars_key(*name) for name in series}
        return self._put(
            _Call(hot_guards.PUT_BARS, keys[name], [self._keep_bars, keys[name], *pairs])
            for name, whole in series.items()
            for pairs in _cut(whole)
        )

    @override
    def put_quotes(self, rows: Sequence[Row]) -> int:
        return self._put(self._quote_call(row) for row in newest(rows, quote_key, quote_rank))

    def _quote_call(self, row: Row) -> _Call:
        symbol, venue = quote_key(row)
        values = jsonable("quote", row)
        texts = ((k, v if isinstance(v, str) else json.dumps(v)) for k, v in values.items())
        pairs = chain.from_iterable((k, v) for k, v in texts if values[k] is not None)
        time, sequence, offset = quote_rank(row)
        rank = hot_guards.rank(microseconds(time), sequence, offset)
        channel = f"{self.prefix}:quotes:{symbol}@{venue}"
        arguments = [rank, channel, json.dumps(values, separators=(",", ":")), *pairs]
        return _Call(hot_guards.PUT_QUOTE, self.quote_key(symbol, venue), arguments)

    @override
    def put_ticks(self, frame: pl.DataFrame, keep: int = 1000) -> int:
        added, trip, size = 0, [], 0
        for series in ticks_by_series(frame, keep):
            trip.append(series)
            size += len(series.pairs)
            if size >= ARGUMENTS_PER_TRIP:
                added, trip, size = added + self._send_ticks(trip, keep), [], 0
        return added + self._send_ticks(trip, keep) if trip else added

    def _send_ticks(self, block: list[SeriesTicks], keep: int) -> int:
        """Write the ticks in one round trip, and announce in a second what is new.

        No script: a tick is its own guard, and copying each into Lua costs half of the rate.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for series in block:
            key = self.ticks_key(series.symbol, series.venue)
            # Not zadd(): it would take a dict and flatten it again, tick by tick.
            pipeline.execute_command("ZADD", key, *series.pairs)  # type: ignore[no-untyped-call]
            pipeline.zremrangebyrank(key, 0, -keep - 1)
            pipeline.zscore(key, series.pairs[-1])
        with translating():
            answers = pipeline.execute(raise_on_error=False)
            for series, added, score in zip(block, answers[::3], answers[2::3], strict=True):
                # Ticks of a backfill that the trim dropped again are no news to live readers.
                if isinstance(added, int) and added and score is not None:
                    pipeline.publish(self.ticks_key(series.symbol, series.venue), series.payload)
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
        high, low = _bounds(start, end)
        key = self.bars_key(symbol, venue, timeframe)
        with translating():
            members = self._redis.zrange(
                key, high, low, desc=True, byscore=True, offset=0, num=limit
            )
        return [
            from_jsonable("bar", json.loads(str(each)[_BAR_RANK:])) for each in reversed(members)
        ]

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
        high, low = _bounds(start, end)
        key = self.bars_key(symbol, venue, timeframe)
        with self._redis.pipeline() as pipeline:
            pipeline.zrange(
                key, high, low, desc=True, byscore=True, offset=0, num=limit, withscores=True
            )
            members, is_whole = self._held(pipeline, part)
        texts = [BarText(int(score), member[_BAR_RANK:]) for member, score in reversed(members)]
        return Held(texts, is_whole)

    def _held(self, pipeline: Pipeline, part: str) -> tuple[Any, bool]:
        """Run a pipeline of one command; return its answer, and whether `part` was whole then.

        In one transaction: between two a store could be emptied, or filled again.
        """
        pipeline.get(self._whole_key(part))
        pipeline.info("server", "stats")
        with translating():
            answer, mark, info = pipeline.execute()
        return answer, mark is not None and mark == _era(info)

    @override
    def latest_bar(self, symbol: str, venue: str, timeframe: str) -> Row | None:
        found = self.bars(symbol, venue, timeframe, 1)
        return found[0] if found else None

    @override
    def latest_quote(self, symbol: str, venue: str) -> Row | None:
        with translating():
            texts = self._redis.hgetall(self.quote_key(symbol, venue))
        return _quote(texts)

    @override
    def ticks(self, symbol: str, venue: str, limit: int) -> list[Row]:
        with translating():
            members = self._redis.zrange(self.ticks_key(symbol, venue), -limit, -1)
        return [from_jsonable("tick", json.loads(str(member)[RANK_WIDTH:])) for member in members]

    @override
    def tick_texts(self, part: str, symbol: str, venue: str, limit: int) -> Held[list[str]]:
        with self._redis.pipeline() as pipeline:
            pipeline.zrange(self.ticks_key(symbol, venue), -limit, -1)
            members, is_whole = self._held(pipeline, part)
        return Held([member[RANK_WIDTH:] for member in members], is_whole)

    @override
    def held_quote(self, part: str, symbol: str, venue: str) -> Held[Row | None]:
        with self._redis.pipeline() as pipeline:
            pipeline.hgetall(self.quote_key(symbol, venue))
            texts, is_whole = self._held(pipeline, part)
        return Held(_quote(texts), is_whole)

    @override
    def series(self) -> set[tuple[str, str]]:
        found = set()
        with translating():
            for key in self._redis.scan_iter(f"{_escaped(self.prefix)}:*", count=5_000):
                noun, _, rest = str(key).removeprefix(f"{self.prefix}:").partition(":")
                symbol, at, venue = rest.partition("@")
                if at and noun in _SERIES_NOUNS:
                    found.add((symbol, venue.partition(":")[0]))
        return found

    @override
    def era(self) -> str:
        # A restart may come back with less than was told, however it saves; so may a replica that
        # takes over. An eviction takes a key without a word.
        with translating():
            info = self._redis.info("server", "stats")
        return _era(info)

    @override
    def is_whole(self, part: str) -> bool:
        with translating():
            marked = self._redis.get(self._whole_key(part))
        return marked is not None and marked == self.era()

    @override
    def mark_whole(self, part: str, era: str) -> None:
        with translating():
            self._redis.set(self._whole_key(part), era)

    def _whole_key(self, part: str) -> str:
        return f"{self.prefix}:whole:{part}"

    @override
    def ping(self) -> str:
        with translating():
            return f"Redis {self._redis.info('server')['redis_version']}"

    @override
    def close(self) -> None:
        self._redis.close()

    def bars_key(self, symbol: str, venue: str, timeframe: str) -> str:
        """Return the key of a series, also its channel."""
        return f"{self.prefix}:bars:{symbol}@{venue}:{timeframe}"

    def quote_key(self, symbol: str, venue: str) -> str:
        """Return the key of a quote; its channel says ``quotes``."""
        return f"{self.prefix}:quote:{symbol}@{venue}"

    def ticks_key(self, symbol: str, venue: str) -> str:
        """Return the key of a symbol's ticks, also their channel."""
        return f"{self.prefix}:ticks:{symbol}@{venue}"

    def _put(self, calls: Iterator[_Call] | list[_Call]) -> int:
        applied, trip, size = 0, [], 0
        for call in calls:
            trip.append(call)
            size += len(call.arguments)
            if size >= ARGUMENTS_PER_TRIP:
                applied, trip, size = applied + self._send(trip), [], 0
        return applied + self._send(trip) if trip else applied

    def _send(self, calls: list[_Call]) -> int:
        """Run `calls` in one round trip, and once more if the server had lost the scripts."""
        with translating():
            answers = self._pipelined(calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                for guard in hot_guards.ALL:
                    self._redis.script_load(guard.text)
                # What was applied in the first trip is refused now and is counted from it.
                again = self._pipelined(calls)
                answers = [
                    new if isinstance(old, NoScriptError) else old
                    for old, new in zip(answers, again, strict=True)
                ]
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, RedisError):
                raise translated(answer, f"{call.key}: ") from answer
        return sum(answers)

    def _pipelined(self, calls: list[_Call]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for guard, key, arguments in calls:
            pipeline.evalsha(guard.digest, 1, key, *arguments)
        return pipeline.execute(raise_on_error=False)


def _cut(pairs: list[Any]) -> Iterator[list[Any]]:
    """Yield parts of `pairs` that do not hold the server up: 1,000 bars take it some 5 ms."""
    for begin in range(0, len(pairs), 2000):
        yield pairs[begin : begin + 2000]


def _bounds(start: datetime | None, end: datetime | None) -> tuple[Any, Any]:
    """Return the scores of [start, end), the higher one first; Redis takes them as texts."""
    low = "-inf" if start is None else str(microseconds(start))
    return ("+inf" if end is None else f"({microseconds(end)}"), low


def _era(info: Mapping[str, Any]) -> str:
    return f"{info['run_id']}:{info['evicted_keys']}"


def _quote(texts: Mapping[Any, Any]) -> Row | None:
    if not texts:
        return None
    values = {
        name: json.loads(texts[name]) if kind in _JSON else texts[name]
        for name, kind in fields("quote").items()
        if name in texts
    }
    return from_jsonable("quote", values)


def _escaped(text: str) -> str:
    """Return `text` for a pattern of Redis, where it means itself."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
