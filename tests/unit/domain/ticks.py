"""Ticks for tests, with boring defaults, so that only the interesting field shows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from app.domain.bars import BarRow
from app.domain.trades import Trades, of_frame

DAY = datetime(2024, 3, 4, tzinfo=UTC)
SCHEMA = {
    "venue": pl.String,
    "symbol": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    "ingest_time": pl.Datetime("us", "UTC"),
    "sequence": pl.Int64,
    "trade_id": pl.String,
    "price": pl.Decimal(38, 12),
    "size": pl.Decimal(38, 12),
    "bid": pl.Decimal(38, 12),
    "ask": pl.Decimal(38, 12),
    "bid_size": pl.Decimal(38, 12),
    "ask_size": pl.Decimal(38, 12),
    "action": pl.String,
    "conditions": pl.List(pl.String),
    "source": pl.String,
    "sector": pl.String,
    "quality": pl.Int32,
    "raw_offset": pl.Int64,
    "offset": pl.Int64,
    "row": pl.UInt32,
}


def at(clock: str) -> datetime:
    """Return a time of the test day: ``10:00:59.5``."""
    hours, minutes, seconds = clock.split(":")
    return DAY + timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def us(clock: str) -> int:
    """Return a time of the test day in µs since the epoch."""
    return round(at(clock).timestamp() * 1e6)


def tick(
    clock: str = "10:00:00", price: str | None = "100", size: str | None = "1", **fields: object
) -> dict[str, object]:
    """Return one trade of BTC/USD at KRAKEN."""
    decimals = ("bid", "ask", "bid_size", "ask_size")
    return {
        "venue": "KRAKEN", "symbol": "BTC/USD", "event_time": at(clock), "ingest_time": at(clock),
        "sequence": None, "trade_id": None, "action": "NEW", "conditions": [], "source": "test",
        "sector": None, "quality": 0, "raw_offset": None,
        "price": None if price is None else Decimal(price),
        "size": None if size is None else Decimal(size),
        **dict.fromkeys(decimals),
        **{k: Decimal(str(v)) if k in decimals and v is not None else v for k, v in fields.items()},
    }  # fmt: skip


def block(*rows: dict[str, object], first_offset: int = 0) -> pl.DataFrame:
    """Return the rows as one decoded block, with offsets from `first_offset` on."""
    numbered = [{"offset": first_offset + n, "row": n, **row} for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=SCHEMA, orient="row")


def trades(*rows: dict[str, object], first_offset: int = 0) -> Trades:
    """Return the same as the bars' loops take it."""
    frame = block(*rows, first_offset=first_offset)
    return of_frame(frame, np.zeros(len(frame), np.int64))


def records(rows: Iterable[BarRow]) -> list[dict[str, Any]]:
    """Return bars as their records."""
    return [row.record() for row in rows]
