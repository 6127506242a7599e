"""Which bar holds an instant, whatever the profile."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.exchange_sessions import EXCHANGES, BeyondSchedule, profile, schedule
from app.domain.sessions import ALWAYS, DAY_US, FX_WEEK, HOUR_US, Profile, Span
from app.domain.timeframes import timeframe

PROFILES = ["24x7", "24x5", "XNYS", "XHKG", "XLON", "CMES"]
WIDTHS = ["S1", "M1", "M7", "M15", "H1", "H3", "H4", "H6", "D1"]
SHORTER = ["S1", "M1", "M7", "M15", "H1", "H3"]
SESSION_BARS = ["H4", "H6", "D1"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _schedules_are_read() -> None:
    """A property's first example would else be too slow for hypothesis."""
    for name in PROFILES:
        profile(name).session(us("2024-06-03T15:00"))


def us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def bar(
    name: str, width: str, at: str, *, anchored: bool = False, day: str = "2024-06-03"
) -> tuple[str, str] | None:
    """Return open and close of the bar that holds a time of `day`, as HH:MM of UTC."""
    span = profile(name).span(us(f"{day}T{at}"), timeframe(width).width_us, anchored=anchored)
    if span is None:
        return None
    open_at, close_at = (EPOCH + timedelta(microseconds=at_us) for at_us in span)
    return f"{open_at:%H:%M}", f"{close_at:%H:%M}"


times = st.integers(us("1997-02-01T00:00"), us("2040-01-01T00:00"))
"""What all of `PROFILES` know."""
names = st.sampled_from(PROFILES)


def any_profile(name: str) -> Profile:
    return profile(name)


profiles = names.map(any_profile)


@pytest.mark.parametrize(
    ("width", "anchored", "at", "expected"),
    [
        ("M1", False, "10:01:00", ("10:01", "10:02")),
        ("H4", False, "15:59", ("12:00", "16:00")),
        ("D1", False, "23:59", ("00:00", "00:00")),
        ("H5", False, "04:59", ("02:00", "07:00")),  # epoch-aligned, through midnight
        ("H5", True, "04:59", ("00:00", "05:00")),
        ("H5", True, "23:00", ("20:00", "00:00")),  # cut at midnight
        ("D1", True, "23:59", ("00:00", "00:00")),
    ],
)
def test_without_sessions_bars_are_aligned_to_the_epoch(
    width: str,
    anchored: bool,
    at: str,
    expected: tuple[str, str],
) -> None:
    assert bar("24x7", width, at, anchored=anchored) == expected


@given(times, st.sampled_from([*WIDTHS, "H5", "D3", "D7"]))
def test_24x7_is_what_a_timeframe_alone_says(at_us: int, width: str) -> None:
    frame = timeframe(width)
    open_us = frame.open_of(at_us)

    assert ALWAYS.span(at_us, frame.width_us, anchored=False) == (open_us, open_us + frame.width_us)


@pytest.mark.parametrize(
    ("width", "anchored", "at", "expected"),
    [
        #  session: [13:30 ------------------------- 20:00)
        ("D1", False, "13:30", ("13:30", "20:00")),
        ("D1", False, "13:29", None),
        ("D1", False, "20:00", None),
        ("H4", False, "17:29", ("13:30", "17:30")),
        ("H4", False, "17:30", ("17:30", "20:00")),
        ("H4", False, "20:00", None),
        ("H1", False, "13:30", ("13:00", "14:00")),
        ("H1", False, "21:10", ("21:00", "22:00")),
        ("H1", True, "13:30", ("13:30", "14:30")),
        ("H1", True, "19:59", ("19:30", "20:00")),  # cut at the close
        ("H1", True, "13:29", ("13:00", "13:30")),  # pre-market, cut at the open
        ("H1", True, "20:00", ("20:00", "21:00")),
        ("H3", True, "20:00", ("20:00", "21:00")),  # post-market: 18:00 to 21:00, from the close
        ("H3", True, "21:00", ("21:00", "00:00")),
    ],
)
def test_bars_of_new_york(
    width: str,
    anchored: bool,
    at: str,
    expected: tuple[str, str] | None,
) -> None:
    assert bar("XNYS", width, at, anchored=anchored) == expected


