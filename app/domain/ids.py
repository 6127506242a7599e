"""Trade ids of venues that number their trades without holes: what is in order, at full speed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.domain.trades import Codes, Marks, Trades
from schemas.columns import Sizes
from schemas.compiled import compiled
from schemas.packed import Bytes, Positions

UNKNOWN = -1
_MOST_DIGITS = 18


Hole = tuple[int, int]
"""Event times of the trades before and after the missing ones, µs."""

MOST_MISSING = 1_000
"""Ranges of missing ids remembered for each series; beyond it the oldest are never repaired."""


class Step(NamedTuple):
    """What one id says of holes.

    Attributes:
        opened: The one that it revealed, or what it left of the one it was missing in.
        closed: The one it was missing in.
    """

    opened: tuple[Hole, ...] = ()
    closed: Hole | None = None

    @property
    def is_repair(self) -> bool:
        """Whether the trade was missing."""
        return self.closed is not None


class Missing(NamedTuple):
    """Ids that have not come, both inclusive, and the hole that they leave."""

    first: int
    last: int
    hole: Hole


@dataclass(slots=True)
class Ids:
    """The trade ids of one series.

    Attributes:
        next_id: One more than the highest, `UNKNOWN` before the first.
        last_us: Event time of the highest.
        missing: Those below that have not come, in the order in which they were found missing.
    """

    next_id: int = UNKNOWN
    last_us: int = 0
    missing: list[Missing] = field(default_factory=list)

    def reach(self, next_id: int, last_us: int) -> None:
        """Take a run of ids without a hole."""
        self.next_id, self.last_us = next_id, last_us

    def step(self, trade_id: int, at_us: int) -> Step:
        """Take an id that is not the next."""
        if trade_id < self.next_id:
            return self._filled(trade_id, at_us)
        opened: tuple[Hole, ...] = ()
        if self.next_id not in {UNKNOWN, trade_id}:
            hole = min(self.last_us, at_us), max(self.last_us, at_us)
            self.missing.append(Missing(self.next_id, trade_id - 1, hole))
            opened = (hole,)
            del self.missing[:-MOST_MISSING]
        self.reach(trade_id + 1, at_us)
        return Step(opened)

    def _filled(self, trade_id: int, at_us: int) -> Step:
        """Narrow a hole: ids rise with time, so what is left lies before this trade or after it."""
        for n, (first, last, (low_us, high_us)) in enumerate(self.missing):
            if first <= trade_id <= last:
                middle_us = min(max(at_us, low_us), high_us)
                parts = (
                    Missing(first, trade_id - 1, (low_us, middle_us)),
                    Missing(trade_id + 1, last, (middle_us, high_us)),
                )
                left = [part for part in parts if part.first <= part.last]
                self.missing[n : n + 1] = left
                return Step(tuple(part.hole for part in left), (low_us, high_us))
        return Step()


class Runs(NamedTuple):
    """The ids of a block, as far as each was one more than the one before in its series.

    Attributes:
        odd: Rows whose id was not, in order; they begin new runs where they are higher.
        next_id: By odd row: the id that was expected instead, `UNKNOWN` at a series' beginning.
        last_row: By odd row: the row of the id before the expected one, -1 if none in the block.
        ids: By odd row: its id.
        expected: By series: the id expected after the block.
        newest_row: By series: the row of the id before that, -1 if none in the block.
    """

    odd: list[int]
    next_id: list[int]
    last_row: list[int]
    ids: list[int]
    expected: list[int]
    newest_row: list[int]


def runs(trades: Trades, expected: Sequence[int | None]) -> Runs:
    """Follow the ids of a block.

    Args:
        trades: n ticks; those that are no trades, or whose id is no number, are passed over.
        expected: The next id of each series in `trades.names`, `UNKNOWN` before its first; None
            for series that are not numbered.
    """
    n = len(trades)
    is_numbered = np.array([each is not None for each in expected], np.bool_)
    after = np.array([UNKNOWN if each is None else each for each in expected], np.int64)
    newest_row = np.full(len(expected), -1, np.int64)
    found = np.empty((4, n), np.int64)
    count = _follow(
        trades.buffer, trades.id_starts, trades.id_sizes, trades.series, trades.actions,
        trades.price.is_null, is_numbered, after, newest_row, found,
    )  # fmt: skip
    odd, next_id, last_row, ids = found[:, :count].tolist()
    return Runs(odd, next_id, last_row, ids, after.tolist(), newest_row.tolist())


@compiled
def _follow(  # noqa: PLR0913 - one loop, many columns
    buffer: Bytes,
    id_starts: Positions,
    id_sizes: Sizes,
    series: Codes,
    actions: Positions,
    is_no_trade: Marks,
    is_numbered: Marks,
    expected: Positions,
    newest_row: Positions,
    found: Positions,
) -> int:
    count = 0
    for row in range(len(series)):
        code = series[row]
        if not is_numbered[code] or actions[row] != 0 or is_no_trade[row]:
            continue
        trade_id = _number(buffer, id_starts[row], id_sizes[row])
        if trade_id < 0:
            continue
        if trade_id != expected[code]:
            found[0, count], found[1, count] = row, expected[code]
            found[2, count], found[3, count] = newest_row[code], trade_id
            count += 1
            if trade_id < expected[code]:
                continue
        expected[code] = trade_id + 1
        newest_row[code] = row
    return count


@compiled
def _number(buffer: Bytes, start: int, size: int) -> int:
    """Return what decimal digits say; `UNKNOWN` for any other text."""
    if size <= 0 or size > _MOST_DIGITS:
        return UNKNOWN
    value = 0
    for at in range(start, start + size):
        digit = int(buffer[at]) - 48
        if digit < 0 or digit > 9:  # noqa: PLR2004
            return UNKNOWN
        value = value * 10 + digit
    return value
