"""Corrections and cancels applied to the bars of one partition (S10).

Exactly the bars that hold the trade change, of every timeframe. A base bar that is kept is
computed anew from its own part of the log; one that is not, together with all that its longest
bar is made of, and goes on with the revisions that were published last.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Protocol

from app.domain.amendments import Amendment, Original, find, last_of_each, own, recomputed
from app.domain.bars import Bar, empty, roll_up
from app.domain.builder import BarBuilder
from app.domain.series import Series
from app.domain.timeframes import Place
from app.domain.trades import Name, Trades


class Published(NamedTuple):
    """What stands of a bar in bars.v1: its newest revision, and its trades that came late."""

    revision: int
    late: int


class Log(Protocol):
    """What was written of one partition."""

    def ticks(self, start: int, stop: int) -> Iterator[Trades]:
        """Yield the ticks of [start, stop) of ticks.v1, in blocks, in order."""

    def first(self) -> int:
        """Return the first offset of ticks.v1 that is still there."""

    def since(self, append_us: int) -> int:
        """Return the first offset of ticks.v1 appended at or after a time."""

    def published(
        self, name: Name, opens: Mapping[str, Collection[int]]
    ) -> dict[tuple[str, int], Published]:
        """Return what stands of some bars, by timeframe and open time, µs."""


class Amender:
    """Applies amendments; reads the log, so call it beside the loop.

    Args:
        builder: The bars.
        log: The log they are made of.
        correct_for_us: How far back a trade is looked for.
    """

    def __init__(self, builder: BarBuilder, log: Log, correct_for_us: int) -> None:
        self._builder = builder
        self._plans = builder.plans
        self._log = log
        self._correct_for_us = correct_for_us

    def amend(self, name: Name, change: Amendment, at_us: int, appended_us: int) -> bool:
        """Apply one correction or cancel; one whose trade has not come is kept until it does.

        Args:
            name: The series it was told of.
            change: What changes.
            at_us: The time it carries, perhaps its trade's.
            appended_us: When Kafka appended it.

        Returns:
            False when the log no longer holds what its bars were made of: nothing has changed.
        """
        original = self._original(name, change, at_us, appended_us)
        if original is None:
            self._builder.listing(name).keep_early(change)
            return True
        series = [name, *self._plans.composites(name)]
        done = [self._rework(each, change, original, appended_us) for each in series]
        return all(done)

    def _original(
        self, name: Name, change: Amendment, at_us: int, appended_us: int
    ) -> Original | None:
        near = self._builder.listing(name).series.kept(0, self._open_of(at_us))
        if near is not None and near.trades:
            span = near.first_offset, near.last_offset + 1
            if found := find(self._ticks(*span), name, change.trade_id):
                return found
        start = self._log.since(appended_us - self._correct_for_us)
        return find(self._ticks(start, change.offset), name, change.trade_id)

    def _rework(self, name: Name, change: Amendment, original: Original, appended_us: int) -> bool:
        series = self._builder.listing(name).series
        open_us = self._open_of(original.at_us)
        known = series.kept(0, open_us)
        if known is not None and series.holds(open_us):
            start = original.offset if known.trades == 0 else known.first_offset
            bars = self._recomputed(name, min(start, original.offset), change.offset)
        else:
            places = series.ladder.places(open_us)
            longest = max(places, key=lambda place: place.close_us - place.open_us)
            reach_us = self._correct_for_us + longest.close_us - longest.open_us
            start = self._log.since(appended_us - reach_us)
            if 0 < self._log.first() >= start:
                return False
            bars = self._recomputed(name, start, change.offset)
            self._revive(name, series, bars, longest, open_us)
        series.replace(open_us, bars.get(open_us), change.reason, offset=change.offset)
        return True

    def _recomputed(self, name: Name, start: int, stop: int) -> dict[int, Bar]:
        members = self._plans.members(name)
        blocks = own(self._ticks(start, stop + 1), members)
        told = last_of_each(blocks)
        by_name = {
            member: self._builder.listing(member).early | told.get(member, {}) for member in members
        }
        ladder = self._plans.of(name).ladder
        width_us = ladder.base.timeframe.width_us
        return recomputed(blocks, by_name, width_us, ladder.revise_for_us, self._plans.uses)

    def _revive(
        self, name: Name, series: Series, bars: Mapping[int, Bar], longest: Place, open_us: int
    ) -> None:
        """Put back what the longest bar is made of, as far as it is kept no more."""
        rungs = series.ladder.rungs
        span = range(longest.open_us, longest.close_us)
        tree: list[dict[int, Bar]] = [{at: bar for at, bar in bars.items() if at in span}]
        tree[0].setdefault(open_us, empty(open_us))
        for rung in rungs[1:]:
            children: dict[int, list[Bar]] = {}
            for bar in tree[rung.child].values():
                place = rung.span(bar.open_us)
                if place is not None and place.open_us in span:
                    children.setdefault(place.open_us, []).append(bar)
            tree.append({at: roll_up(at, parts) for at, parts in children.items()})
        opens = {rung.timeframe.name: held.keys() for rung, held in zip(rungs, tree, strict=True)}
        stands = self._log.published(name, opens)
        for n, held in enumerate(tree):
            for at, bar in held.items():
                if series.kept(n, at) is None:
                    frame = rungs[n].timeframe.name
                    bar.revision, bar.late = stands.get((frame, at), Published(1, 0))
                    bar.reason = "final"
                    series.restore(n, bar)

    def _ticks(self, start: int, stop: int) -> Iterator[Trades]:
        return map(self._plans.clocked, self._log.ticks(start, stop))

    def _open_of(self, at_us: int) -> int:
        return self._plans.base.timeframe.open_of(at_us)
