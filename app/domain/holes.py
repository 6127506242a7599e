"""Where in a series' event time trades are known to be missing, and which bars it makes incomplete.

Trades come out of order, so a missing id is no gap at once: a hole counts from the moment at which
the base bar of the trade behind it becomes final. Ids rise with time, so until then every trade
that it lacks may still come on time. Open bars are incomplete from when a hole is found, final
ones from when it counts (S15).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.rollup import Rollup
from app.domain.shelf import NEVER
from app.domain.timeframes import Place

HOLES_KEPT = 1_000
"""Holes of a series, each kind; beyond it the two oldest become one, which is never mended."""

Hole = tuple[int, int]
"""Event times of the trades before and after the missing ones, µs; both inclusive."""


@dataclass(slots=True)
class Holes:
    """The holes of one series that are not filled.

    Attributes:
        bars: The bars of the series.
        spans: Those that count, in the order in which they came to.
        waiting: The others, with the stream time from which they count, µs; in order of discovery.
    """

    bars: Rollup
    spans: list[Hole] = field(default_factory=list)
    waiting: list[tuple[int, Hole]] = field(default_factory=list)

    def find(self, hole: Hole, counts_from_us: int) -> list[Place]:
        """Take one that was discovered; return the open bars that are incomplete by it."""
        told = [p for p in self.bars.touched(*hole) if self._is_open(p) and self._is_whole(p)]
        self.waiting.append((counts_from_us, hole))
        if len(self.waiting) > HOLES_KEPT:
            (first_us, first), (second_us, second), *rest = self.waiting
            self.waiting = [(max(first_us, second_us), _both(first, second)), *rest]
        return told

    def next_due_us(self) -> int:
        """Return the earliest time from which a waiting one counts; the end of time for never."""
        return min((due_us for due_us, _ in self.waiting), default=-NEVER)

    def count(self, stream_us: int) -> list[Place]:
        """Let those count that are due; return the final bars that are incomplete by them."""
        ready = [hole for due_us, hole in self.waiting if due_us <= stream_us]
        self.waiting = [each for each in self.waiting if each[0] > stream_us]
        final = {p for hole in ready for p in self.bars.touched(*hole) if not self._is_open(p)}
        told = [place for place in sorted(final) if self._is_whole(place)]
        ladder = self.bars.ladder
        longest = ladder.rungs[-1]
        forget_before_us = stream_us - 2 * longest.timeframe.width_us - longest.keep_us
        self.spans = [known for known in self.spans if known[1] >= forget_before_us] + ready
        while len(self.spans) > HOLES_KEPT:
            first, second, *rest = self.spans
            self.spans = [_both(first, second), *rest]
        return told

    def mend(self, holes: Iterable[Hole]) -> list[Place]:
        """Take holes out; return the bars that are complete by it."""
        told: set[Place] = set()
        for hole in holes:
            if hole in self.spans:
                self.spans.remove(hole)
                told.update(self.bars.touched(*hole))
            elif any(hole == known for _, known in self.waiting):
                self._forget_waiting(hole)
                told.update(p for p in self.bars.touched(*hole) if self._is_open(p))
        return [place for place in sorted(told) if self._is_whole(place)]

    def touch(self, open_us: int, close_us: int, *, is_open: bool) -> bool:
        """Return whether a bar of [open_us, close_us) is incomplete."""
        counted = any(low < close_us and open_us <= high for low, high in self.spans)
        if counted or not is_open:
            return counted
        return any(low < close_us and open_us <= high for _, (low, high) in self.waiting)

    def state(self) -> tuple[list[Any], list[Any]]:
        """Return the holes, as JSON takes them."""
        return list(self.spans), list(self.waiting)

    def restore(self, state: Sequence[Any]) -> None:
        """Put back what `state` returned, be it through JSON."""
        spans, waiting = state
        self.spans = [(low, high) for low, high in spans]
        self.waiting = [(due_us, (low, high)) for due_us, (low, high) in waiting]

    def _forget_waiting(self, hole: Hole) -> None:
        del self.waiting[[known for _, known in self.waiting].index(hole)]

    def _is_open(self, place: Place) -> bool:
        return self.bars.current(place.rung, place.open_us).revision == 0

    def _is_whole(self, place: Place) -> bool:
        return not self.touch(place.open_us, place.close_us, is_open=self._is_open(place))


def _both(one: Hole, other: Hole) -> Hole:
    return min(one[0], other[0]), max(one[1], other[1])
