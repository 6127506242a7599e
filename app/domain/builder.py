"""Bars of every series of one partition: the pure core of the bars agent.

`fold` takes one block, `clock` a tick of the clock, `emit` gives what changed, `save` and
`restore` carry the state across a crash. A checkpoint is atomic (`app.engine.checkpoint`), so one
offset fences the whole partition: a record at or below `offset` is already in every bar and is
not folded again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from typing import NamedTuple

import numpy as np

from app.domain import activity, quote_builder
from app.domain.activity import ActivityBars
from app.domain.amendments import Amendment, amended, amendment
from app.domain.bars import Bar, BarRow, bar_row, decimal, instant
from app.domain.ids import UNKNOWN, Step, runs
from app.domain.listing import Listing
from app.domain.partials import Folded, Uses, fold, single
from app.domain.plan import Plans
from app.domain.quote_bars import Quotes
from app.domain.quote_builder import QuoteBars
from app.domain.shelf import NEVER
from app.domain.trades import ABSENT, Name, Trades
from app.errors import ConfigError

Record = dict[str, object]
STATE_VERSION = 3


class Late(NamedTuple):
    """A trade that came after its base bar was final: its offset, and it as late_tick.avsc."""

    offset: int
    record: Record


class BarBuilder:
    """Bars of the series in one partition of ticks.v1.

    Args:
        plans: What each series follows.
        partition: The partition, written into each bar's lineage.

    Attributes:
        offset: Highest offset of ticks.v1 applied; set by the engine after each block.
        raw_offset: Highest offset of ticks.raw.v1 among the ticks applied.
        clock_us: Time of the last clock tick, µs.
    """

    def __init__(self, plans: Plans, partition: int) -> None:
        self.plans = plans
        self.partition = partition
        self.offset = -1
        self.raw_offset = -1
        self.clock_us = NEVER
        self._width_us = plans.base.timeframe.width_us
        self._listings: dict[Name, Listing] = {}
        self._activity = ActivityBars(lambda name: plans.of(name).specs, partition)
        self._quotes = QuoteBars(plans, partition)
        self._touched: set[Name] = set()
        self._waiting: set[Name] = set()
        self._unsaved: set[Name] = set()

    def fold(self, trades: Trades, quotes: Quotes | None = None) -> list[Late]:
        """Fold one block of accepted ticks; corrections and cancels among them are passed over.

        Args:
            trades: All ticks of the block.
            quotes: The quotes among them; may be left out where nobody asks for their bars.

        Returns:
            Trades that came after their base bar was final, in order.
        """
        if not len(trades):
            return []
        if quotes is not None:
            self._quotes.fold(quotes, self.raw_offset)
        trades = self.plans.clocked(trades)
        trades, uses = self._with_early(trades, self.plans.uses(trades))
        steps = self._steps(trades)
        late = self._fold(trades, uses, steps)
        for joined, rows in self.plans.joined(trades):
            theirs = {n: steps[row] for n, row in enumerate(rows.tolist()) if row in steps}
            late += self._fold(joined, uses[rows], theirs)
        self.raw_offset = max(self.raw_offset, trades.last_raw_offset)
        return sorted(late, key=lambda each: each.offset)

    def take(self, trades: Trades, row: int) -> tuple[Name, Amendment] | None:
        """Return the correction or cancel in a row and whose it is; None for a zombie's repeat."""
        raw = int(trades.raw_offset[row])
        if raw != ABSENT:
            if raw <= self.raw_offset:
                return None
            self.raw_offset = raw
        return trades.names[trades.series[row]], amendment(trades, row)

    def listing(self, name: Name) -> Listing:
        """Return what is kept of a series, to be changed."""
        self._touched.add(name)
        self._unsaved.add(name)
        found = self._listings.get(name)
        if found is None:
            found = self._listings[name] = Listing.of(self.plans.of(name))
        return found

    def is_due(self, now_us: int) -> bool:
        """Return whether the clock's time would make a bar final."""
        dues = (listing.series.due_us() for listing in self._listings.values())
        is_due = any(due is not None and due <= now_us for due in dues)
        return is_due or self._quotes.is_due(now_us)

    def clock(self, now_us: int) -> None:
        """Take a recorded tick of the clock, µs: what is due by it is final (S7)."""
        self.clock_us = max(self.clock_us, now_us)
        for name, listing in self._listings.items():
            due = listing.series.due_us()
            if due is not None and due <= now_us:
                self.listing(name).series.clock(now_us)
        self._quotes.clock(now_us)

    def emit(self, *, base_only: bool = False) -> list[BarRow]:
        """Return every bar that changed since the last call, as bar.avsc has it.

        With `base_only` provisional values of longer bars wait; finals and revisions never do.
        """
        names = self._touched if base_only else self._touched | self._waiting
        self._waiting = self._waiting | self._touched if base_only else set()
        out = []
        for name in sorted(names):
            listing = self._listings[name]
            venue, symbol = name
            for each in listing.series.emissions(base_only=base_only):
                frame = listing.plan.ladder.rungs[each.rung].timeframe
                out.append(
                    bar_row(
                        each.bar, symbol, venue, frame.name, frame.width_us,
                        partition=self.partition, partial=each.partial,
                        close_us=each.close_us, complete=each.complete,
                    )
                )  # fmt: skip
        self._touched = set()
        out += self._quotes.emit(base_only=base_only)
        return out + self._activity.emit(finals_only=base_only)

    def save(self) -> Iterator[tuple[str, str | None]]:
        """Yield (key, JSON value or None to forget it) of all changed since the last call."""
        for venue, symbol in sorted(self._unsaved):
            listing = self._listings[venue, symbol]
            name = f"{symbol}@{venue}"
            for rung, open_us, bar in listing.series.save():
                key = f"{name}|{listing.plan.ladder.rungs[rung].timeframe.name}|{open_us}"
                yield key, None if bar is None else json.dumps(astuple(bar))
            yield f"{name}|", json.dumps(listing.state())
        self._unsaved.clear()
        yield from self._quotes.save()
        yield from self._activity.save()
        fences = STATE_VERSION, self.offset, self.raw_offset, self.clock_us
        yield "", json.dumps([*fences, self.plans.timeframes])

    def restore(self, rows: Iterable[tuple[str, str]]) -> None:
        """Put back what `save` yielded.

        Raises:
            ConfigError: It was saved with other timeframes: its bars lack the children of the new.
        """
        rungs = {name: n for n, name in enumerate(self.plans.timeframes)}
        # The fence first: it says for which timeframes the others are.
        for key, value in sorted(rows):
            if key.endswith(activity.ROW):
                self._activity.restore([(key, value)])
                continue
            if key.endswith(quote_builder.ROW):
                self._quotes.restore([(key, value)])
                continue
            fields = json.loads(value)
            if not key:
                self._restore_fences(fields)
                continue
            name, _, rest = key.partition("|")
            symbol, _, venue = name.rpartition("@")
            listing = self.listing((venue, symbol))
            if not rest:
                listing.restore_state(fields)
                continue
            open_us, opened, closed, *others = fields
            first, last = (rank and tuple(rank) for rank in (opened, closed))
            bar = Bar(open_us, first, last, *others)
            listing.series.restore(rungs[rest.partition("|")[0]], bar)

    def _restore_fences(self, fields: Sequence[object]) -> None:
        version, *_, names = fields
        if version != STATE_VERSION:
            raise ConfigError(
                f"saved bars must be of version {STATE_VERSION}, were of {version}; "
                "a new TAPELINE_GROUP builds all bars anew"
            )
        if names != list(self.plans.timeframes):
            raise ConfigError(
                f"BARS_TIMEFRAMES must be {','.join(map(str, names))} as in the saved state, "  # type: ignore[call-overload]
                f"was {','.join(self.plans.timeframes)}; a new TAPELINE_GROUP builds all bars anew"
            )
        _, self.offset, self.raw_offset, self.clock_us, _ = fields  # type: ignore[assignment]

    def _fold(self, trades: Trades, uses: Uses, steps: Mapping[int, Step]) -> list[Late]:
        plans = [self.plans.of(name) for name in trades.names]
        known = [self._stream_us(name) for name in trades.names]
        graces = [plan.ladder.base.grace_us for plan in plans]
        folded = fold(trades, known, graces, self._width_us, self.raw_offset, uses)
        for part in folded.parts:
            self.listing(trades.names[part.series]).series.fold(part.bar)
        streams = dict(zip(folded.late, folded.late_stream_us, strict=True))
        late = []
        for row in sorted({*streams, *steps}):
            step = steps.get(row, Step())
            # What is left of a hole is dug before the whole is filled, or its bars would be told
            # complete between the two.
            self._note(trades, row, int(folded.before_us[row]), step, is_late=row in streams)
            if row in streams:
                late.append(self._revise(trades, row, streams[row], int(uses[row]), step))
        self._advance(trades, folded)
        if any(plan.specs for plan in plans):
            self._activity.fold(trades, self.raw_offset, uses)
        return late

    def _advance(self, trades: Trades, folded: Folded) -> None:
        """Move time on in each series that has a trade here; quotes and repeats do not count."""
        rows = np.flatnonzero(folded.before_us)
        last_row = np.full(len(trades.names), -1, np.int64)
        last_row[trades.series[rows]] = rows
        for code in np.flatnonzero(last_row >= 0).tolist():
            appended_us = int(trades.appended_us[last_row[code]])
            series = self.listing(trades.names[code]).series
            series.advance(folded.stream_us[code], appended_us)

    def _stream_us(self, name: Name) -> int:
        listing = self._listings.get(name)
        return NEVER if listing is None else listing.series.stream_us

    def _with_early(self, trades: Trades, uses: Uses) -> tuple[Trades, Uses]:
        """Apply the amendments that came before their trades."""
        for code, name in enumerate(trades.names):
            listing = self._listings.get(name)
            if listing is not None and listing.early:
                trades, uses = amended(trades, uses, listing.early, code)
        return trades, uses

    def _steps(self, trades: Trades) -> dict[int, Step]:
        """Follow the trade ids of venues without holes; return what odd ones said, by row."""
        plans = [self.plans.of(name) for name in trades.names]
        if not any(plan.rules.contiguous for plan in plans):
            return {}
        expected = [
            self._next_id(name) if plan.rules.contiguous else None
            for name, plan in zip(trades.names, plans, strict=True)
        ]
        found = runs(trades, expected)
        steps = {}
        for row, next_id, last_row, trade_id in zip(
            found.odd, found.next_id, found.last_row, found.ids, strict=True
        ):
            ids = self.listing(trades.names[trades.series[row]]).ids
            assert ids is not None  # noqa: S101 - its rules are of a numbered venue
            if last_row >= 0:
                ids.reach(next_id, int(trades.at_us[last_row]))
            step = ids.step(trade_id, int(trades.at_us[row]))
            if step != Step():
                steps[row] = step
        for name, next_id, row in zip(trades.names, found.expected, found.newest_row, strict=True):
            if row >= 0:
                ids = self.listing(name).ids
                assert ids is not None  # noqa: S101
                ids.reach(next_id, int(trades.at_us[row]))
        return steps

    def _next_id(self, name: Name) -> int:
        listing = self._listings.get(name)
        return UNKNOWN if listing is None or listing.ids is None else listing.ids.next_id

    def _note(self, trades: Trades, row: int, stream_us: int, step: Step, *, is_late: bool) -> None:
        series = self.listing(trades.names[trades.series[row]]).series
        offset = int(trades.offset[row])
        for hole in step.opened:
            series.gap_opened(*hole, stream_us=stream_us, offset=offset)
        if step.closed is not None and not is_late:
            series.gap_closed(*step.closed, stream_us=stream_us, offset=offset)

    def _revise(self, trades: Trades, row: int, stream_us: int, uses: int, step: Step) -> Late:
        venue, symbol = name = trades.names[trades.series[row]]
        part = single(trades, row, self._width_us, uses)
        revised = self.listing(name).series.revise(
            part,
            stream_us,
            "gap_repair" if step.is_repair else "late",
            [] if step.closed is None else [step.closed],
        )
        sequence = int(trades.sequence[row])
        return Late(
            part.last_offset,
            {
                "symbol": symbol,
                "venue": venue,
                "event_time": instant(int(trades.at_us[row])),
                "sequence": None if sequence == ABSENT else sequence,
                "trade_id": trades.trade_id(row),
                "price": decimal(trades.price[row]),
                "size": decimal(trades.size[row]),
                "open_time": instant(part.open_us),
                "stream_time": instant(stream_us),
                "revised": revised,
                "source_partition": self.partition,
                "tick_offset": part.last_offset,
            },
        )
