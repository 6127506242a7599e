"""The rules of the tick contract that bytes alone cannot show: which ticks are refused, and why.

Reasons are a closed set; a refusal's detail names the thing, the rule and the value.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import polars as pl

from schemas.packed import Positions

VENUE = r"^[A-Z0-9_]{1,32}$"
SYMBOL = r"^[A-Z0-9._/-]{1,32}$"
OLDEST_US = 631_152_000_000_000
"""1990-01-01: no venue's electronic tick is older."""
LARGEST = 10**15
"""A price or size beyond it is absurd."""


class Refusal(NamedTuple):
    """One refused row of a block: its index, a reason from the closed set, and the detail."""

    row: int
    reason: str
    detail: str


class _Rule(NamedTuple):
    reason: str
    broken: pl.Expr
    columns: tuple[str, ...]
    detail: Callable[..., str]


def _both(a: str, b: str) -> pl.Expr:
    return pl.col(a).is_null() != pl.col(b).is_null()


def _below_or_absurd(column: str, *, zero_allowed: bool) -> pl.Expr:
    value = pl.col(column)
    low = value < 0 if zero_allowed else value <= 0
    return (low | (value > LARGEST)).fill_null(value=False)


def _number(reason: str, column: str, rule: str, *, zero_allowed: bool) -> _Rule:
    return _Rule(
        reason,
        _below_or_absurd(column, zero_allowed=zero_allowed),
        (column,),
        lambda value: f"{column} must be {rule} and at most 1e15, was {value:f}",
    )


_AMENDS = pl.col("action") != "NEW"

_RULES = (
    _Rule(
        "no_parts",
        pl.all_horizontal(pl.col("price", "size", "bid", "ask").is_null()) & ~_AMENDS,
        ("symbol",),
        lambda symbol: f"tick must have a trade part or a quote part, had neither ({symbol})",
    ),
    _Rule(
        "incomplete_trade",
        _both("price", "size"),
        ("price", "size"),
        lambda price, size: f"a trade must have price and size, had {price} and {size}",
    ),
    _number("bad_price", "price", "above 0", zero_allowed=False),
    _number("bad_size", "size", "at least 0", zero_allowed=True),
    _number("bad_quote", "bid", "at least 0", zero_allowed=True),
    _number("bad_quote", "ask", "at least 0", zero_allowed=True),
    _number("bad_quote", "bid_size", "at least 0", zero_allowed=True),
    _number("bad_quote", "ask_size", "at least 0", zero_allowed=True),
    _Rule(
        "no_trade_id",
        _AMENDS & pl.col("trade_id").is_null(),
        ("action",),
        lambda action: f"{action} must name the trade_id that it changes, had none",
    ),
    _Rule(
        "incomplete_trade",
        (pl.col("action") == "CORRECT") & pl.col("price").is_null(),
        ("trade_id",),
        lambda trade_id: f"CORRECT must have the new price and size, trade {trade_id} had none",
    ),
    _Rule(
        "bad_event_time",
        pl.col("event_time").to_physical() < OLDEST_US,
        ("event_time",),
        lambda at: f"event_time must be 1990 or later, was {at}",
    ),
)


def refusals(
    ticks: pl.DataFrame, keys: Sequence[bytes | None], latest_us: Positions
) -> tuple[pl.DataFrame, list[Refusal]]:
    """Split a block into ticks that keep the contract and refusals.

    Args:
        ticks: tick.avsc's columns and `row`, the index into `keys`.
        keys: The Kafka key of every record of the block.
        latest_us: Event times beyond it are in the future, µs, for every record of the block.

    Returns:
        The rows that keep the contract, in order, and one refusal for each of the others.
    """
    latest = pl.lit(pl.Series(latest_us[ticks["row"].to_numpy()], dtype=pl.Int64))
    rules = (
        *_names(ticks, "venue", VENUE),
        *_names(ticks, "symbol", SYMBOL),
        _key_rule(ticks, keys),
        *_RULES,
        _Rule(
            "future_event_time",
            pl.col("event_time").to_physical() > latest,
            ("event_time",),
            lambda at: f"event_time must not be ahead of the broker's clock, was {at}",
        ),
    )
    broken = ticks.select(rule.broken.alias(str(n)) for n, rule in enumerate(rules))
    any_broken = broken.select(pl.any_horizontal(pl.all()).alias("any"))["any"]
    if not any_broken.any():
        return ticks, []
    refused = []
    bad = ticks.filter(any_broken)
    which = broken.filter(any_broken).rows()
    for row, marks in zip(bad.iter_rows(named=True), which, strict=True):
        rule = rules[marks.index(True)]
        values: list[Any] = [keys[row["row"]] if c == "key" else row[c] for c in rule.columns]
        refused.append(Refusal(row["row"], rule.reason, rule.detail(*values)))
    return ticks.filter(~any_broken), refused


def _names(ticks: pl.DataFrame, column: str, pattern: str) -> list[_Rule]:
    """Return a rule that the column's bad values break; few distinct values, so few matches."""
    valid = re.compile(pattern)
    bad = [v for v in ticks[column].unique().to_list() if not valid.match(v) or v.endswith("\n")]
    if not bad:
        return []
    detail: Callable[..., str] = lambda value: f"{column} must match {pattern}, was {value!r}"  # noqa: E731
    return [_Rule(f"bad_{column}", pl.col(column).is_in(bad), (column,), detail)]


def _key_rule(ticks: pl.DataFrame, keys: Sequence[bytes | None]) -> _Rule:
    """Return the rule that the Kafka key is the symbol."""
    series = pl.Series(keys, dtype=pl.Binary)
    if len(ticks) != len(keys):
        series = series.gather(ticks["row"])
    return _Rule(
        "bad_key",
        pl.lit(series.ne_missing(ticks["symbol"].cast(pl.Binary))),
        ("key", "symbol"),
        lambda key, symbol: f"key must be the symbol {symbol!r}, was {key!r}",
    )
