"""The bars of one series in one timeframe: which are kept, which are open, which changed."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.domain.bars import Bar

NEVER = -(2**62)
"""Stream time of a series that has seen nothing, µs; -NEVER is the end of time."""


@dataclass(slots=True)
class Shelf:
    """Bars by open time.

    Attributes:
        bars: All that are kept.
        due: When each provisional one becomes final: close time + grace, µs.
        stale: Of which a child changed since they were rolled up.
        fresh: Provisional ones that changed since they were emitted.
        unsaved: Changed since they were saved.
        carried: Open time and close of the newest bar with a close that is kept no more.
    """

    bars: dict[int, Bar] = field(default_factory=dict)
    due: dict[int, int] = field(default_factory=dict)
    stale: set[int] = field(default_factory=set)
    fresh: set[int] = field(default_factory=set)
    unsaved: set[int] = field(default_factory=set)
    carried: tuple[int, int] | None = None
    _oldest_us: int = -NEVER

    def put(self, bar: Bar) -> None:
        """Keep a bar, in place of the one there was."""
        self.bars[bar.open_us] = bar
        self._oldest_us = min(self._oldest_us, bar.open_us)

    def has(self, open_us: int) -> bool:
        """Return whether there is a bar, be it yet to be rolled up."""
        return open_us in self.bars or open_us in self.stale

    def settle(self, bar: Bar, revision: int, reason: str) -> None:
        """Give a bar a final revision."""
        bar.revision, bar.reason = revision, reason
        self.due.pop(bar.open_us, None)
        self.fresh.discard(bar.open_us)
        self.unsaved.add(bar.open_us)

    def change(self, open_us: int) -> None:
        """Mark a provisional bar changed."""
        self.fresh.add(open_us)
        self.unsaved.add(open_us)

    def close_before(self, open_us: int) -> int | None:
        """Return the close of the newest earlier bar that has one."""
        priced = [o for o, bar in self.bars.items() if o < open_us and bar.close is not None]
        if priced:
            return self.bars[max(priced)].close
        if self.carried is not None and self.carried[0] < open_us:
            return self.carried[1]
        return None

    def after(self, open_us: int) -> list[Bar]:
        """Return the later bars in order."""
        return [self.bars[o] for o in sorted(o for o in self.bars if o > open_us)]

    def within(self, open_us: int, close_us: int) -> list[int]:
        """Return the open times in [open_us, close_us) that have a bar, in order."""
        return sorted(o for o in self.bars.keys() | self.stale if open_us <= o < close_us)

    def forget(self, before_us: int) -> Iterator[int]:
        """Drop the bars that open before, and yield their open times."""
        if self._oldest_us >= before_us:
            return
        gone = sorted(o for o in self.bars if o < before_us)
        for open_us in gone:
            close = self.bars.pop(open_us).close
            if close is not None and (self.carried is None or self.carried[0] < open_us):
                self.carried = open_us, close
            self.due.pop(open_us, None)
            for marked in (self.stale, self.fresh, self.unsaved):
                marked.discard(open_us)
        self._oldest_us = min(self.bars, default=-NEVER)
        yield from gone
