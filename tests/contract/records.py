"""Factories with boring defaults, so that a test shows only the field it is about."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from app.domain.ports import OFFSET, Row

DECIMAL = pl.Decimal(38, 12)
TIME = pl.Datetime("us", "UTC")
TICKS = pl.Schema(
    {
        "venue": pl.String,
        "symbol": pl.String,
        "event_time": TIME,
        "ingest_time": TIME,
        "sequence": pl.Int64,
        "trade_id": pl.String,
        "price": DECIMAL,
        "size": DECIMAL,
        "bid": DECIMAL,
        "ask": DECIMAL,
        "bid_size": DECIMAL,
        "ask_size": DECIMAL,
        "action": pl.String,
        "conditions": pl.List(pl.String),
        "source": pl.String,
        "sector": pl.String,
        "quality": pl.Int32,
        "raw_offset": pl.Int64,
        "offset": pl.Int64,
    }
)


def at(clock: str, day: str = "2025-11-20") -> datetime:
    """Return the UTC time of `day` at `clock`."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)


def bar(**fields: Any) -> Row:
    """Return a bar; `offset` is its own offset in bars.v1."""
    offset = fields.pop("offset", 0)
    open_time = fields.get("open_time", at("10:00"))
    row: Row = {
        "symbol": "BTC-USD",
        "venue": "KRAKEN",
        "timeframe": "M1",
        "open_time": open_time,
        "close_time": open_time + timedelta(minutes=1),
        "open": Decimal(100),
        "high": Decimal("100.5"),
        "low": Decimal("99.000000000001"),
        "close": Decimal("100.25"),
        "volume": Decimal("12.5"),
        "notional": Decimal("1250.000000000000000000000001"),
        "vwap": Decimal("100.000000000001"),
        "trades": 3,
        "revision": 0,
        "reason": "live",
        "is_final": False,
        "complete": True,
        "partial": False,
        "late": 0,
        "source_partition": 2,
        "first_offset": 5,
        "last_offset": 9,
        "duplicates": 1,
        "quotes": 0,
    }
    return {**row, **fields, OFFSET: offset}


def empty(**fields: Any) -> Row:
    """Return a bar without trades or prices."""
    nothing = {**dict.fromkeys(("open", "high", "low", "close", "vwap")), "volume": Decimal(0)}
    none = {"notional": Decimal(0), "trades": 0, "first_offset": -1, "last_offset": -1}
    return bar(**{**nothing, **none, "revision": 1, "is_final": True, **fields})


def quote(**fields: Any) -> Row:
    """Return a quote."""
    row: Row = {
        "symbol": "BTC-USD",
        "venue": "KRAKEN",
        "event_time": at("10:00"),
        "ingest_time": at("10:00:00.000350"),
        "sequence": None,
        "bid": Decimal("99.5"),
        "ask": Decimal(100),
        "bid_size": Decimal(2),
        "ask_size": None,
        "crossed": False,
        "source": "kraken-ws",
        "source_partition": 2,
        "tick_offset": 7,
    }
    return {**row, **fields}


def ticks(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return a frame of trades; row n has offset n and no raw_offset unless it says so."""
    default: Row = {
        "venue": "KRAKEN",
        "symbol": "BTC-USD",
        "event_time": at("10:00"),
        "ingest_time": at("10:00:00.000350"),
        "sequence": None,
        "trade_id": None,
        "price": Decimal(100),
        "size": Decimal("0.5"),
        "bid": None,
        "ask": None,
        "bid_size": None,
        "ask_size": None,
        "action": "NEW",
        "conditions": [],
        "source": "kraken-ws",
        "sector": None,
        "quality": 0,
        "raw_offset": None,
    }
    full = [{**default, "offset": n, **row} for n, row in enumerate(rows)]
    return pl.DataFrame(full, schema=TICKS, orient="row")


def without(row: Row, *names: str) -> Row:
    """Return `row` less `names`."""
    return {name: value for name, value in row.items() if name not in names}
