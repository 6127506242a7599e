"""The bars of one (venue, symbol): finality, lateness, revisions and roll-up.

Time is the stream time of the series: the latest event time it has seen, so one fast symbol never
makes another late and a replay closes the same bars at the same places. While nothing comes the
recorded clock moves it on, by as much as went by since the last tick was appended. Lateness is
judged against it wherever it came from, and it never goes back.

Provisional values are rolled up when asked for; final ones when stream time passes close_time +
grace; each late trade, correction and change of completeness is one revision of every bar that it
touches and was final. Which revisions exist depends on the order of the log alone, not on how it
was cut into blocks.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from app.domain.bars import NO_OFFSET, Bar, empty
from app.domain.empties import Empties, Filler
from app.domain.holes import Hole, Holes
from app.domain.rollup import Rollup
from app.domain.shelf import NEVER
from app.domain.timeframes import Ladder, Place

__all__ = ["NEVER", "Emission", "Series"]


class Emission(NamedTuple):
    """One bar as it stood when it was emitted.

    Attributes:
        rung: Index of its timeframe in the ladder.
        bar: A copy, never changed again.
        partial: True when the series began inside it.
        close_us: Close time, µs.
        complete: False while a hole touches it.
    """

    rung: int
    bar: Bar
    partial: bool
    close_us: int
    complete: bool


class Series:
    """The open and still revisable bars of one (venue, symbol).

    Args:
        ladder: Timeframes and sessions.
        empties: What is made of intervals without a trade.

    Attributes:
        stream_us: Stream time, µs.
        first_us: Open time of the earliest base bar made on time: bars that hold it are partial.
        appended_us: When Kafka appended the last tick, or the clock if that was later; µs.
    """

    __slots__ = (
        "_bars", "_filler", "_holes", "_out",
        "appended_us", "first_us", "ladder", "stream_us",
    )  # fmt: skip

    def __init__(self, ladder: Ladder, empties: Empties = Empties.OMIT) -> None:
        self.ladder = ladder
        self.stream_us = NEVER
        self.first_us = -NEVER
        self.appended_us = NEVER
        self._bars = Rollup(ladder)
        self._filler = Filler(self._bars, empties)
        self._holes = Holes(self._bars)
        self._out: list[Emission] = []

    def fold(self, part: Bar) -> None:
        """Add a partial base bar of trades that were on time.

        One without trades counts repeats: into the bar there is, to be told with its next value.
        """
        open_us = part.open_us
        bar = self._bars.shelves[0].bars.get(open_us)
        if bar is not None:
            bar.add(part)
        elif part.trades:
            self._bars.put(0, part)
            if open_us < self.first_us:
                self._begin(part)
        else:
            return
        self._bars.grow(open_us)

    def _begin(self, part: Bar) -> None:
        """Let the series begin with a bar, and no longer with another that came before it."""
        other = self._bars.shelves[0].bars.get(self.first_us)
        if other is not None:
            other.noted_offset = max(other.noted_offset, part.first_offset)
            self._bars.grow(self.first_us)
        self.first_us = part.open_us

    def advance(self, stream_us: int, appended_us: int = NEVER) -> None:
        """Move stream time forward and make final what it closes, base first.

        Args:
            stream_us: Latest event time, µs.
            appended_us: When Kafka appended the series' last tick, µs.
        """
        self.appended_us = max(self.appended_us, appended_us)
        self.stream_us = max(self.stream_us, stream_us)
        if self.stream_us >= self._bars.due_us:
            self._settle()

    def clock(self, now_us: int) -> None:
        """Move stream time on by what the clock did since the last tick; never back."""
        if self.appended_us != NEVER:
            self.advance(self.stream_us + now_us - self.appended_us, now_us)

    def due_us(self) -> int | None:
        """Return the clock's time at which the next bar would become final; None for never."""
        if self.appended_us == NEVER or self._bars.due_us == -NEVER:
            return None
        return self.appended_us + self._bars.due_us - self.stream_us

    def revise(
        self, part: Bar, stream_us: int, reason: str = "late", repairs: Iterable[Hole] = ()
    ) -> bool:
        """Fold one late trade into its final base bar and into every bar above it.

        Args:
            part: The partial bar of the one trade.
            stream_us: Stream time before the trade came; bars due by then are final first.
            reason: Why the bars change.
            repairs: Holes in which this was the last missing trade.

        Returns:
            False when the bar is beyond `revise_for` and was not changed.
        """
        self.advance(stream_us)
        mended = self._holes.mend(repairs)
        is_held = self.holds(part.open_us)
        if is_held:
            part.late = 1
            base = self._bars.shelves[0]
            bar = base.bars.get(part.open_us)
            if bar is None:
                # Its interval was over without it, whether or not that made an empty bar.
                part.revision = 1
                base.put(part)
                self._follow(0, part.open_us)
            else:
                bar.add(part)
            self._rework(part.open_us, reason)
            revised = self.ladder.places(part.open_us)
            mended = [place for place in mended if place not in revised]
        self._complete(mended, "gap_repair", self.stream_us, part.last_offset)
        self.advance(stream_us)
        return is_held

    def kept(self, rung: int, open_us: int) -> Bar | None:
        """Return a bar as it stands, if it is kept."""
        self._bars.spread()
        is_there = self._bars.shelves[rung].has(open_us)
        return self._bars.current(rung, open_us) if is_there else None

    def holds(self, open_us: int) -> bool:
        """Return whether a base bar, those above and all they are made of are kept for sure."""
        close_us = open_us + self.ladder.base.timeframe.width_us
        return close_us + self.ladder.revise_for_us >= self.stream_us

    def replace(
        self,
        open_us: int,
        bar: Bar | None,
        reason: str,
        *,
        stream_us: int = NEVER,
        offset: int = NO_OFFSET,
    ) -> bool:
        """Put a recomputed base bar in place of the one there is.

        One that `holds` denies must be restored before, with those above it and all that these
        are made of.

        Args:
            open_us: Which.
            bar: All its trades that were folded so far; None for none.
            reason: Why it changes.
            stream_us: Stream time before the record that asks for it came.
            offset: Of that record, which makes a provisional bar newer.

        Returns:
            False when there is no such bar.
        """
        self.advance(stream_us)
        known = self._bars.shelves[0].bars.get(open_us)
        if known is None:
            return False
        bar = empty(open_us) if bar is None or not bar.trades else bar.copy()
        bar.revision, bar.reason = known.revision, known.reason
        bar.late, bar.duplicates = known.late, known.duplicates
        bar.noted_offset = max(known.noted_offset, offset)
        self._bars.put(0, bar)
        self._rework(open_us, reason)
        return True

    def gap_opened(
        self, from_us: int, to_us: int, *, stream_us: int = NEVER, offset: int = NO_OFFSET
    ) -> None:
        """Take note that trades are missing.

        Open bars are incomplete at once, final ones from when the hole counts: they are revised.

        Args:
            from_us: Event time of the trade before the hole.
            to_us: Event time of the one after it.
            stream_us: Stream time before the record that tells of it came.
            offset: Of that record, which makes a provisional bar newer.
        """
        self.advance(stream_us)
        counts_from_us = max(self.ladder.base_due_us(to_us), self.stream_us)
        told = self._holes.find((from_us, to_us), counts_from_us)
        self._complete(told, "gap", self.stream_us, offset)
        self._bars.due_us = min(self._bars.due_us, counts_from_us)
        if counts_from_us <= self.stream_us:
            self._settle()

    def gap_closed(
        self, from_us: int, to_us: int, *, stream_us: int = NEVER, offset: int = NO_OFFSET
    ) -> None:
        """Mark the bars complete that no hole touches any more; final ones are revised."""
        self.advance(stream_us)
        mended = self._holes.mend([(from_us, to_us)])
        self._complete(mended, "gap_repair", self.stream_us, offset)

    def emissions(self, *, base_only: bool = False) -> list[Emission]:
        """Return what changed since the last call.

        Finals and revisions come in order, then the newest provisional values; of the base bars
        alone if so asked, those of longer ones wait.
        """
        if not base_only:
            self._bars.spread()
        for n, shelf in enumerate(self._bars.shelves[:1] if base_only else self._bars.shelves):
            for open_us in sorted(shelf.fresh):
                self._emit(n, self._bars.current(n, open_us))
            shelf.fresh.clear()
        out, self._out = self._out, []
        return out

    def save(self) -> Iterator[tuple[int, int, Bar | None]]:
        """Yield (rung, open_us, bar) of each bar changed since the last call; None forgets it."""
        return self._bars.save(self.stream_us)

    def restore(self, rung: int, bar: Bar) -> None:
        """Put back a bar that a checkpoint saved, or that was kept no more."""
        self._bars.put(rung, bar)

    def state(self) -> tuple[Any, ...]:
        """Return all that is not in the bars, as JSON takes it."""
        carried = [shelf.carried for shelf in self._bars.shelves]
        times = self.stream_us, self.first_us, self.appended_us
        return (*times, self._holes.state(), self._filler.state(), carried)

    def restore_state(self, state: Sequence[Any]) -> None:
        """Put back what `state` returned, be it through JSON."""
        self.stream_us, self.first_us, self.appended_us, holes, fronts, carried = state
        self._holes.restore(holes)
        self._filler.restore(fronts)
        for shelf, last in zip(self._bars.shelves, carried, strict=True):
            shelf.carried = None if last is None else (last[0], last[1])
        dues = self._filler.next_due_us(), self._holes.next_due_us()
        self._bars.due_us = min(self._bars.due_us, *dues)

    def _settle(self) -> None:
        """Do what is due, in the order of time, however far that has moved on at once."""
        while (counts_from_us := self._holes.next_due_us()) <= self.stream_us:
            self._finish(counts_from_us - 1)
            told = self._holes.count(counts_from_us)
            self._complete(told, "gap", counts_from_us, NO_OFFSET)
        self._finish(self.stream_us)
        dues = self._bars.next_due_us(), self._filler.next_due_us(), self._holes.next_due_us()
        self._bars.due_us = min(dues)

    def _finish(self, stream_us: int) -> None:
        """Make final what is due by a time, base first: a roll-up is made of finals."""
        self._bars.spread()
        for n in range(len(self.ladder.rungs)):
            for open_us in self._bars.due(n, stream_us):
                self._fill(n, stream_us, open_us)
                self._final(n, self._filler.price(n, self._bars.current(n, open_us)))
                self._follow(n, open_us)
            self._fill(n, stream_us, -NEVER)

    def _follow(self, n: int, open_us: int) -> None:
        """Look for empty intervals behind a bar; none come before the series began."""
        close_us = self.ladder.rungs[n].close_of(open_us)
        if close_us > self.first_us:
            self._filler.reach(n, close_us)
            self._bars.due_us = min(self._bars.due_us, self._filler.next_due_us())

    def _fill(self, n: int, stream_us: int, before_us: int) -> None:
        for bar in self._filler.fill(n, stream_us, before_us):
            self._final(n, bar)

    def _rework(self, open_us: int, reason: str) -> None:
        """Emit what follows from another value of a base bar, that bar first."""
        self._bars.spread()
        for place in self.ladder.places(open_us):
            n, at_us, _ = place
            if n:
                self._bars.outdate(place)
            self._changed(n, self._filler.price(n, self._bars.current(n, at_us)), reason)
            for bar in self._filler.carried(n, at_us):
                self._changed(n, bar, reason)

    def _changed(self, n: int, bar: Bar, reason: str, offset: int = NO_OFFSET) -> None:
        """Emit a bar that a record at `offset` changed: now if final, else with the next values."""
        if bar.revision:
            self._bars.shelves[n].settle(bar, bar.revision + 1, reason)
            self._emit(n, bar)
        else:
            bar.noted_offset = max(bar.noted_offset, offset)
            self._bars.shelves[n].change(bar.open_us)
            for place in self.ladder.places(bar.open_us):
                if place.rung > n:
                    self._bars.outdate(place)

    def _complete(self, places: Iterable[Place], reason: str, stream_us: int, offset: int) -> None:
        """Emit bars whose completeness changed at a stream time."""
        for n, open_us, close_us in places:
            bar = self._bars.current(n, open_us)
            if bar.revision == 0 or close_us + self.ladder.revise_for_us >= stream_us:
                self._changed(n, bar, reason, offset)

    def _final(self, n: int, bar: Bar) -> None:
        self._bars.shelves[n].settle(bar, 1, "final")
        self._emit(n, bar)

    def _emit(self, n: int, bar: Bar) -> None:
        open_us, close_us = bar.open_us, self.ladder.rungs[n].close_of(bar.open_us)
        is_complete = not self._holes.touch(open_us, close_us, is_open=bar.revision == 0)
        is_partial = open_us <= self.first_us
        self._out.append(Emission(n, bar.copy(), is_partial, close_us, is_complete))