@pytest.mark.parametrize(
    ("width", "anchored", "at", "expected"),
    [
        #  session: [01:30 ---- 04:00)  lunch  [05:00 ---- 08:00)
        ("D1", False, "04:30", ("01:30", "08:00")),
        ("H4", False, "04:30", ("01:30", "05:30")),
        ("H4", False, "05:30", ("05:30", "08:00")),
        ("H1", True, "03:59", ("03:30", "04:00")),
        ("H1", True, "04:10", ("04:00", "05:00")),  # a print in the break
        ("H3", True, "04:10", ("04:00", "05:00")),
        ("H1", True, "05:00", ("05:00", "06:00")),
        ("H1", False, "03:59", ("03:00", "04:00")),
    ],
)
def test_bars_of_hong_kong_and_its_lunch(
    width: str,
    anchored: bool,
    at: str,
    expected: tuple[str, str] | None,
) -> None:
    assert bar("XHKG", width, at, anchored=anchored) == expected


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        ("2024-06-07", "20:59", ("17:00", "21:00")),  # Friday's last
        ("2024-06-07", "21:00", None),
        ("2024-06-09", "20:59", None),
        ("2024-06-09", "21:00", ("21:00", "01:00")),  # Sunday opens Monday's session
        ("2024-01-08", "22:00", ("22:00", "02:00")),  # winter
    ],
)
def test_four_hours_of_fx_count_from_five_in_new_york(
    day: str, at: str, expected: tuple[str, str] | None
) -> None:
    assert bar("24x5", "H4", at, day=day) == expected


@given(profiles, times, st.sampled_from(WIDTHS), st.booleans())
def test_a_bar_holds_what_it_is_asked_for(
    trades: Profile,
    at_us: int,
    width: str,
    anchored: bool,
) -> None:
    span = trades.span(at_us, timeframe(width).width_us, anchored=anchored)

    if span is not None:
        assert span.open_us <= at_us < span.close_us
        assert span.close_us - span.open_us <= timeframe(width).width_us


