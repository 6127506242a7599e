"""What the client asks by REST, and how it reads the answers."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import polars as pl

from app.client.effects import Asking, Call
from app.client.frames import Row, frame, row
from schemas.json_form import microseconds

MOST_BARS, MOST_TICKS = 5_000, 1_000
"""Of one answer."""

Time = datetime | int | str
"""An aware datetime, microseconds since 1970, or ISO 8601."""


def one(record: str, path: str, params: Mapping[str, str] | None = None) -> Asking[Row]:
    """Ask for one record."""
    answer = yield Call(path, params or {})
    return row(record, answer["data"])


def many(record: str, path: str, params: Mapping[str, str]) -> Asking[pl.DataFrame]:
    """Ask for records."""
    answer = yield Call(path, params)
    return frame(record, answer["data"])


def latest_quote(series: str) -> Asking[Row]:
    """Ask for the newest quote."""
    return one("quote", f"/api/quotes/latest/{_path(series)}")


def latest_bar(series: str, timeframe: str) -> Asking[Row]:
    """Ask for the bar that opened last."""
    return one("bar", f"/api/ohlc/latest/{_path(series)}", {"timeframe": timeframe})


def bars(
    series: str,
    timeframe: str,
    start: Time | None,
    end: Time | None,
    limit: int | None,
) -> Asking[pl.DataFrame]:
    """Ask for bars, page by page."""
    values = yield from bar_values(series, timeframe, start, end, limit)
    return frame("bar", values)


def bar_values(
    series: str,
    timeframe: str,
    start: Time | None = None,
    end: Time | None = None,
    limit: int | None = None,
) -> Asking[list[Mapping[str, Any]]]:
    """Ask for bars; they come back as they are in JSON, oldest first."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, was {limit}")
    params = {"timeframe": timeframe}
    for name, time in (("from", start), ("to", end)):
        if time is not None:
            params[name] = _time(time, name)
    pages: list[list[Mapping[str, Any]]] = []
    left = limit
    while left is None or left > 0:
        size = MOST_BARS if left is None else min(left, MOST_BARS)
        answer = yield Call(f"/api/ohlc/{_path(series)}", {**params, "limit": str(size)})
        pages.append(answer["data"])
        if left is not None:
            left -= len(answer["data"])
        if answer.get("next") is None:
            break
        params["cursor"] = answer["next"]
    return [values for page in reversed(pages) for values in page]


def ticks(series: str, limit: int) -> Asking[pl.DataFrame]:
    """Ask for the newest ticks."""
    return many("tick", f"/api/quotes/history/{_path(series)}", {"limit": str(limit)})


def symbols() -> Asking[list[str]]:
    """Ask for every series."""
    answer = yield Call("/api/symbols")
    return [f"{each['symbol']}@{each['venue']}" for each in answer["data"]]


def anomalies(series: str | None, limit: int) -> Asking[pl.DataFrame]:
    """Ask for the newest anomalies."""
    return many("anomaly", "/api/anomalies", _of(series, {"limit": str(limit)}))


def gaps(series: str | None, *, repaired: bool) -> Asking[pl.DataFrame]:
    """Ask for the gap ledger."""
    params = {"repaired": str(repaired).lower(), "limit": str(MOST_TICKS)}
    return many("gap", "/api/gaps", _of(series, params))


def _of(series: str | None, params: dict[str, str]) -> dict[str, str]:
    return params if series is None else {**params, "symbol": series}


def _path(series: str) -> str:
    return quote(series, safe="/@")


def _time(time: Time, name: str) -> str:
    if not isinstance(time, datetime):
        return str(time)
    if time.tzinfo is None:
        raise ValueError(f"{name} must have a time zone, was {time.isoformat()}")
    return str(microseconds(time))
