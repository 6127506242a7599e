"""Recorded trades of real markets, as ticks: for the demo, the tests and the benchmarks.

The files are not part of the project; README says where they are looked for.
"""

import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import polars as pl

from app.domain.conditions import table

DECIMAL = pl.Decimal(38, 12)
INSTANT = pl.Datetime("us", "UTC")
NEW_YORK_MIDNIGHT = datetime(2013, 10, 8, 4, tzinfo=UTC)
"""2013-10-08 00:00 in New York, which was on daylight saving time."""

LEAN = table("lean_us")


class Recording(NamedTuple):
    """One recorded stream of one instrument."""

    symbol: str
    venue: str
    file: str
    read: Callable[[Path], pl.DataFrame]


def ticks(**columns: pl.Series | pl.Expr) -> pl.DataFrame:
    """Return trades with tick.avsc's columns in its order; what is not given is null or default.

    Args:
        columns: At least venue, symbol, event_time, price and size.
    """
    given = pl.select(
        (pl.lit(value) if isinstance(value, pl.Series) else value).alias(name)
        for name, value in columns.items()
    )
    event_time = given["event_time"]
    defaults: dict[str, pl.Expr] = {
        "venue": pl.lit(""),
        "symbol": pl.lit(""),
        "event_time": pl.lit(event_time),
        "ingest_time": pl.lit(event_time),
        "sequence": pl.lit(None, pl.Int64),
        "trade_id": pl.lit(None, pl.String),
        **{name: pl.lit(None, DECIMAL) for name in ("price", "size")},
        **{name: pl.lit(None, DECIMAL) for name in ("bid", "ask", "bid_size", "ask_size")},
        "action": pl.lit("NEW"),
        "conditions": pl.lit([], pl.List(pl.String)),
        "source": pl.lit("recording"),
        "sector": pl.lit(None, pl.String),
        "quality": pl.lit(0, pl.Int32),
        "raw_offset": pl.lit(None, pl.Int64),
    }
    return given.select(
        (pl.col(name) if name in given.columns else default).alias(name)
        for name, default in defaults.items()
    )


def exact(values: pl.Series) -> pl.Series:
    """Return floats as the decimals of their shortest form, as they were written once."""
    return pl.Series(values.name, [Decimal(repr(v)) for v in values], dtype=DECIMAL)


def xrp_eth(folder: Path) -> pl.DataFrame:
    """Return 12,477 trades of XRP/ETH, 11 to 13 October 2019, ids without holes."""
    raw = pl.read_parquet(folder / XRP_ETH.file)
    return ticks(
        venue=pl.repeat("KRAKEN", len(raw)),
        symbol=pl.repeat("XRP/ETH", len(raw)),
        event_time=raw["timestamp"].cast(pl.Datetime("ms", "UTC")).cast(INSTANT),
        sequence=raw["id"].cast(pl.Int64),
        trade_id=raw["id"],
        price=exact(raw["price"]),
        size=exact(raw["amount"]),
    )


def us_equity(name: str) -> Callable[[Path], pl.DataFrame]:
    """Return a reader of every US trade of `name` on 2013-10-08, in the order recorded.

    A row is: ms of the day in New York, price x 10,000, size, exchange, sale conditions in hex,
    suspicious flag. The tape has no ids, so `sequence` is the row's number. A tick's conditions are
    the codes of the table lean_us.
    """

    def read(folder: Path) -> pl.DataFrame:
        path = folder / f"equities/{name.lower()}-tick-20131008_trade.zip"
        with zipfile.ZipFile(path) as archive:
            raw = pl.read_csv(
                archive.read(archive.namelist()[0]),
                has_header=False,
                new_columns=["ms", "price", "size", "exchange", "conditions", "suspicious"],
                schema_overrides={"conditions": pl.String, "exchange": pl.String},
            )
        codes = {flags: list(LEAN.codes(int(flags, 16))) for flags in raw["conditions"].unique()}
        return ticks(
            venue=pl.repeat("US", len(raw)),
            symbol=pl.repeat(name, len(raw)),
            event_time=(
                pl.lit(NEW_YORK_MIDNIGHT, INSTANT) + pl.duration(milliseconds=pl.lit(raw["ms"]))
            ),
            sequence=pl.int_range(len(raw), dtype=pl.Int64),
            price=pl.lit(raw["price"].cast(pl.Decimal(38, 0)).cast(DECIMAL)) / 10_000,
            size=raw["size"].cast(pl.Decimal(38, 0)).cast(DECIMAL),
            conditions=raw["conditions"].replace_strict(codes, return_dtype=pl.List(pl.String)),
        )

    return read


def coinbase_bars(folder: Path, day: str, width: str) -> pl.DataFrame:
    """Return Coinbase's own BTC/USD bars of a day.

    Args:
        folder: Where the recordings are.
        day: ``20161007`` or ``20161008``.
        width: ``second`` or ``minute``.

    Returns:
        open_time, and open, high, low, close and volume as decimals.
    """
    path = folder / f"trades/coinbase-btcusd-{width}-{day}.zip"
    names = ["open", "high", "low", "close", "volume"]
    with zipfile.ZipFile(path) as archive:
        raw = pl.read_csv(
            archive.read(archive.namelist()[0]),
            has_header=False,
            new_columns=["ms", *names],
            schema_overrides=dict.fromkeys(names, pl.String),
        )
    midnight = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return raw.select(
        open_time=pl.lit(midnight, INSTANT) + pl.duration(milliseconds="ms"),
        **{n: pl.Series([Decimal(v) for v in raw[n]], dtype=DECIMAL) for n in names},
    )


XRP_ETH = Recording("XRP/ETH", "KRAKEN", "trades/XRP_ETH-trades.parquet", xrp_eth)
SPY = Recording("SPY", "US", "equities/spy-tick-20131008_trade.zip", us_equity("SPY"))
