"""Quote bars of the series in one partition whose rules ask for them (S16).

Held by `app.domain.builder.BarBuilder`, whose blocks, clock, fences and checkpoints are also
theirs: quotes see the clock at the same places as trades. All three sides are kept of such a
series and those asked for are emitted, so that a side that is asked for later has its past.

A late quote revises its bars and is counted in their `late`. ticks.late.v1 does not tell of it,
as that is a record of trades; one beyond `revise_for` changes nothing, and stays in ticks.v1 alone.
Corrections and cancels are of trades, and are passed over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple

import numpy as np

from app.domain import quote_bars
from app.domain.bars import Bar, BarRow, bar_row
from app.domain.plan import Plans
from app.domain.quote_bars import Quotes, QuoteSeries
from app.domain.series import Series
from app.domain.shelf import NEVER
from app.domain.trades import ABSENT, Name

ROW = "|quotes"
"""How the key of a saved row ends, behind symbol@venue."""


class QuoteBars:
    """Quote bars of the series in one partition of ticks.v1.

    Args:
        plans: What each series follows.
        partition: The partition, written into each bar's lineage.
    """

    def __init__(self, plans: Plans, partition: int) -> None:
        self.plans = plans
        self.partition = partition
        self._width_us = plans.base.timeframe.width_us
        self._series: dict[Name, QuoteSeries] = {}
        self._touched: set[Name] = set()
        self._waiting: set[Name] = set()
        self._unsaved: set[Name] = set()

    def fold(self, quotes: Quotes, after: int = ABSENT) -> None:
        """Fold the quotes of a block; those of series that ask for no bars are passed over.

        Args:
            quotes: n quotes in offset order.
            after: Highest raw offset before the block; see `partials.fold`.
        """
        quotes = quotes._replace(ticks=self.plans.clocked(quotes.ticks))
        self._fold(quotes, after)
        for joined, rows in self.plans.joined(quotes.ticks):
            self._fold(quotes.take(rows)._replace(ticks=joined), after)

    def is_due(self, now_us: int) -> bool:
        """Return whether the clock's time would make a bar final."""
        dues = (series.due_us() for series in self._series.values())
        return any(due is not None and due <= now_us for due in dues)

    def clock(self, now_us: int) -> None:
        """Take a recorded tick of the clock, µs: what is due by it is final (S7)."""
        for name, series in self._series.items():
            due = series.due_us()
            if due is not None and due <= now_us:
                self._changing(name).clock(now_us)

    def emit(self, *, base_only: bool = False) -> list[BarRow]:
        """Return every bar that changed since the last call, as `BarBuilder.emit`."""
        names = self._touched if base_only else self._touched | self._waiting
        self._waiting = self._waiting | self._touched if base_only else set()
        out = []
        for name in sorted(names):
            plan = self.plans.of(name)
            venue, symbol = name
            for side, each in self._series[name].emissions(base_only=base_only):
                if side not in plan.rules.quotes:
                    continue
                frame = plan.ladder.rungs[each.rung].timeframe
                made = bar_row(
                    each.bar, symbol, venue, frame.name, frame.width_us,
                    partition=self.partition, partial=each.partial,
                    close_us=each.close_us, complete=each.complete,
                )  # fmt: skip
                out.append(quote_bars.labelled(made, side))
        self._touched = set()
        return out

    def save(self) -> Iterator[tuple[str, str | None]]:
        """Yield (key, JSON value or None to forget it) of all changed since the last call."""
        for venue, symbol in sorted(self._unsaved):
            series = self._series[venue, symbol]
            name = f"{symbol}@{venue}"
            for side, rung, open_us, bar in series.save():
                key = f"{name}|{self.plans.timeframes[rung]}|{side}|{open_us}{ROW}"
                yield key, None if bar is None else json.dumps(astuple(bar))
            yield f"{name}{ROW}", json.dumps(series.state())
        self._unsaved.clear()

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded, with the timeframes that it was saved with."""
        for key, value in rows:
            name, _, rest = key.removesuffix(ROW).partition("|")
            symbol, _, venue = name.rpartition("@")
            series = self._changing((venue, symbol))
            if not rest:
                series.restore_state(json.loads(value))
                continue
            timeframe, side, _ = rest.split("|")
            open_us, opened, closed, *others = json.loads(value)
            first, last = (rank and tuple(rank) for rank in (opened, closed))
            bar = Bar(open_us, first, last, *others)
            series.restore(side, self.plans.timeframes.index(timeframe), bar)

    def _fold(self, quotes: Quotes, after: int) -> None:
        """Fold the quotes of the series that ask for bars."""
        names = quotes.ticks.names
        plans = [self.plans.of(name) for name in names]
        is_wanted = np.array([bool(plan.rules.quotes) for plan in plans], np.bool_)
        rows = np.flatnonzero(is_wanted[quotes.ticks.series])
        if not len(rows):
            return
        quotes = quotes.take(rows)
        known = [self._stream_us(name) for name in names]
        graces = [plan.ladder.base.grace_us for plan in plans]
        folded = quote_bars.fold(quotes, known, graces, self._width_us, after)
        for part in folded.parts:
            self._changing(names[part.series]).fold(part.side, part.bar)
        for late in folded.late:
            name = names[quotes.ticks.series[late.row]]
            self._changing(name).revise(late.bars, late.stream_us)
        for code, appended_us in _last_appended(quotes).items():
            self._changing(names[code]).advance(folded.stream_us[code], appended_us)

    def _changing(self, name: Name) -> QuoteSeries:
        """Return the bars of a series, which are about to change."""
        self._touched.add(name)
        self._unsaved.add(name)
        found = self._series.get(name)
        if found is None:
            plan = self.plans.of(name)
            found = QuoteSeries(lambda: Series(plan.ladder, plan.empties))
            self._series[name] = found
        return found

    def _stream_us(self, name: Name) -> int:
        series = self._series.get(name)
        return NEVER if series is None else series.stream_us


def _last_appended(quotes: Quotes) -> Mapping[int, int]:
    """Return when the last quote of each series that has any was appended, µs, by its code."""
    ticks = quotes.ticks
    return dict(zip(ticks.series.tolist(), ticks.appended_us.tolist(), strict=True))