@given(profiles, times, st.sampled_from(WIDTHS), st.booleans())
def test_every_instant_of_a_bar_has_that_bar_and_bars_do_not_overlap(
    trades: Profile,
    at_us: int,
    width: str,
    anchored: bool,
) -> None:
    width_us = timeframe(width).width_us
    span = trades.span(at_us, width_us, anchored=anchored)

    if span is not None:
        for inside_us in (span.open_us, (span.open_us + span.close_us) // 2, span.close_us - 1):
            assert trades.span(inside_us, width_us, anchored=anchored) == span
        after = trades.span(span.close_us, width_us, anchored=anchored)
        assert after is None or after.open_us == span.close_us


@given(profiles, times, st.sampled_from(SHORTER), st.booleans())
def test_a_short_bar_holds_every_print_and_a_session_bar_those_of_the_session(
    trades: Profile,
    at_us: int,
    width: str,
    anchored: bool,
) -> None:
    assert trades.span(at_us, timeframe(width).width_us, anchored=anchored) is not None
    for longer in SESSION_BARS:
        span = trades.span(at_us, timeframe(longer).width_us, anchored=anchored)
        assert (span is None) == (trades.session(at_us) is None)


@given(profiles, times, st.sampled_from(SESSION_BARS), st.booleans())
def test_a_session_bar_lies_within_its_session(
    trades: Profile,
    at_us: int,
    width: str,
    anchored: bool,
) -> None:
    span, session = (
        trades.span(at_us, timeframe(width).width_us, anchored=anchored),
        trades.session(at_us),
    )

    if span is not None and session is not None:
        assert session.open_us <= span.open_us < span.close_us <= session.close_us
        assert (span.open_us - session.open_us) % timeframe(width).width_us == 0


@given(profiles, times, st.sampled_from(SHORTER))
def test_an_anchored_bar_crosses_no_open_and_no_close(
    trades: Profile, at_us: int, width: str
) -> None:
    span = trades.span(at_us, timeframe(width).width_us, anchored=True)
    stretch = trades.stretch(at_us).span

    assert span is not None
    assert stretch.open_us <= span.open_us < span.close_us <= stretch.close_us


@given(profiles, times)
def test_segments_are_what_breaks_leave_of_a_session(trades: Profile, at_us: int) -> None:
    session, segment = trades.session(at_us), trades.segment(at_us)

    assert trades.is_open(at_us) == (segment is not None)
    if segment is not None:
        assert session is not None
        assert session.open_us <= segment.open_us <= at_us < segment.close_us <= session.close_us
        assert not any(bound % trades.grain_us for bound in (*session, *segment))


@given(profiles, times)
def test_the_next_open_is_the_first_one(trades: Profile, at_us: int) -> None:
    open_us = trades.next_open(at_us)

    assert open_us >= at_us
    segment = trades.segment(open_us)
    assert segment is not None
    assert segment.open_us == open_us
    before = trades.segment(open_us - 1) if open_us > at_us else None
    assert before is None or before.open_us < at_us
    assert trades.next_open(open_us) == open_us


@pytest.mark.parametrize(
    ("name", "at", "open_at"),
    [
        ("24x7", "2024-06-03T00:00", "2024-06-03T00:00"),
        ("24x7", "2024-06-03T00:01", "2024-06-04T00:00"),
        ("24x5", "2024-06-05T12:00", "2024-06-05T21:00"),
        ("24x5", "2024-06-07T12:00", "2024-06-09T21:00"),
        ("24x5", "2024-06-08T12:00", "2024-06-09T21:00"),
        ("XNYS", "2024-06-03T13:30", "2024-06-03T13:30"),
        ("XNYS", "2024-06-03T13:31", "2024-06-04T13:30"),
        ("XNYS", "2024-07-03T17:00", "2024-07-05T13:30"),  # a half day, then a holiday
        ("XHKG", "2024-06-03T03:00", "2024-06-03T05:00"),  # after lunch
        ("CMES", "2024-06-04T22:00", "2024-06-04T22:00"),  # where two sessions touch
        ("CMES", "2024-06-04T21:59", "2024-06-04T22:00"),
    ],
)
def test_closed_time_ends_at_the_next_open(name: str, at: str, open_at: str) -> None:
    assert profile(name).next_open(us(at)) == us(open_at)


@pytest.mark.parametrize("name", PROFILES[1:])
def test_bars_of_several_days_are_for_24x7_alone(name: str) -> None:
    with pytest.raises(ValueError, match=f"profile {name} must be at most a day wide, were 2 days"):
        profile(name).span(us("2024-06-03T15:00"), 2 * DAY_US, anchored=False)


def test_a_profile_is_a_value() -> None:
    assert profile("24x7") is ALWAYS
    assert profile("24x5") is FX_WEEK
    assert profile("XNYS") == profile("XNYS")
    assert len({profile("XNYS"), profile("XNYS"), profile("XLON"), ALWAYS, FX_WEEK}) == 4
    assert [profile(name).name for name in PROFILES] == PROFILES
    assert (ALWAYS.grain_us, FX_WEEK.grain_us) == (DAY_US, HOUR_US)


@pytest.mark.parametrize("name", ["", "NYSE", "xnys", "24/7"])
def test_an_unknown_profile_is_named_with_those_that_are_known(name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"must be 24x7, 24x5, or .* XNYS .*, was {name!r}"
    ) as caught:
        profile(name)
    assert "XHKG" in str(caught.value)


def test_a_schedule_does_not_begin_or_end_with_the_day_it_is_read_on() -> None:
    known = schedule("XNYS")

    assert known.sessions[0] == Span(us("1990-01-02T14:30"), us("1990-01-02T21:00"))
    assert known.sessions[-1] == Span(us("2049-12-31T14:30"), us("2049-12-31T21:00"))
    assert schedule("XHKG").sessions[0].open_us == us("1990-01-02T02:00")  # 1960 is known


def test_a_schedule_is_no_longer_than_its_calendar() -> None:
    """Shanghai's begins in December 1990, and ends with the holidays that were announced."""
    import exchange_calendars  # noqa: PLC0415 - as in the code

    last_day = exchange_calendars.get_calendar("XSHG").bound_max()
    known = schedule("XSHG")

    assert known.sessions[0].open_us == us("1990-12-03T01:30")
    assert 0 < last_day.value // 1000 - known.sessions[-1].open_us + DAY_US < 14 * DAY_US


@pytest.mark.parametrize("at", ["1990-01-02T14:29:59", "2049-12-31T21:00"])
def test_beyond_a_schedule_is_an_error_that_says_how_far_it_goes(at: str) -> None:
    trades = profile("XNYS")
    rule = (
        rf"profile XNYS must be .* 1990-01-02T14:30:00Z to before 2049-12-31T21:00:00Z, .* was {at}"
    )

    for ask in (trades.session, trades.segment, trades.is_open, trades.next_open):
        with pytest.raises(BeyondSchedule, match=rule):
            ask(us(at))
    with pytest.raises(BeyondSchedule):
        trades.span(us(at), DAY_US, anchored=False)
    with pytest.raises(BeyondSchedule, match="was 2049-12-31T21:00:00Z"):
        trades.next_open(us("2049-12-31T15:00"))


def test_every_exchange_of_the_library_can_be_named() -> None:
    """A new version with another list fails here, not at a start."""
    import exchange_calendars  # noqa: PLC0415 - as in the code

    known = set(exchange_calendars.get_calendar_names(include_aliases=False))
    assert known - EXCHANGES == {"24/5", "24/7", "us_futures"}
    assert known >= EXCHANGES


def test_naming_an_exchange_costs_nothing_until_it_is_asked() -> None:
    program = (
        "import sys; from app.domain.exchange_sessions import profile; p = profile('XNYS'); "
        "before = 'pandas' in sys.modules; p.session(1717425000_000000); "
        "print(before, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # fmt: skip # noqa: E501

    assert done.stdout.split() == ["False", "True"]
