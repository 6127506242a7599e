"""Trading sessions, and the bounds of the bars that follow them.

A profile says when an instrument trades: always, 24 hours on five days (FX), or as an exchange
does (`app.domain.exchange_sessions`). All times are µs since the epoch, UTC.

    profile("XNYS").span(at_us, timeframe("D1").width_us, anchored=False)

Which bar holds an instant depends on its width:

    D1            the session; for 24x7 the UTC day
    4 h and more  session open + k x width, cut at the session's close; a lunch break is inside
    shorter       aligned to the epoch, or, anchored, to the open of the segment

A print outside every session is in no bar of 4 h or more. Shorter bars hold it, aligned to the
epoch; anchored ones are cut where a segment begins or ends, so that no two overlap.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
FOLLOWS_SESSION_US = 4 * HOUR_US
"""Bars of this width and wider follow the session."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
FX_CLOSE_HOUR = 17
FRIDAY = 4


class Span(NamedTuple):
    """[open, close), µs since the epoch."""

    open_us: int
    close_us: int


class Stretch(NamedTuple):
    """A time throughout which an instrument trades, or does not."""

    span: Span
    is_open: bool


class Profile(ABC):
    """When an instrument trades; hashable, and equal to any other of the same name.

    Methods raise `BeyondSchedule`, a ValueError, for a time that an exchange's schedule does not
    cover (`app.domain.exchange_sessions`).

    Attributes:
        name: What the catalog calls it: 24x7, 24x5, or an exchange's code.
    """

    __slots__ = ()
    name: str

    @property
    @abstractmethod
    def grain_us(self) -> int:
        """Every bound of a session or segment is a whole multiple of it since the epoch.

        So bars aligned to the epoch, of a width that divides it, tile sessions and closed time.
        """

    @abstractmethod
    def session(self, at_us: int) -> Span | None:
        """Return the trading session, lunch break included, that holds `at_us`."""

    @abstractmethod
    def stretch(self, at_us: int) -> Stretch:
        """Return the segment, or else the closed time, that holds `at_us`.

        Segments are what lunch breaks leave of sessions; two may touch.
        """

    def segment(self, at_us: int) -> Span | None:
        """Return the part of the session without a break that holds `at_us`; None in a break."""
        span, is_open = self.stretch(at_us)
        return span if is_open else None

    def is_open(self, at_us: int) -> bool:
        """Return whether a segment holds `at_us`."""
        return self.stretch(at_us).is_open

    def next_open(self, at_us: int) -> int:
        """Return when the first segment that begins at `at_us` or later begins."""
        (open_us, close_us), is_open = self.stretch(at_us)
        if is_open and open_us == at_us:
            return at_us
        after = self.stretch(close_us)
        return close_us if after.is_open else after.span.close_us

    def span(self, at_us: int, width_us: int, *, anchored: bool) -> Span | None:
        """Return the bar of `width_us` that holds `at_us`; None if only sessions have such bars.

        Raises:
            ValueError: The width is more than a day, and the profile is not 24x7.
        """
        if width_us > DAY_US:
            raise ValueError(
                f"bars of session profile {self.name} must be at most a day wide, "
                f"were {width_us / DAY_US:g} days"
            )
        if width_us >= FOLLOWS_SESSION_US:
            session = self.session(at_us)
            # A day holds any session, so D1 is the whole of it.
            return None if session is None else _restarted(at_us, width_us, session)
        aligned = _aligned(at_us, width_us)
        if not anchored:
            return aligned
        (begin_us, end_us), is_open = stretch = self.stretch(at_us)
        if is_open:
            return _restarted(at_us, width_us, stretch.span)
        return Span(max(aligned.open_us, begin_us), min(aligned.close_us, end_us))


@dataclass(frozen=True, slots=True)
class Always(Profile):
    """24x7: bars are aligned to the epoch; anchored, those under a day restart at midnight UTC."""

    name: str = field(default="24x7", init=False)
    grain_us: int = field(default=DAY_US, init=False)

    def session(self, at_us: int) -> Span:
        """Return the UTC day."""
        return _aligned(at_us, DAY_US)

    def stretch(self, at_us: int) -> Stretch:
        """Return the UTC day."""
        return Stretch(_aligned(at_us, DAY_US), is_open=True)

    def span(self, at_us: int, width_us: int, *, anchored: bool) -> Span:
        """Return the bar of `width_us` that holds `at_us`."""
        if anchored and width_us < DAY_US:
            return _restarted(at_us, width_us, self.session(at_us))
        return _aligned(at_us, width_us)


@dataclass(frozen=True, slots=True)
class FxWeek(Profile):
    """24x5: days from 17:00 to 17:00 New York, Monday's from Sunday on; no holidays.

    Daylight saving changes while the market is closed, so every session has 24 hours, and the
    weekends of the two changes 47 and 49. Lookups are by the hour: New York is whole hours from
    UTC.
    """

    name: str = field(default="24x5", init=False)
    grain_us: int = field(default=HOUR_US, init=False)

    def session(self, at_us: int) -> Span | None:
        """Return the day that ends at 17:00 New York; None in the weekend."""
        return self.segment(at_us)

    def stretch(self, at_us: int) -> Stretch:
        """Return the day, or the weekend from Friday to Sunday 17:00."""
        return _fx_stretch(at_us // HOUR_US)


ALWAYS = Always()
FX_WEEK = FxWeek()


def _aligned(at_us: int, width_us: int) -> Span:
    open_us = at_us - at_us % width_us
    return Span(open_us, open_us + width_us)


def _restarted(at_us: int, width_us: int, within: Span) -> Span:
    """Return the bar of `width_us` counted from the open of `within`, cut at its close."""
    open_us = at_us - (at_us - within.open_us) % width_us
    return Span(open_us, min(open_us + width_us, within.close_us))


@lru_cache(maxsize=10_000)
def _fx_stretch(hour: int) -> Stretch:
    """Return the day or the weekend that holds an hour, counted from the epoch."""
    local = (EPOCH + timedelta(hours=hour)).astimezone(NEW_YORK).replace(tzinfo=None)
    ends = (local + timedelta(hours=24 - FX_CLOSE_HOUR)).date()
    beyond_friday = ends.weekday() - FRIDAY
    if beyond_friday <= 0:
        return Stretch(Span(_fx_close(ends - timedelta(days=1)), _fx_close(ends)), is_open=True)
    friday = ends - timedelta(days=beyond_friday)
    return Stretch(Span(_fx_close(friday), _fx_close(friday + timedelta(days=2))), is_open=False)


def _fx_close(day: date) -> int:
    at = datetime(day.year, day.month, day.day, FX_CLOSE_HOUR, tzinfo=NEW_YORK)
    return (at - EPOCH) // timedelta(microseconds=1)
