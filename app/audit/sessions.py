"""When instruments trade, as rows: the sessions of a profile, and their parts without a break.

Drawn from exchange-calendars and the time zone data alone. Times are microseconds, UTC.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from math import gcd
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

FIRST, LAST = date(1990, 1, 1), date(2049, 12, 31)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SATURDAY = 5
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ALWAYS, FX = "24x7", "24x5"


class Stretch(NamedTuple):
    """[begin, end), and whether the instrument trades in it."""

    begin_us: int
    end_us: int
    is_open: bool


class Hours(NamedTuple):
    """The hours of one profile.

    Attributes:
        sessions: Lunch breaks are inside.
        stretches: Segments, and the closed times between them.
        grain_us: Divides every bound.
    """

    sessions: list[Stretch]
    stretches: list[Stretch]
    grain_us: int


@cache
def hours(profile: str) -> Hours:
    """Return the hours of 24x5, or of an exchange by its code; 24x7 has none."""
    days = list(_fx_days() if profile == FX else _exchange_days(profile))
    sessions = [Stretch(day[0], day[-1], is_open=True) for day in days]
    bounds = [bound for day in days for bound in day]
    stretches = [
        Stretch(begin, end, is_open=n % 2 == 0)
        for n, (begin, end) in enumerate(pairwise(bounds))
        if begin < end
    ]
    return Hours(sessions, stretches, gcd(*bounds))


def _fx_days() -> Iterator[list[int]]:
    """From 17:00 to 17:00 New York, Monday's from Sunday on."""
    zone = ZoneInfo("America/New_York")
    day = FIRST
    while day <= LAST:
        if day.weekday() < SATURDAY:
            before = day - timedelta(days=1)
            yield [
                _us(datetime(at.year, at.month, at.day, 17, tzinfo=zone)) for at in (before, day)
            ]
        day += timedelta(days=1)


def _exchange_days(code: str) -> Iterator[list[int]]:
    import exchange_calendars  # noqa: PLC0415 - 60 MB and a second, for exchanges alone

    kind: Any = type(exchange_calendars.get_calendar(code))
    low, high = kind.bound_min(), kind.bound_max()
    start = str(FIRST) if low is None else max(str(FIRST), str(low.date()))
    end = str(LAST) if high is None else min(str(LAST), str(high.date()))
    for row in kind(start=start, end=end).schedule.itertuples():
        bounds = [row.open, row.break_start, row.break_end, row.close]
        yield [_us(at.to_pydatetime()) for at in bounds if at == at]  # noqa: PLR0124 - not NaT


def _us(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)
