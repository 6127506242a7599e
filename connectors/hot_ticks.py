"""A frame of ticks as the members of Redis's sorted sets, with no Python step per tick."""

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import polars as pl

from connectors.hot_guards import RANK_WIDTH
from schemas.json_form import Kind, fields


class SeriesTicks(NamedTuple):
    """The newest ticks of one series, oldest first.

    Attributes:
        pairs: Event time in µs and member of each, in turn.
        payload: The ticks as one JSON array.
    """

    symbol: str
    venue: str
    pairs: list[int | str]
    payload: str


def ticks_by_series(frame: pl.DataFrame, keep: int) -> Iterator[SeriesTicks]:
    """Yield the newest `keep` ticks of each (symbol, venue) of `frame`, oldest first.

    A member begins with the tick's offset in ticks.raw.v1, which stays the same when
    normalization writes the tick again after a crash; a tick without one is known by its
    offset in ticks.v1. The padding orders ticks of one event time by it.
    """
    if frame.is_empty():
        return
    kept = (
        frame.with_columns(_id=pl.coalesce("raw_offset", "offset"))
        .sort("event_time", "_id", maintain_order=True)
        .group_by("symbol", "venue", maintain_order=True)
        .tail(keep)
    )
    names = [name for name in fields("tick") if kept[name].null_count() < kept.height]
    rendered = kept.select(
        "symbol",
        "venue",
        pl.col("event_time").cast(pl.Int64).alias("_score"),
        pl.col("_id").cast(pl.String).str.zfill(RANK_WIDTH),
        # A column without any value is left out: half of a trade's fields are a quote's.
        pl.struct(_rendered(name) for name in names).struct.json_encode().alias("_json"),
    )
    grouped = rendered.group_by("symbol", "venue", maintain_order=True).agg(
        pl.col("_score"),
        pl.concat_str("_id", "_json").alias("_member"),
        pl.concat_str(pl.lit("["), pl.col("_json").str.join(","), pl.lit("]")).first(),
    )
    for symbol, venue, scores, members, payload in grouped.iter_rows():
        pairs = list(chain.from_iterable(zip(scores, members, strict=True)))
        yield SeriesTicks(symbol, venue, pairs, payload)


def _rendered(name: str) -> pl.Expr:
    kind, column = fields("tick")[name], pl.col(name)
    if kind is Kind.TIME:
        return column.cast(pl.Int64)
    if kind is Kind.DECIMAL:
        # The text has all 12 digits, so a point is always there to stop at.
        text = column.cast(pl.Decimal(38, 12)).cast(pl.String)
        return text.str.strip_chars_end("0").str.strip_chars_end(".")
    return column
