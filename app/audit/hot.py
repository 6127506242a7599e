"""What Redis holds of bars, as a table of the audit; and its digest."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal
from hashlib import sha256
from typing import Any

import duckdb
import pyarrow as pa
import redis

from app.audit.emissions import COLUMNS, DECIMALS, FIELDS
from app.audit.report import Report
from app.audit.warm import TYPES, Key
from app.errors import StoreUnavailable

RANK_DIGITS = 40
"""What stands before the JSON of a bar."""
KEPT = 2_000
"""Bars of a series that the hot store keeps."""
AT_ONCE = 1_000
WIDE = Context(prec=100)
SCALES = {**dict.fromkeys(DECIMALS, 12), "notional": 24}
TIMES = {"open_us": "open_time", "close_us": "close_time"}


class Hot:
    """Redis.

    Args:
        db: Where the tables `redis_bars` and `redis_series` are made.
        url: Such as ``redis://127.0.0.1:6379/0``.
        prefix: First part of every key.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, url: str, prefix: str) -> None:
        self._db = db
        self._first = f"{prefix}:bars:"
        self._redis: Any = redis.Redis.from_url(url, decode_responses=True, socket_timeout=10)
        db.execute(f"CREATE TABLE redis_bars ({COLUMNS})")
        db.execute(
            "CREATE TABLE redis_series (symbol VARCHAR, venue VARCHAR, timeframe VARCHAR,"
            " bars BIGINT, oldest_us BIGINT)"
        )

    def close(self) -> None:
        """Give the connection back."""
        self._redis.close()

    def take_all(self, report: Report) -> str:
        """Copy all series; return how many bars there are, and a digest of all (I3)."""
        total, count = 0, 0
        with _translated():
            for key in self._redis.scan_iter(f"{self._first}*", count=1_000):
                members = self._redis.zrange(key, 0, -1)
                for member in members:
                    text = f"{key[len(self._first) :]} {member}"
                    total += int.from_bytes(sha256(text.encode()).digest()[:8], "big")
                count += len(members)
                self._keep(members, report)
                self._describe([self._series(key)])
        return f"{count}:{total:x}"

    def take(self, keys: Sequence[Key], report: Report) -> None:
        """Copy some bars."""
        series = sorted({key[:3] for key in keys})
        with _translated():
            self._describe(series)
            for start in range(0, len(keys), AT_ONCE):
                pipeline = self._redis.pipeline(transaction=False)
                for symbol, venue, timeframe, open_us in keys[start : start + AT_ONCE]:
                    key = f"{self._first}{symbol}@{venue}:{timeframe}"
                    pipeline.zrange(key, open_us, open_us, byscore=True)
                self._keep([m for found in pipeline.execute() for m in found], report)

    def _series(self, key: str) -> tuple[str, str, str]:
        name, _, timeframe = key[len(self._first) :].rpartition(":")
        symbol, _, venue = name.rpartition("@")
        return symbol, venue, timeframe

    def _describe(self, series: Sequence[tuple[str, str, str]]) -> None:
        rows = []
        for start in range(0, len(series), AT_ONCE):
            names = series[start : start + AT_ONCE]
            pipeline = self._redis.pipeline(transaction=False)
            for symbol, venue, timeframe in names:
                key = f"{self._first}{symbol}@{venue}:{timeframe}"
                pipeline.zcard(key)
                pipeline.zrange(key, 0, 0, withscores=True)
            found = pipeline.execute()
            for name, bars, oldest in zip(names, found[::2], found[1::2], strict=True):
                rows.append((*name, bars, int(oldest[0][1]) if oldest else None))
        if rows:
            self._db.executemany("INSERT INTO redis_series VALUES (?, ?, ?, ?, ?)", rows)

    def _keep(self, members: Sequence[str], report: Report) -> None:
        bars = []
        for member in members:
            try:
                bars.append(_bar(member))
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                what = {"what": "no bar", "where": "Redis", "bar": member[RANK_DIGITS:][:200]}
                report.add("I4", [{**what, "found": str(error)}])
        if not bars:
            return
        columns = {name: pa.array([bar[name] for bar in bars], _type(name)) for name in FIELDS}
        self._db.register("chunk", pa.table(columns))
        numbers = ", ".join(f"{n}::HUGEINT" if n in DECIMALS else n for n in FIELDS)
        self._db.execute(f"INSERT INTO redis_bars SELECT {numbers} FROM chunk")
        self._db.unregister("chunk")


def _type(name: str) -> Any:
    if name in {"is_final", "complete", "partial"}:
        return pa.bool_()
    return TYPES.get(name, pa.string())


def _bar(member: str) -> dict[str, Any]:
    given = json.loads(member[RANK_DIGITS:])
    bar = {name: given.get(TIMES.get(name, name)) for name in FIELDS}
    for name, scale in SCALES.items():
        if bar[name] is not None:
            if not isinstance(bar[name], str):
                raise TypeError(f"{name} must be text, was {bar[name]!r}")
            unscaled = Decimal(bar[name]).scaleb(scale, WIDE)
            if unscaled != int(unscaled):
                raise ValueError(f"{name} must have {scale} digits at most, was {bar[name]}")
            bar[name] = str(int(unscaled))
    rank = bar["revision"], bar["last_offset"]
    if member[:RANK_DIGITS] != "".join(f"{part + 2**63:020d}" for part in rank):
        raise ValueError(f"its rank must be {rank}, was {member[:RANK_DIGITS]}")
    return bar


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise StoreUnavailable(f"Redis: {error}") from None
