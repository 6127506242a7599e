"""Where in a series' event time trades are known to be missing (S15)."""

from dataclasses import dataclass, field

HOLES_KEPT = 1_000
"""Open holes of a series; beyond it the two oldest count as one, which is never mended."""

Hole = tuple[int, int]
"""Event times of the trades before and after the missing ones, µs; both inclusive."""


@dataclass(slots=True)
class Holes:
    """The holes that are open, in the order they were found."""

    spans: list[Hole] = field(default_factory=list)

    def dig(self, hole: Hole, forget_before_us: int) -> None:
        """Add a hole, and drop those that ended before a time."""
        self.spans = [known for known in self.spans if known[1] >= forget_before_us]
        self.spans.append(hole)
        while len(self.spans) > HOLES_KEPT:
            first, second, *rest = self.spans
            self.spans = [(min(first[0], second[0]), max(first[1], second[1])), *rest]

    def mend(self, hole: Hole) -> bool:
        """Take a hole out; return whether it was there."""
        if hole not in self.spans:
            return False
        self.spans.remove(hole)
        return True

    def touch(self, open_us: int, close_us: int) -> bool:
        """Return whether a hole has a part in [open_us, close_us)."""
        return any(low < close_us and open_us <= high for low, high in self.spans)
