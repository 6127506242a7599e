"""The bars of one series in every timeframe: kept, and rolled up by replacement (S12)."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.domain.bars import Bar, roll_up
from app.domain.shelf import NEVER, Shelf
from app.domain.timeframes import Ladder, Place


@dataclass(slots=True)
class Rollup:
    """A shelf for each rung of the ladder; a bar above the base is made when it is asked for.

    Attributes:
        ladder: Timeframes and sessions.
        shelves: By rung.
        due_us: When the next provisional bar becomes final.
    """

    ladder: Ladder
    shelves: list[Shelf] = field(default_factory=list)
    due_us: int = -NEVER
    _grown: set[int] = field(default_factory=set)
    """Base bars of which those above do not know yet that they changed."""

    def __post_init__(self) -> None:
        self.shelves = [Shelf() for _ in self.ladder.rungs]

    def grow(self, open_us: int) -> None:
        """Mark a base bar changed, without a revision."""
        base = self.shelves[0]
        if base.bars[open_us].revision == 0:
            base.fresh.add(open_us)
        base.unsaved.add(open_us)
        self._grown.add(open_us)

    def spread(self) -> None:
        """Mark what is above the base bars that have grown."""
        for grown_us in self._grown:
            for place in self.ladder.places(grown_us)[1:]:
                self.outdate(place)
        self._grown.clear()

    def outdate(self, place: Place) -> None:
        """Mark a bar above the base to be rolled up again."""
        shelf, open_us = self.shelves[place.rung], place.open_us
        shelf.stale.add(open_us)
        shelf.unsaved.add(open_us)
        known = shelf.bars.get(open_us)
        if known is None or known.revision == 0:
            shelf.fresh.add(open_us)
            self.open(place)

    def open(self, place: Place) -> None:
        """Remember when a provisional bar becomes final."""
        due = self.shelves[place.rung].due
        if place.open_us not in due:
            due_us = place.close_us + self.ladder.rungs[place.rung].grace_us
            due[place.open_us] = due_us
            self.due_us = min(self.due_us, due_us)

    def put(self, rung: int, bar: Bar) -> None:
        """Keep a bar that was kept before."""
        self.shelves[rung].put(bar)
        if bar.revision == 0:
            close_us = self.ladder.rungs[rung].close_of(bar.open_us)
            self.open(Place(rung, bar.open_us, close_us))

    def current(self, rung: int, open_us: int) -> Bar:
        """Return a bar, rolled up again if a child changed."""
        shelf = self.shelves[rung]
        known = shelf.bars.get(open_us)
        if open_us not in shelf.stale:
            if known is None:
                raise AssertionError(f"no bar at {open_us} of rung {rung}")
            return known
        shelf.stale.discard(open_us)
        child = self.ladder.rungs[rung].child
        bar = roll_up(open_us, [self.current(child, o) for o in self._children(rung, open_us)])
        if known is not None:
            bar.revision, bar.reason = known.revision, known.reason
        shelf.put(bar)
        return bar

    def _children(self, rung: int, open_us: int) -> list[int]:
        """Return the open times of the bars that a bar is made of, in order."""
        close_us = self.ladder.rungs[rung].close_of(open_us)
        child = self.ladder.rungs[rung].child
        shelf = self.shelves[child]
        if self.ladder.rungs[child].profile is not None:
            return shelf.within(open_us, close_us)
        opens = range(open_us, close_us, self.ladder.rungs[child].timeframe.width_us)
        return [o for o in opens if o in shelf.bars or o in shelf.stale]

    def refresh(self, rung: int, before_us: int) -> None:
        """Roll up again what changed of one timeframe and opens before a time."""
        for open_us in sorted(o for o in self.shelves[rung].stale if o < before_us):
            self.current(rung, open_us)

    def touched(self, from_us: int, to_us: int) -> list[Place]:
        """Return the bars there are with a part in [from, to], both inclusive."""
        self.spread()
        found = []
        for n, (rung, shelf) in enumerate(zip(self.ladder.rungs, self.shelves, strict=True)):
            for open_us in shelf.within(NEVER, to_us + 1):
                close_us = rung.close_of(open_us)
                if close_us > from_us:
                    found.append(Place(n, open_us, close_us))
        return found

    def due(self, rung: int, stream_us: int) -> list[int]:
        """Return the open times of the provisional bars that are final by a stream time."""
        return sorted(o for o, due_us in self.shelves[rung].due.items() if due_us <= stream_us)

    def next_due_us(self) -> int:
        """Return when the next provisional bar becomes final; the end of time for never."""
        dues = (due_us for shelf in self.shelves for due_us in shelf.due.values())
        return min(dues, default=-NEVER)

    def save(self, stream_us: int) -> Iterator[tuple[int, int, Bar | None]]:
        """Yield (rung, open_us, bar) of each bar changed since the last call; None forgets it."""
        self.spread()
        for n, (rung, shelf) in enumerate(zip(self.ladder.rungs, self.shelves, strict=True)):
            for open_us in shelf.forget(stream_us - rung.timeframe.width_us - rung.keep_us):
                yield n, open_us, None
            for open_us in shelf.unsaved:
                yield n, open_us, self.current(n, open_us)
            shelf.unsaved.clear()
