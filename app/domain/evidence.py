"""What the log holds about one bar, as plain ticks, in the order of the log."""

from collections.abc import Hashable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import polars as pl

from app.domain.bars import instant


class Target(NamedTuple):
    """The series and the part of its time that a bar is about: open_us <= event time < close_us."""

    symbol: str
    venue: str
    open_us: int
    close_us: int


class Tick(NamedTuple):
    """One record.

    Attributes:
        offset: In ticks.v1; None when it never got there.
        raw_offset: In ticks.raw.v1.
        event_us: Event time, µs; None, like all that follows, for bytes that are no tick.
        behind: The raw offset that came before although it is not lower: this is a repeat.
        quote: Bid, ask and their sizes.
    """

    offset: int | None
    raw_offset: int | None
    event_us: int | None = None
    sequence: int | None = None
    trade_id: str | None = None
    price: Decimal | None = None
    size: Decimal | None = None
    action: str = "NEW"
    conditions: Sequence[str] = ()
    behind: int | None = None
    quote: Sequence[Decimal | None] = ()

    @property
    def identity(self) -> Hashable:
        """What a repeat has in common with it: the id of a trade, or else the content."""
        if self.trade_id is not None and self.action == "NEW":
            return self.trade_id
        return (self.action, self.trade_id, self.event_us, self.sequence, self.price, self.size,
                *self.quote)  # fmt: skip


class Late(NamedTuple):
    """A record of ticks.late.v1: stream time when it came, µs, and whether it revised its bar."""

    stream_us: int
    revised: bool


def accepted(ticks: pl.DataFrame, target: Target, after: int) -> tuple[list[Tick], int]:
    """Return what a block of ticks.v1 holds about a bar.

    Args:
        ticks: tick.avsc's columns and `offset`, in order.
        target: The bar.
        after: Highest raw offset before the block, -1 for none.

    Returns:
        The trades in the bar and every correction and cancel of its series; and the highest raw
        offset with the block.
    """
    raw = ticks["raw_offset"]
    before = raw.cum_max().shift(1).fill_null(strategy="forward").fill_null(after)
    before = before.clip(lower_bound=after)
    behind = pl.select(pl.when(raw <= before).then(before)).to_series()
    is_trade = _within(target) & pl.col("price").is_not_null()
    mine = ticks.with_columns(behind=behind).filter(
        _of(target) & (is_trade | (pl.col("action") != "NEW"))
    )
    highest = raw.max()
    return _ticks(mine), max(after, highest) if isinstance(highest, int) else after


def unaccepted(ticks: pl.DataFrame, target: Target, known: pl.Series) -> list[Tick]:
    """Return the records of a block of ticks.raw.v1 in a bar that are not among the `known`.

    Args:
        ticks: tick.avsc's columns and `offset`.
        target: The bar.
        known: Raw offsets of accepted ticks, i64.
    """
    mine = ticks.filter(
        _of(target) & _within(target) & ~pl.col("offset").is_in(known.implode())
    ).with_columns(
        raw_offset="offset", offset=pl.lit(None, pl.Int64), behind=pl.lit(None, pl.Int64)
    )
    return _ticks(mine)


def touches(gap: Mapping[str, Any], target: Target) -> bool:
    """Return whether trades of a record of gap.avsc may be missing in a bar."""
    return bool(
        gap["symbol"] == target.symbol
        and gap["venue"] == target.venue
        and gap["after_time"] < instant(target.close_us)
        and gap["before_time"] >= instant(target.open_us)
    )


def _of(target: Target) -> pl.Expr:
    return (pl.col("venue") == target.venue) & (pl.col("symbol") == target.symbol)


def _within(target: Target) -> pl.Expr:
    at = pl.col("event_time").to_physical()
    return (at >= target.open_us) & (at < target.close_us)


def _ticks(rows: pl.DataFrame) -> list[Tick]:
    columns = rows.select(
        "offset", "raw_offset", pl.col("event_time").to_physical(), "sequence", "trade_id",
        "price", "size", pl.col("action").cast(pl.String), "conditions", "behind",
        "bid", "ask", "bid_size", "ask_size",
    )  # fmt: skip
    return [Tick._make((*row[:10], row[10:])) for row in columns.iter_rows()]
