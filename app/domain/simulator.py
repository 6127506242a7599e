"""A seeded market: random-walk trades and quotes, with the faults of real feeds on request.

Every number comes from a counter and the seed through one mixing function, so a feed is the same
on every machine and run, and its blocks can be made at millions of rows a second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import polars as pl

VENUE = "SIM"
BLOCK = 50_000
"""Ticks made at once; jitter and duplicates stay within a block."""
KNOWN = (
    "BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/USD", "DOGE/USD", "LTC/USD", "DOT/USD",
    "LINK/USD", "AVAX/USD", "EUR/USD", "GBP/USD", "AUD/USD", "NZD/USD", "XAU/USD", "XAG/USD",
)  # fmt: skip
POISONS = ("no record", "cut short", "too long", "unknown schema", "bad venue")
"""Kinds of poison by their number in the column `poison`, from 1; 0 is none."""
QUOTES_IN = 4
"""One tick in so many is a quote."""
CENT, LOT = Decimal("0.01"), Decimal("0.0001")
"""The steps of prices and sizes."""
DUPLICATE_AFTER_US = 20_000
LATENCY_US = 500
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_GOLDEN = 0x9E3779B97F4A7C15
_NUMBER = pl.Decimal(38, 12)


@dataclass(frozen=True, slots=True)
class Market:
    """What is simulated.

    Attributes:
        seed: Another seed is another market.
        symbols: How many.
        start_us: Event time of the first tick, µs since the epoch.
        step_us: Event time between two ticks, over all symbols, µs.
        jitter_us: How much later than its event a tick may arrive; the order suffers.
        duplicates: Share of ticks that come twice.
        gaps: Share of trades that never come, though their ids are used up.
        poison: Broken records for each good one, beside the good ones.
        known: Next trade id and price in cents of symbols that go on from an earlier feed.
    """

    seed: int = 0
    symbols: int = 10
    start_us: int = 0
    step_us: float = 1000.0
    jitter_us: int = 0
    duplicates: float = 0.0
    gaps: float = 0.0
    poison: float = 0.0
    known: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def symbol_names(count: int) -> list[str]:
    """Return the names of the first `count` simulated symbols."""
    return [*KNOWN[:count], *(f"SIM{n:05d}/USD" for n in range(len(KNOWN), count))]


def feed(market: Market, ticks: int | None = None) -> Iterator[pl.DataFrame]:
    """Yield the market's ticks in order of arrival, in frames of about `BLOCK` rows.

    Args:
        market: What is simulated.
        ticks: How many, before duplicates, gaps and poison; None never ends.

    Yields:
        The columns of tick.avsc and `poison` (u8, see `POISONS`). Trades of a symbol are numbered
        without holes, except for `market.gaps`.
    """
    names = symbol_names(market.symbols)
    last = pl.DataFrame(
        {
            "which": list(range(len(names))),
            "next_id": [market.known.get(name, (1, 0))[0] for name in names],
            "cents": [_first_price(market, n, name) for n, name in enumerate(names)],
        },
        schema={"which": pl.UInt32, "next_id": pl.Int64, "cents": pl.Int64},
    )
    done = 0
    while ticks is None or done < ticks:
        count = BLOCK if ticks is None else min(BLOCK, ticks - done)
        rows = _walk(market, done, count, last)
        last = _after(rows, last)
        yield _finished(market, rows, names)
        done += count


def _first_price(market: Market, n: int, name: str) -> int:
    known = market.known.get(name)
    return known[1] if known else 10_000 * (1 + (market.seed * 31 + n * 7919) % 997)


def _random(market: Market, purpose: int, index: pl.Expr) -> pl.Expr:
    """Return 32 random bits a row as i64: splitmix64 (Steele et al. 2014, OOPSLA, figure 17)."""
    offset = (market.seed * 1_000_003 + purpose) * 0xD1342543DE82EF95 % 2**64
    z = index.cast(pl.UInt64) * pl.lit(_GOLDEN, pl.UInt64) + pl.lit(offset, pl.UInt64)
    for shift, factor in _MIX:
        z = (z ^ (z // pl.lit(1 << shift, pl.UInt64))) * pl.lit(factor, pl.UInt64)
    return (z // pl.lit(1 << 32, pl.UInt64)).cast(pl.Int64)


def _happens(market: Market, purpose: int, share: float) -> pl.Expr:
    return _random(market, purpose, pl.col("n")) < round(share * 2**32)


def _walk(market: Market, first: int, count: int, last: pl.DataFrame) -> pl.DataFrame:
    """Return `count` ticks by event time: which symbol, trade or quote, id and price in cents."""
    n = pl.col("n")
    rows = pl.select(n=pl.int_range(first, first + count, dtype=pl.Int64)).with_columns(
        which=(_random(market, 1, n) % market.symbols).cast(pl.UInt32),
        is_trade=_random(market, 2, n) % QUOTES_IN != 0,
        step=_random(market, 3, n) % 5 - 2,
        event_us=market.start_us + (n.cast(pl.Float64) * market.step_us).cast(pl.Int64),
        lots=_random(market, 4, n) % 20_000 + 1,
        spread=_random(market, 5, n) % 4 + 1,
    )
    return rows.join(last, on="which", how="left", maintain_order="left").with_columns(
        cents=(pl.col("cents") + pl.col("step").cum_sum().over("which")).clip(lower_bound=10),
        trade_id=pl.col("next_id") + pl.col("is_trade").cast(pl.Int64).cum_sum().over("which") - 1,
    )


def _after(rows: pl.DataFrame, last: pl.DataFrame) -> pl.DataFrame:
    newest = rows.group_by("which").agg(
        (pl.col("trade_id").max() + 1).alias("next_id"), pl.col("cents").last()
    )
    return last.update(newest, on="which", how="left")


def _finished(market: Market, rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    lateness = _random(market, 6, pl.col("n")) % (market.jitter_us + 1)
    rows = rows.with_columns(
        arrival_us=pl.col("event_us") + LATENCY_US + lateness, poison=pl.lit(0, pl.UInt8)
    )
    kept = rows.filter(~(pl.col("is_trade") & _happens(market, 7, market.gaps)))
    again = kept.filter(_happens(market, 8, market.duplicates)).with_columns(
        arrival_us=pl.col("arrival_us") + _random(market, 9, pl.col("n")) % DUPLICATE_AFTER_US + 1
    )
    kind = (_random(market, 11, pl.col("n")) % len(POISONS) + 1).cast(pl.UInt8)
    poison = kept.filter(_happens(market, 10, market.poison)).with_columns(poison=kind)
    return _records(pl.concat([kept, again, poison]).sort("arrival_us", maintain_order=True), names)


def _records(rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Return the columns of tick.avsc."""
    trade, cents = pl.col("is_trade"), pl.col("cents")
    symbols = pl.Series("symbol", names)

    def exact(value: pl.Expr, unit: Decimal) -> pl.Expr:
        return value.cast(_NUMBER) * pl.lit(unit, _NUMBER)

    return rows.select(
        venue=pl.lit(VENUE),
        symbol=pl.lit(symbols).gather(pl.col("which")),
        event_time=pl.from_epoch("event_us", "us").dt.replace_time_zone("UTC"),
        ingest_time=pl.from_epoch("arrival_us", "us").dt.replace_time_zone("UTC"),
        sequence=pl.col("n"),
        trade_id=pl.when(trade).then(pl.col("trade_id").cast(pl.String)),
        price=pl.when(trade).then(exact(cents, CENT)),
        size=pl.when(trade).then(exact(pl.col("lots"), LOT)),
        bid=pl.when(~trade).then(exact(cents - pl.col("spread"), CENT)),
        ask=pl.when(~trade).then(exact(cents + pl.col("spread"), CENT)),
        bid_size=pl.when(~trade).then(exact(pl.col("lots"), LOT)),
        ask_size=pl.when(~trade).then(exact(pl.col("lots") + 7, LOT)),
        action=pl.lit("NEW", pl.Enum(["NEW", "CORRECT", "CANCEL"])),
        conditions=pl.lit([], pl.List(pl.String)),
        source=pl.lit("simulator"),
        sector=pl.lit(None, pl.String),
        quality=pl.lit(0, pl.Int32),
        raw_offset=pl.lit(None, pl.Int64),
        poison=pl.col("poison"),
    )
