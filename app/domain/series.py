"""The bars of one (venue, symbol): finality, lateness, revisions and roll-up.

Time is the stream time of the series, the latest event time it has seen, so one fast symbol
never makes another late and a replay closes the same bars at the same places. Provisional
values are rolled up when asked for; final ones when stream time passes close_time + grace;
each late trade is one revision of every bar that holds it and was final. Which revisions exist
depends on the order of the log alone, not on how it was cut into blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.domain.bars import Bar, roll_up
from app.domain.timeframes import Ladder

NEVER = -(2**62)
"""Stream time of a series that has seen nothing, µs."""


@dataclass(frozen=True, slots=True)
class Emission:
    """One bar as it stood when it was emitted.

    Attributes:
        rung: Index of its timeframe in the ladder.
        bar: A copy, never changed again.
        partial: True when the series began inside it.
    """

    rung: int
    bar: Bar
    partial: bool


@dataclass(slots=True)
class Series:
    """The open and still revisable bars of one (venue, symbol), per rung of the ladder.

    Attributes:
        stream_us: Latest event time seen, µs.
        first_us: Open time of the earliest base bar made on time: bars that hold it are partial.
    """

    ladder: Ladder
    stream_us: int = NEVER
    first_us: int = -NEVER
    bars: list[dict[int, Bar]] = field(default_factory=list)
    _fresh: list[set[int]] = field(default_factory=list)
    _stale: list[set[int]] = field(default_factory=list)
    _open: list[set[int]] = field(default_factory=list)
    _unsaved: list[set[int]] = field(default_factory=list)
    _oldest: list[int] = field(default_factory=list)
    _out: list[Emission] = field(default_factory=list)

    def __post_init__(self) -> None:
        rungs = range(len(self.ladder.rungs))
        self.bars = [{} for _ in rungs]
        self._fresh = [set() for _ in rungs]
        self._stale = [set() for _ in rungs]
        self._open = [set() for _ in rungs]
        self._unsaved = [set() for _ in rungs]
        self._oldest = [-NEVER for _ in rungs]

    def restore(self, rung: int, bar: Bar) -> None:
        """Put back a bar that a checkpoint saved."""
        self._put(rung, bar)
        if bar.revision == 0:
            self._open[rung].add(bar.open_us)

    def fold(self, part: Bar) -> None:
        """Add a partial base bar of trades that were on time."""
        bar = self.bars[0].get(part.open_us)
        if bar is None:
            self._put(0, part)
        else:
            bar.add(part)
        self.first_us = min(self.first_us, part.open_us)
        self._touch(0, part.open_us)
        self._provisional(0, part.open_us)

    def advance(self, stream_us: int) -> None:
        """Move stream time forward and make final what it closes, base first."""
        self.stream_us = max(self.stream_us, stream_us)
        for n, rung in enumerate(self.ladder.rungs):
            span = rung.timeframe.width_us + rung.grace_us
            due = [o for o in self._open[n] if o + span <= self.stream_us]
            for open_us in sorted(due):
                bar = self._current(n, open_us)
                bar.revision, bar.reason = 1, "final"
                self._open[n].discard(open_us)
                self._fresh[n].discard(open_us)
                self._unsaved[n].add(open_us)
                self._emit(n, bar)

    def revise(self, part: Bar, stream_us: int, reason: str = "late") -> bool:
        """Fold one late trade into its final base bar and into every bar above it.

        Args:
            part: The partial bar of the one trade.
            stream_us: Stream time before the trade came; bars due by then are final first.
            reason: Why the bars change.

        Returns:
            False when the bar is beyond `revise_for` and nothing changed.
        """
        self.advance(stream_us)
        base = self.ladder.base.timeframe
        if part.open_us + base.width_us + self.ladder.revise_for_us < stream_us:
            return False
        part.late = 1
        bar = self.bars[0].get(part.open_us)
        if bar is None:
            bar = part
            self._put(0, bar)
        else:
            bar.add(part)
        self._touch(0, part.open_us)
        self._revised(0, bar, reason)
        for n, open_us in self._above(0, part.open_us):
            known = self.bars[n].get(open_us)
            if known is not None and known.revision > 0:
                self._revised(n, self._current(n, open_us), reason)
            else:
                self._provisional(n, open_us)
        self.advance(stream_us)
        return True

    def emissions(self, *, base_only: bool = False) -> list[Emission]:
        """Return what changed since the last call.

        Finals and revisions come in order, then the newest provisional values; of the base bars
        alone if so asked, those of longer ones wait.
        """
        for n, fresh in enumerate(self._fresh[:1] if base_only else self._fresh):
            for open_us in sorted(fresh):
                self._emit(n, self._current(n, open_us))
            fresh.clear()
        out, self._out = self._out, []
        return out

    def save(self) -> Iterator[tuple[int, int, Bar | None]]:
        """Yield (rung, open_us, bar) of each bar changed since the last call; None forgets it."""
        for n, rung in enumerate(self.ladder.rungs):
            expired = self.stream_us - rung.timeframe.width_us - rung.keep_us
            if self._oldest[n] < expired:
                for open_us in [o for o in self.bars[n] if o < expired]:
                    del self.bars[n][open_us]
                    self._unsaved[n].discard(open_us)
                    yield n, open_us, None
                self._oldest[n] = min(self.bars[n], default=-NEVER)
            for open_us in self._unsaved[n]:
                yield n, open_us, self._current(n, open_us)
            self._unsaved[n].clear()

    def _put(self, rung: int, bar: Bar) -> None:
        self.bars[rung][bar.open_us] = bar
        self._oldest[rung] = min(self._oldest[rung], bar.open_us)

    def _touch(self, rung: int, open_us: int) -> None:
        """Mark the bar unsaved and everything above it stale."""
        self._unsaved[rung].add(open_us)
        for n, above in self._above(rung, open_us):
            self._stale[n].add(above)
            self._unsaved[n].add(above)

    def _provisional(self, rung: int, open_us: int) -> None:
        """Remember to emit the bar, and those above it, unless they are final."""
        for n, at in [(rung, open_us), *self._above(rung, open_us)]:
            known = self.bars[n].get(at)
            if known is None or known.revision == 0:
                self._open[n].add(at)
                self._fresh[n].add(at)

    def _above(self, rung: int, open_us: int) -> list[tuple[int, int]]:
        """Return (rung, open_us) of each bar that holds this one, nearest first."""
        found: list[tuple[int, int]] = []
        queue = list(self.ladder.rungs[rung].parents)
        while queue:
            n = queue.pop(0)
            found.append((n, self.ladder.rungs[n].timeframe.open_of(open_us)))
            queue += self.ladder.rungs[n].parents
        return found

    def _current(self, rung: int, open_us: int) -> Bar:
        """Return the bar, rolled up again by replacement if a child changed."""
        known = self.bars[rung].get(open_us)
        if open_us not in self._stale[rung]:
            if known is None:
                raise AssertionError(f"no bar at {open_us} of rung {rung}")
            return known
        self._stale[rung].discard(open_us)
        spec = self.ladder.rungs[rung]
        child = self.ladder.rungs[spec.child].timeframe.width_us
        opens = range(open_us, open_us + spec.timeframe.width_us, child)
        stale, below = self._stale[spec.child], self.bars[spec.child]
        children = [self._current(spec.child, o) for o in opens if o in stale or o in below]
        bar = roll_up(open_us, children)
        if known is not None:
            bar.revision, bar.reason = known.revision, known.reason
        self._put(rung, bar)
        return bar

    def _revised(self, rung: int, bar: Bar, reason: str) -> None:
        bar.revision, bar.reason = max(bar.revision, 1) + 1, reason
        self._open[rung].discard(bar.open_us)
        self._fresh[rung].discard(bar.open_us)
        self._emit(rung, bar)

    def _emit(self, rung: int, bar: Bar) -> None:
        self._out.append(Emission(rung, bar.copy(), bar.open_us <= self.first_us))
