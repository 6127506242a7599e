"""Bar widths, and the ladder by which longer bars are rolled up from shorter ones.

A timeframe is a unit and a whole number: S1, M1, M15, H4, D1. Where its bars begin and end is the
session profile's word (`app.domain.sessions`): for 24x7 an H4 opens at 00:00, 04:00, ... UTC and
a D1 at midnight; for an exchange they follow its sessions.

The base, built from ticks, is aligned to the Unix epoch. Every other bar is tiled by those of the
widest shorter timeframe that divides it and never crosses its bounds.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from app.domain.exchange_sessions import BeyondSchedule
from app.domain.sessions import ALWAYS, DAY_US, FOLLOWS_SESSION_US, Profile, Span

SECOND_US = 1_000_000
UNITS_US = {"S": SECOND_US, "M": 60 * SECOND_US, "H": 3_600 * SECOND_US, "D": 86_400 * SECOND_US}
PLACES_KEPT = 10_000
"""Base bars whose places a ladder remembers, for all its series together."""
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
        profile: Whose word its bars' bounds are; None where they are aligned to the epoch.
        anchored: Whether bars shorter than 4 h restart with each segment of a session.
    """

    timeframe: Timeframe
    child: int
    parents: tuple[int, ...]
    grace_us: int
    keep_us: int
    profile: Profile | None = None
    anchored: bool = False

    def span(self, at_us: int) -> Span | None:
        """Return the bar that holds `at_us`.

        None where there is none: outside sessions, or beyond what is known of them.
        """
        if self.profile is None:
            open_us = self.timeframe.open_of(at_us)
            return Span(open_us, open_us + self.timeframe.width_us)
        try:
            return self.profile.span(at_us, self.timeframe.width_us, anchored=self.anchored)
        except BeyondSchedule:
            return None

    def close_of(self, open_us: int) -> int:
        """Return the close time of its bar at `open_us`, which it has."""
        if self.profile is None:
            return open_us + self.timeframe.width_us
        span = self.span(open_us)
        if span is None:
            raise AssertionError(f"no {self.timeframe.name} bar opens at {open_us}")
        return span.close_us


class Place(NamedTuple):
    """A bar of a series: the index of its rung, open and close time in µs."""

    rung: int
    open_us: int
    close_us: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """The timeframes of a bar builder, shortest first.

    Attributes:
        rungs: One each.
        revise_for_us: How long after close_time a late trade still revises its bar.
        profile: When the instrument trades.
    """

    rungs: tuple[Rung, ...]
    revise_for_us: int
    profile: Profile = ALWAYS
    _places: dict[int, tuple[Place, ...]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def base(self) -> Rung:
        """The rung that is built from ticks."""
        return self.rungs[0]

    def base_due_us(self, at_us: int) -> int:
        """Return when the base bar that holds a time becomes final, µs of stream time."""
        width_us = self.base.timeframe.width_us
        return at_us - at_us % width_us + width_us + self.base.grace_us

    def places(self, open_us: int) -> tuple[Place, ...]:
        """Return the base bar at `open_us` and every bar above that holds it, shortest first."""
        found = self._places.get(open_us)
        if found is None:
            spans = [rung.span(open_us) for rung in self.rungs]
            found = tuple(Place(n, *span) for n, span in enumerate(spans) if span is not None)
            if len(self._places) >= PLACES_KEPT:
                self._places.clear()
            self._places[open_us] = found
        return found

    def next_span(self, rung: int, at_us: int) -> Span | None:
        """Return the first bar from `at_us` on that has a part in a session.

        Args:
            rung: Index of the timeframe.
            at_us: The bound of a bar.
        """
        try:
            if not self.profile.is_open(at_us):
                at_us = self.profile.next_open(at_us)
        except BeyondSchedule:
            return None
        return self.rungs[rung].span(at_us)


def ladder(
    names: Iterable[str],
    grace_us: Mapping[str, int],
    revise_for_us: int,
    profile: Profile = ALWAYS,
    *,
    anchored: bool = False,
) -> Ladder:
    """Return the ladder of `names`.

    Args:
        names: Timeframe names in any order; the shortest is the base.
        grace_us: Grace of each name, µs, at least 0.
        revise_for_us: How long after close_time a late trade still revises its bar, µs.
        profile: When the instrument trades.
        anchored: Whether bars shorter than 4 h restart with each segment of a session.

    Raises:
        ValueError: A name is unknown or repeated, no shorter timeframe tiles one, a timeframe
            has less grace than the one it is rolled up from, the base is not aligned to the
            epoch, or a timeframe is longer than a day and the profile has sessions.
    """
    frames = sorted(timeframe(name) for name in names)
    if not frames or len({f.width_us for f in frames}) < len(frames):
        raise ValueError(f"timeframes must be at least one and distinct, were {list(names)!r}")
    bounds = _Bounds(profile, anchored)
    bounds.check(frames)
    children = [-1]
    for n, frame in enumerate(frames[1:], 1):
        tiling = [i for i in range(n) if bounds.tile(frame, frames[i])]
        if not tiling:
            raise ValueError(
                f"timeframe {frame.name} must be a whole multiple of a shorter one that ends where "
                f"the sessions of {profile.name} do, were {[f.name for f in frames[:n]]}"
            )
        children.append(tiling[-1])
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
        own = None if bounds.is_aligned(frame) else profile
        rungs.append(Rung(frame, children[n], parents, grace, keep_us, own, anchored))
    return Ladder(tuple(rungs), revise_for_us, profile)


class _Bounds(NamedTuple):
    """Where the bars of a profile begin and end; see `app.domain.sessions`."""

    profile: Profile
    anchored: bool

    def check(self, frames: list[Timeframe]) -> None:
        base, longest = frames[0], frames[-1]
        if longest.width_us > DAY_US and self.profile != ALWAYS:
            raise ValueError(
                f"timeframes of session profile {self.profile.name} must be at most a day, "
                f"was {longest.name}"
            )
        if not self.is_aligned(base):
            raise ValueError(
                f"the shortest timeframe must be aligned to the epoch in session profile "
                f"{self.profile.name}, where all begins and ends at whole multiples of "
                f"{self.profile.grain_us} us, was {base.name}"
            )

    def is_aligned(self, frame: Timeframe) -> bool:
        """Return whether all bars of `frame` are aligned to the epoch."""
        return not self._follows(frame) and (not self.anchored or self._fits(frame))

    def tile(self, parent: Timeframe, child: Timeframe) -> bool:
        """Return whether every bar of `parent` is made of whole bars of `child`."""
        if parent.width_us % child.width_us:
            return False
        if not self._follows(parent) or self._follows(child) or self._fits(child):
            return True
        # A segment cuts anchored bars at its own bounds, which H4 may not have after lunch.
        return self.anchored and parent.width_us == DAY_US

    def _follows(self, frame: Timeframe) -> bool:
        return self.profile != ALWAYS and frame.width_us >= FOLLOWS_SESSION_US

    def _fits(self, frame: Timeframe) -> bool:
        """Return whether bars aligned to the epoch end wherever a segment begins or ends."""
        if self.profile == ALWAYS and frame.width_us >= DAY_US:
            return True
        return self.profile.grain_us % frame.width_us == 0
