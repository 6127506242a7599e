"""Bars that another system wrote, held against those that the ticks make."""

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from app.cli.recompute import EPOCH, Values
from connectors.kafka_reader import read
from tests.bench.ticks import Bars

FIELDS = ("open", "high", "low", "close", "volume")
TOLERANCE = Decimal("1e-9")
"""Relative: of sums of floats. Prices are to the cent, far from it."""

Key = tuple[str, int]
"""Symbol, and µs since the epoch at which the bar opens."""


class Checked(NamedTuple):
    """What a comparison found, in bars that were certain to be closed.

    Attributes:
        bars: So many had to be there.
        wrong: Of which so many lack or differ, or were not expected at all.
        ticks: Ticks that those bars had to hold.
        lost: Of which so many are in none; below 0: too many.
        is_exact: Every value is equal, digit by digit; else to `TOLERANCE`.
        example: One that is wrong.
    """

    bars: int
    wrong: int = 0
    ticks: int = 0
    lost: int = 0
    is_exact: bool = True
    example: str = ""

    @property
    def text(self) -> str:
        """Say it in a table's cell."""
        if not self.bars:
            return "none closed"
        if self.wrong:
            share = self.lost / self.ticks
            lost = f", {share:.2%} of their ticks lost" if self.lost else ""
            return f"{self.wrong:,} of {self.bars:,} wrong{lost}"
        return f"{self.bars:,} exact" if self.is_exact else f"{self.bars:,} to 1e-9"


def keyed(bars: Bars) -> dict[Key, Values]:
    """Return the expected one-minute bars by `Key`."""
    micros = timedelta(microseconds=1)
    return {
        (symbol, (at - EPOCH) // micros): values
        for (symbol, _, timeframe, at), values in bars.expected.items()
        if timeframe == "M1"
    }


def written(client: Mapping[str, object], topic: str) -> dict[Key, dict[str, Any]]:
    """Return the newest bar of each key in a topic of JSON; a withdrawal (diff -1) is none."""
    newest: dict[Key, dict[str, Any]] = {}
    for records in read(client, topic):
        for record in records:
            bar = json.loads(record.value or b"{}", parse_float=Decimal)
            if bar and bar.get("diff", 1) > 0:
                newest[bar["symbol"], bar["open_time"]] = bar
    return newest


def closed(
    expected: Collection[Key], found: Collection[Key], *, is_whole: bool, sends_open: bool
) -> set[Key]:
    """Return the bars that are certain to be closed.

    Args:
        expected: Of all ticks of the topic.
        found: What the system wrote.
        is_whole: Whether it has read the whole topic. Then they are all of a symbol but its
            newest; else those before the newest that it wrote.
        sends_open: Whether it writes bars before they are closed. If not, the newest that it wrote
            is closed too.
    """
    newest: dict[str, int] = {}
    for symbol, at in expected if is_whole else found:
        newest[symbol] = max(at, newest.get(symbol, at))
    with_newest = not is_whole and not sends_open
    return {
        key for key in expected if key[0] in newest and (key[1] < newest[key[0]] + int(with_newest))
    }


def check(
    expected: Mapping[Key, Values], found: Mapping[Key, Mapping[str, Any]], closed: set[Key]
) -> Checked:
    """Compare the bars that are `closed`; any other need only be of some tick."""
    ticks = sum(expected[key]["trades"] for key in closed)
    held = sum(found[key]["trades"] for key in closed if key in found)
    differing = {key: _differs(expected[key], found.get(key)) for key in closed}
    wrong = [key for key, differs in differing.items() if differs]
    wrong += [key for key in found if key not in expected]
    return Checked(
        len(closed),
        len(wrong),
        ticks,
        ticks - held,
        all(_is_equal(expected[key], found[key]) for key in closed if not differing[key]),
        f"{wrong[0]}: {found.get(wrong[0])}, expected {expected.get(wrong[0])}" if wrong else "",
    )


def _differs(expected: Values, found: Mapping[str, Any] | None) -> bool:
    return (
        found is None
        or found["trades"] != expected["trades"]
        or any(
            abs(Decimal(found[name]) - expected[name]) > TOLERANCE * abs(expected[name])
            for name in FIELDS
        )
    )


def _is_equal(expected: Values, found: Mapping[str, Any]) -> bool:
    return all(Decimal(found[name]) == expected[name] for name in FIELDS)
