"""D1 and H4 bars of 2024 against exchange-calendars' own schedule, session by session.

2024 has both changes of daylight saving (10 March and 3 November in America, 31 March and 27
October in Britain), half days, holidays, and a typhoon day in Hong Kong. The counts and the hours
asserted beside the schedule are those the exchanges published.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import exchange_calendars
import pandas as pd
import pytest

from app.domain.exchange_sessions import profile
from app.domain.sessions import DAY_US, FX_WEEK, HOUR_US, Profile, Span

H4_US = 4 * HOUR_US
MINUTE_US = 60_000_000


class Day(NamedTuple):
    """One row of the schedule."""

    label: str
    whole: Span
    lunch: Span | None


def days_of_2024(code: str) -> list[Day]:
    """Read the schedule by another way than `app.domain.exchange_sessions` does."""
    schedule = exchange_calendars.get_calendar(code).schedule.loc["2024"]
    return [
        Day(
            str(label.date()),
            Span(row.open.value // 1000, row.close.value // 1000),
            None
            if pd.isna(row.break_start)
            else Span(row.break_start.value // 1000, row.break_end.value // 1000),
        )
        for label, row in schedule.iterrows()
    ]


def us(text: str) -> int:
    at = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def bars(trades: Profile, within: Span, width_us: int, *, anchored: bool) -> Iterator[Span]:
    at_us = within.open_us
    while at_us < within.close_us:
        span = trades.span(at_us, width_us, anchored=anchored)
        assert span is not None
        yield span
        at_us = span.close_us


@pytest.mark.parametrize(
    ("code", "sessions"), [("XNYS", 252), ("XHKG", 246), ("XLON", 254), ("CMES", 259)]
)
def test_a_daily_bar_is_the_session_and_nothing_outside_it(code: str, sessions: int) -> None:
    trades, days = profile(code), days_of_2024(code)

    assert len(days) == sessions
    for _, whole, _ in days:
        middle_us = (whole.open_us + whole.close_us) // 2
        for at_us in (whole.open_us, whole.open_us + 1, middle_us, whole.close_us - 1):
            assert trades.span(at_us, DAY_US, anchored=False) == whole
            assert trades.session(at_us) == whole
        for at_us in (whole.open_us - 1, whole.close_us):
            assert trades.span(at_us, DAY_US, anchored=False) != whole


@pytest.mark.parametrize("code", ["XNYS", "XHKG", "XLON", "CMES"])
def test_between_two_sessions_of_the_year_there_is_no_session_bar(code: str) -> None:
    trades, days = profile(code), days_of_2024(code)

    for before, after in pairwise(days):
        if before.whole.close_us == after.whole.open_us:
            continue  # CMES, where sessions touch
        middle_us = (before.whole.close_us + after.whole.open_us) // 2
        for at_us in (before.whole.close_us, middle_us, after.whole.open_us - 1):
            assert trades.span(at_us, DAY_US, anchored=False) is None
            assert trades.span(at_us, H4_US, anchored=False) is None
            assert trades.session(at_us) is None
            assert trades.next_open(at_us) == after.whole.open_us


@pytest.mark.parametrize(
    ("code", "full_hours", "half_days"),
    [
        ("XNYS", 6.5, {"2024-07-03": 3.5, "2024-11-29": 3.5, "2024-12-24": 3.5}),
        ("XHKG", 6.5, {"2024-02-09": 2.5, "2024-12-24": 2.5, "2024-12-31": 2.5}),
        ("XLON", 8.5, {"2024-12-24": 4.5, "2024-12-31": 4.5}),
        (
            "CMES", 24.0,
            dict.fromkeys(
                ["2024-01-15", "2024-02-19", "2024-05-27", "2024-07-04", "2024-09-02",
                 "2024-11-28", "2024-11-29", "2024-12-24"], 19.0,
            ),
        ),
    ],
)  # fmt: skip
def test_half_days_end_early_and_all_other_days_are_whole(
    code: str, full_hours: float, half_days: dict[str, float]
) -> None:
    trades = profile(code)
    hours = {}
    for label, whole, _ in days_of_2024(code):
        span = trades.span(whole.open_us, DAY_US, anchored=False)
        assert span is not None
        hours[label] = (span.close_us - span.open_us) / HOUR_US

    assert {label: h for label, h in hours.items() if h != full_hours} == half_days


@pytest.mark.parametrize(
    ("code", "at", "open_at", "close_at"),
    [
        # New York opens at 09:30 and closes at 16:00; before and after both changes.
        ("XNYS", "2024-03-08T18:00", "2024-03-08T14:30", "2024-03-08T21:00"),
        ("XNYS", "2024-03-11T18:00", "2024-03-11T13:30", "2024-03-11T20:00"),
        ("XNYS", "2024-11-01T18:00", "2024-11-01T13:30", "2024-11-01T20:00"),
        ("XNYS", "2024-11-04T18:00", "2024-11-04T14:30", "2024-11-04T21:00"),
        ("XNYS", "2024-11-29T17:59", "2024-11-29T14:30", "2024-11-29T18:00"),
        # London 08:00 to 16:30.
        ("XLON", "2024-03-28T12:00", "2024-03-28T08:00", "2024-03-28T16:30"),
        ("XLON", "2024-04-02T12:00", "2024-04-02T07:00", "2024-04-02T15:30"),
        ("XLON", "2024-10-25T12:00", "2024-10-25T07:00", "2024-10-25T15:30"),
        ("XLON", "2024-10-28T12:00", "2024-10-28T08:00", "2024-10-28T16:30"),
        ("XLON", "2024-12-24T12:00", "2024-12-24T08:00", "2024-12-24T12:30"),
        # Hong Kong 09:30 to 16:00, never another offset.
        ("XHKG", "2024-07-02T04:30", "2024-07-02T01:30", "2024-07-02T08:00"),
        # Chicago 17:00 to 17:00: Monday's session begins on Sunday.
        ("CMES", "2024-03-08T12:00", "2024-03-07T23:00", "2024-03-08T23:00"),
        ("CMES", "2024-03-10T22:00", "2024-03-10T22:00", "2024-03-11T22:00"),
        ("CMES", "2024-11-04T00:00", "2024-11-03T23:00", "2024-11-04T23:00"),
    ],
)
def test_hours_are_those_the_exchanges_publish(
    code: str, at: str, open_at: str, close_at: str
) -> None:
    assert profile(code).span(us(at), DAY_US, anchored=False) == Span(us(open_at), us(close_at))


@pytest.mark.parametrize(
    ("code", "at"),
    [
        ("XNYS", "2024-06-19T15:00"),  # Juneteenth
        ("XNYS", "2024-07-03T17:00"),  # after a half day
        ("XHKG", "2024-09-06T03:00"),  # typhoon Yagi
        ("XLON", "2024-08-26T10:00"),  # summer bank holiday
        ("CMES", "2024-03-29T15:00"),  # Good Friday
        ("CMES", "2024-07-04T17:00"),  # from noon in Chicago on
    ],
)
def test_on_a_holiday_there_is_no_session(code: str, at: str) -> None:
    assert profile(code).session(us(at)) is None


def test_lunch_parts_a_session_in_hong_kong_and_half_days_have_none() -> None:
    trades, days = profile("XHKG"), days_of_2024("XHKG")

    assert sum(day.lunch is not None for day in days) == 243
    for _, whole, lunch in days:
        if lunch is None:
            assert trades.segment(whole.open_us) == whole
            continue
        assert trades.segment(lunch.open_us - 1) == Span(whole.open_us, lunch.open_us)
        assert trades.segment(lunch.close_us) == Span(lunch.close_us, whole.close_us)
        for at_us in (lunch.open_us, lunch.close_us - 1):
            assert trades.segment(at_us) is None
            assert not trades.is_open(at_us)
            assert trades.session(at_us) == whole
            assert trades.next_open(at_us) == lunch.close_us


@pytest.mark.parametrize("code", ["XNYS", "XHKG", "XLON", "CMES"])
def test_four_hour_bars_restart_with_each_session_and_cross_lunch(code: str) -> None:
    trades = profile(code)

    for _, whole, _ in days_of_2024(code):
        opens = list(range(whole.open_us, whole.close_us, H4_US))
        expected = [Span(o, min(o + H4_US, whole.close_us)) for o in opens]
        assert list(bars(trades, whole, H4_US, anchored=False)) == expected


@pytest.mark.parametrize("code", ["XNYS", "XHKG", "XLON", "CMES"])
def test_anchored_hours_restart_with_each_segment(code: str) -> None:
    trades = profile(code)

    for _, whole, lunch in days_of_2024(code):
        segments = (
            [whole]
            if lunch is None
            else [Span(whole.open_us, lunch.open_us), Span(lunch.close_us, whole.close_us)]
        )
        for segment in segments:
            opens = range(segment.open_us, segment.close_us, HOUR_US)
            expected = [Span(o, min(o + HOUR_US, segment.close_us)) for o in opens]
            assert list(bars(trades, segment, HOUR_US, anchored=True)) == expected


@pytest.mark.parametrize(
    ("code", "grain_min"), [("XNYS", 30), ("XHKG", 30), ("XLON", 30), ("CMES", 60)]
)
def test_every_bound_is_a_multiple_of_the_grain(code: str, grain_min: int) -> None:
    grain_us = profile(code).grain_us

    assert grain_us == grain_min * MINUTE_US
    for _, whole, lunch in days_of_2024(code):
        assert not any(at_us % grain_us for at_us in (*whole, *(lunch or ())))


def test_fx_days_end_at_five_in_new_york_through_both_changes() -> None:
    """22:00 UTC in winter, 21:00 in summer; every session has 24 hours."""
    at_us, last_us = us("2024-01-01T00:00"), us("2025-01-01T00:00")
    sessions = []
    while at_us < last_us:
        session = FX_WEEK.session(at_us)
        if session is None:
            at_us = FX_WEEK.next_open(at_us)
            continue
        sessions.append(session)
        at_us = session.close_us
    closings = [(a.close_us, b.open_us - a.close_us) for a, b in pairwise(sessions)]
    weekends = {at_us: length_us / HOUR_US for at_us, length_us in closings if length_us}

    summer = Span(us("2024-03-10T21:00"), us("2024-11-01T21:00"))
    assert len(sessions) == 262 + 1  # weekdays of 2024, and the day that ends on 1 January 2025
    assert all(close_us - open_us == 24 * HOUR_US for open_us, close_us in sessions)
    assert {close_us % DAY_US for _, close_us in sessions} == {21 * HOUR_US, 22 * HOUR_US}
    assert all(
        (close_us % DAY_US == 21 * HOUR_US) == (summer.open_us < close_us <= summer.close_us)
        for _, close_us in sessions
    )
    assert len(weekends) == 52
    assert {at_us: hours for at_us, hours in weekends.items() if hours != 48} == {
        us("2024-03-08T22:00"): 47,
        us("2024-11-01T21:00"): 49,
    }
