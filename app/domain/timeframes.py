"""Bar widths, and the ladder by which longer bars are rolled up from shorter ones.

A timeframe is a unit and a whole number: S1, M1, M15, H4, D1. Bars are aligned to the Unix
epoch in UTC, so an H4 opens at 00:00, 04:00, ... and a D1 at midnight UTC.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SECOND_US = 1_000_000
UNITS_US = {"S": SECOND_US, "M": 60 * SECOND_US, "H": 3_600 * SECOND_US, "D": 86_400 * SECOND_US}
_NAME = re.compile(r"([SMHD])([1-9][0-9]{0,4})")


@dataclass(frozen=True, slots=True, order=True)
class Timeframe:
    """A bar width in microseconds, with its name."""

    width_us: int
    name: str

    def open_of(self, at_us: int) -> int:
        """Return the open time of the bar that holds `at_us`; both in µs since the epoch."""
        return at_us - at_us % self.width_us


def timeframe(name: str) -> Timeframe:
    """Return the timeframe called `name`.

    Raises:
        ValueError: `name` is not one of S, M, H, D followed by a whole number.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"timeframe must be S, M, H or D and a whole number, such as M5, was {name!r}"
        )
    return Timeframe(UNITS_US[match[1]] * int(match[2]), name)


@dataclass(frozen=True, slots=True)
class Rung:
    """One timeframe of a ladder.

    Attributes:
        timeframe: Its width and name.
        child: Index of the rung it is rolled up from; -1 for the base, built from ticks.
        parents: Indexes of the rungs rolled up from it.
        grace_us: How long after close_time a bar stays open for stragglers.
        keep_us: How long after close_time a bar is kept, so that it, or a parent that still
            needs it as a child, can be revised.
    """

    timeframe: Timeframe
    child: int
    parents: tuple[int, ...]
    grace_us: int
    keep_us: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """The timeframes of a bar builder, shortest first."""

    rungs: tuple[Rung, ...]
    revise_for_us: int

    @property
    def base(self) -> Rung:
        """The rung that is built from ticks."""
        return self.rungs[0]


def ladder(names: Iterable[str], grace_us: Mapping[str, int], revise_for_us: int) -> Ladder:
    """Return the ladder of `names`, each rolled up from the widest shorter one that divides it.

    Args:
        names: Timeframe names in any order; the shortest is the base.
        grace_us: Grace of each name, µs, at least 0.
        revise_for_us: How long after close_time a late trade still revises its bar, µs.

    Raises:
        ValueError: A name is unknown or repeated, no shorter timeframe divides one, or a
            timeframe has less grace than the one it is rolled up from.
    """
    frames = sorted(timeframe(name) for name in names)
    if not frames or len({f.width_us for f in frames}) < len(frames):
        raise ValueError(f"timeframes must be at least one and distinct, were {list(names)!r}")
    children = [-1]
    for n, frame in enumerate(frames[1:], 1):
        divisors = [i for i in range(n) if frame.width_us % frames[i].width_us == 0]
        if not divisors:
            raise ValueError(
                f"timeframe {frame.name} must be a whole multiple of a shorter one, "
                f"were {[f.name for f in frames[:n]]}"
            )
        children.append(divisors[-1])
    for frame, child in zip(frames[1:], children[1:], strict=True):
        if grace_us[frame.name] < grace_us[frames[child].name]:
            raise ValueError(
                f"grace of {frame.name} must be at least that of {frames[child].name}, "
                f"was {grace_us[frame.name]} us < {grace_us[frames[child].name]} us"
            )
    rungs = []
    for n, frame in enumerate(frames):
        parents = tuple(i for i, child in enumerate(children) if child == n)
        widest = max((frames[p].width_us for p in parents), default=0)
        grace = grace_us[frame.name]
        keep_us = max(widest, grace) + revise_for_us + SECOND_US
        rungs.append(Rung(frame, children[n], parents, grace, keep_us))
    return Ladder(tuple(rungs), revise_for_us)
