"""Intervals without a trade: what is made of them, and how far (S8)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from app.domain.bars import Bar, empty
from app.domain.rollup import Rollup
from app.domain.sessions import Span
from app.domain.shelf import NEVER

FILL_LIMIT = 1_440
"""Empty bars made one after the other, of each timeframe: a day of M1, four years of D1.

After so many a series counts as gone until its next trade: a jump of years makes no millions.
"""


class Empties(Enum):
    """What a series makes of an interval of a session in which it had no trade."""

    OMIT = "omit"
    """No bar."""
    CARRY = "carry"
    """A bar whose prices are all the close before it."""
    NULL = "null"
    """A bar without prices."""


@dataclass(slots=True)
class Front:
    """How far one timeframe of a series is looked through for empty intervals.

    Attributes:
        span: The first interval that may yet stay empty; None before there is a bar, and where
            no further session is known.
        run: Empty bars that were made last, one after the other.
    """

    span: Span | None = None
    run: int = 0


@dataclass(slots=True)
class Filler:
    """The empty bars of one series, and the prices of all that have no trades."""

    rollup: Rollup
    policy: Empties
    fronts: list[Front] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fronts = [Front() for _ in self.rollup.ladder.rungs]

    def reach(self, rung: int, close_us: int) -> None:
        """Go on behind a bar that is final."""
        if self.policy is Empties.OMIT:
            return
        front, span = self.fronts[rung], self.rollup.ladder.next_span(rung, close_us)
        if front.span is None or (span is not None and span.open_us > front.span.open_us):
            front.span, front.run = span, 0

    def fill(self, rung: int, stream_us: int, before_us: int) -> Iterator[Bar]:
        """Make the empty bars that are due by a stream time and open before another."""
        front, shelf = self.fronts[rung], self.rollup.shelves[rung]
        before: Bar | None = None
        while front.span is not None and front.span.open_us < before_us:
            if self._due_us(rung) > stream_us:
                return
            open_us, close_us = front.span
            if shelf.has(open_us):
                before = None
            else:
                # The bar before an empty one need be looked for but once.
                bar = empty(open_us, before.close) if before else self.price(rung, empty(open_us))
                shelf.put(bar)
                yield bar
                before = bar
            front.span, front.run = self.rollup.ladder.next_span(rung, close_us), front.run + 1

    def next_due_us(self) -> int:
        """Return when the next empty bar is due if no trade comes; the end of time for never."""
        return min(self._due_us(rung) for rung in range(len(self.fronts)))

    def _due_us(self, rung: int) -> int:
        front = self.fronts[rung]
        if front.span is None or front.run >= FILL_LIMIT:
            return -NEVER
        return front.span.close_us + self.rollup.ladder.rungs[rung].grace_us

    def price(self, rung: int, bar: Bar) -> Bar:
        """Give a bar that has no trades its prices; others keep theirs."""
        if not bar.trades:
            price = None
            if self.policy is Empties.CARRY:
                self.rollup.refresh(rung, bar.open_us)
                price = self.rollup.shelves[rung].close_before(bar.open_us)
            bar.open = bar.high = bar.low = bar.close = price
        return bar

    def carried(self, rung: int, open_us: int) -> Iterator[Bar]:
        """Change the final bars that carry the close of the one at `open_us`, and yield them."""
        if self.policy is not Empties.CARRY:
            return
        shelf = self.rollup.shelves[rung]
        price = shelf.close_before(open_us + 1)
        for bar in shelf.after(open_us):
            # Behind one that is open nothing is final; they get their prices as they become so.
            if not bar.revision or (bar.trades and bar.close is not None):
                return
            if not bar.trades and bar.close != price:
                bar.open = bar.high = bar.low = bar.close = price
                yield bar

    def state(self) -> list[Any]:
        """Return what a checkpoint keeps, as JSON takes it."""
        return [(front.span, front.run) for front in self.fronts]

    def restore(self, state: list[Any]) -> None:
        """Put back what `state` returned, be it through JSON."""
        self.fronts = [Front(None if span is None else Span(*span), run) for span, run in state]
