"""Quote bars: what was bid, asked, and the middle of the two, by time (S16).

Three series beside that of the trades, for instruments that have no trades or few: timeframes
M1.bid, M1.ask and M1.mid, and likewise each of the ladder. They are bars as any others: open and
close are the first and last by rank, with the grace, revisions and roll-up of `Series`. But
nothing was traded in them: volume, notional and trades are 0, and `quotes` is a count, not a
volume.

- Every quote moves the time of all three, so that they close together, whichever side it has.
- A mid is (bid + ask) / 2 of one quote, half a unit of 1e-12 rounded to even. A quote of one side
  alone has none: what the other side was at that instant is not known.
- A crossed quote (bid > ask) counts for bid and ask as it came, but has no mid, as no market
  stands between its sides (O. Barndorff-Nielsen et al., Realized kernels in practice,
  Econometrics Journal 12 (2009), rule Q2). A locked one (bid = ask) has.
- Of quotes that share event time, sequence and id, the lower price comes first: never arrival.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from app.domain import partials, trades
from app.domain.bars import Bar, BarRow
from app.domain.partials import HIGH_LOW, OPEN_CLOSE
from app.domain.series import Emission, Series
from app.domain.shelf import NEVER
from app.domain.trades import ABSENT, Numbers, Trades
from schemas.packed import Positions

SIDES = ("bid", "ask", "mid")


class Quotes(NamedTuple):
    """The quotes of a block.

    Attributes:
        ticks: n ticks in offset order; their own prices and sizes do not count.
        bid: Of each; ticks with neither bid nor ask are no quotes, and are passed over.
        ask: Of each.
    """

    ticks: Trades
    bid: Numbers
    ask: Numbers

    def take(self, rows: Positions) -> "Quotes":
        """Return some of the quotes, in order."""
        return Quotes(self.ticks.take(rows), self.bid.take(rows), self.ask.take(rows))

    def between(self, start: int, stop: int) -> "Quotes":
        """Return those whose offset is in [start, stop)."""
        low, high = np.searchsorted(self.ticks.offset, (start, stop)).tolist()
        return self.take(np.arange(low, high))


class Part(NamedTuple):
    """A partial quote bar of one series: `Trades.names[series]`; its trades are quotes."""

    series: int
    side: str
    bar: Bar


class Late(NamedTuple):
    """A quote whose bars were final before it came.

    Attributes:
        row: Its row.
        stream_us: Stream time of its series before it, µs.
        bars: The partial bars it makes, by side.
    """

    row: int
    stream_us: int
    bars: dict[str, Bar]


class Folded(NamedTuple):
    """What the quotes of one block make.

    Attributes:
        parts: Of the quotes on time, one for each series, side and open time.
        late: The others, in order.
        stream_us: By series: the latest event time of a quote, with those of the block, µs.
    """

    parts: list[Part]
    late: list[Late]
    stream_us: list[int]


def of_frame(ticks: pl.DataFrame, appended_us: Positions) -> Quotes:
    """Return the quotes of a block.

    Args:
        ticks: n rows in offset order, tick.avsc's columns and `offset`; those without bid and
            ask are left out.
        appended_us: When Kafka appended each, µs, n.
    """
    is_quote = ticks["bid"].is_not_null() | ticks["ask"].is_not_null()
    quotes = ticks.filter(is_quote).with_columns(price="bid", size="ask")
    made = trades.of_frame(quotes, appended_us[is_quote.to_numpy()])
    return Quotes(made, made.price, made.size)


def fold(
    quotes: Quotes,
    known_us: Sequence[int],
    grace_us: Sequence[int],
    width_us: int,
    after: int = ABSENT,
) -> Folded:
    """Fold a block.

    Args:
        quotes: n quotes; those of another action than NEW are passed over.
        known_us: Stream time of the quotes of each series in `quotes.ticks.names`, µs.
        grace_us: How long after close_time a bar of each stays open, µs.
        width_us: Bar width; bars are aligned to the epoch.
        after: A quote whose raw offset is not above this is a repeat, as in `partials.fold`.
    """
    is_none = quotes.bid.is_null & quotes.ask.is_null
    parts: list[Part] = []
    late: dict[int, Late] = {}
    stream_us = list(known_us)
    for side, prices in zip(
        SIDES, (quotes.bid, quotes.ask, mids(quotes.bid, quotes.ask)), strict=True
    ):
        uses = np.where(prices.is_null, 0, OPEN_CLOSE | HIGH_LOW).astype(np.uint8)
        # What lacks this side counts for nothing, but still moves time.
        ticks = replace(quotes.ticks, price=replace(prices, is_null=is_none))
        folded = partials.fold(ticks, known_us, grace_us, width_us, after, uses)
        parts += [Part(series, side, bar) for series, bar in folded.parts]
        stream_us = folded.stream_us
        for row, at_us in zip(folded.late, folded.late_stream_us, strict=True):
            bar = partials.single(ticks, row, width_us, int(uses[row]))
            late.setdefault(row, Late(row, at_us, {})).bars[side] = bar
    # Revisions follow the log, whichever side a quote has.
    return Folded(parts, [late[row] for row in sorted(late)], stream_us)


def mids(bid: Numbers, ask: Numbers) -> Numbers:
    """Return (bid + ask) / 2, half to even; null where a side is missing or they are crossed."""
    is_null = bid.is_null | ask.is_null | (bid.values > ask.values)
    both, either = bid.values & ask.values, bid.values ^ ask.values
    # The sum itself may not fit 64 bits.
    floor = both + (either >> 1)
    values = floor + (either & floor & 1)
    is_wide = ~(bid.is_null | ask.is_null) & (bid.is_wide | ask.is_wide)
    wide = {}
    for row in np.flatnonzero(is_wide).tolist():
        half, rest = divmod(bid[row] + ask[row], 2)
        wide[row] = half + (rest & half)
        is_null[row] = bid[row] > ask[row]
    return Numbers(values, is_wide, is_null, wide)


def labelled(row: BarRow, side: str) -> BarRow:
    """Return the row of a quote bar, made as of trades, with its own timeframe and count."""
    return row._replace(timeframe=f"{row.timeframe}.{side}", trades=0, quotes=row.trades)


class QuoteSeries:
    """The quote bars of one (venue, symbol): a `Series` for each side, one time for all.

    Args:
        make: Returns a new series.
    """

    def __init__(self, make: Callable[[], Series]) -> None:
        self.sides = {side: make() for side in SIDES}

    @property
    def stream_us(self) -> int:
        """Stream time, µs."""
        return self.sides["bid"].stream_us

    def fold(self, side: str, part: Bar) -> None:
        """Add a partial base bar of quotes that were on time."""
        self.sides[side].fold(part)

    def revise(self, bars: Mapping[str, Bar], stream_us: int) -> bool:
        """Fold one late quote, as `Series.revise` does a trade.

        Returns:
            False when its bars are beyond `revise_for` and were not changed.
        """
        revised = [self.sides[side].revise(bar, stream_us) for side, bar in bars.items()]
        return any(revised)

    def advance(self, stream_us: int, appended_us: int = NEVER) -> None:
        """Move stream time forward, as `Series.advance`."""
        for series in self.sides.values():
            series.advance(stream_us, appended_us)

    def clock(self, now_us: int) -> None:
        """Move stream time on by what the clock did, as `Series.clock`."""
        for series in self.sides.values():
            series.clock(now_us)

    def due_us(self) -> int | None:
        """Return the clock's time at which the next bar would become final; None for never."""
        return min((d for s in self.sides.values() if (d := s.due_us()) is not None), default=None)

    def emissions(self, *, base_only: bool = False) -> list[tuple[str, Emission]]:
        """Return the side and what changed of it since the last call, as `Series.emissions`."""
        return [
            (side, emission)
            for side, series in self.sides.items()
            for emission in series.emissions(base_only=base_only)
        ]

    def save(self) -> Iterator[tuple[str, int, int, Bar | None]]:
        """Yield (side, rung, open_us, bar) of what changed, as `Series.save`."""
        for side, series in self.sides.items():
            for rung, open_us, bar in series.save():
                yield side, rung, open_us, bar

    def restore(self, side: str, rung: int, bar: Bar) -> None:
        """Put back a bar that a checkpoint saved."""
        self.sides[side].restore(rung, bar)

    def state(self) -> dict[str, tuple[Any, ...]]:
        """Return all that is not in the bars, as JSON takes it."""
        return {side: series.state() for side, series in self.sides.items()}

    def restore_state(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Put back what `state` returned, be it through JSON."""
        for side, series in self.sides.items():
            series.restore_state(state[side])
