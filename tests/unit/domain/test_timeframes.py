from datetime import UTC, datetime
from itertools import pairwise

import pytest

from app.domain.exchange_sessions import profile
from app.domain.sessions import ALWAYS, FX_WEEK, Profile
from app.domain.timeframes import PLACES_KEPT, Ladder, ladder
from tests.unit.domain.tape import HOUR_US, MINUTE_US, SECOND_US, rungs
from tests.unit.domain.ticks import us

DEFAULT = ("M1", "M5", "M15", "H1", "H4", "D1")
WITH_M30 = (*DEFAULT, "M30")


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def tiles(built: Ladder) -> dict[str, str]:
    names = [rung.timeframe.name for rung in built.rungs]
    return {name: names[rung.child] for name, rung in zip(names, built.rungs, strict=True)
            if rung.child >= 0}  # fmt: skip


def test_each_timeframe_is_rolled_up_from_the_widest_that_divides_it() -> None:
    assert tiles(rungs("S1", "S10", "S15", "M1", "M3", "M5")) == {
        "S10": "S1", "S15": "S1", "M1": "S15", "M3": "M1", "M5": "M1",
    }  # fmt: skip
    assert tiles(rungs(*DEFAULT)) == {
        "M5": "M1", "M15": "M5", "H1": "M15", "H4": "H1", "D1": "H4",
    }  # fmt: skip


def test_bars_that_follow_sessions_are_tiled_by_what_ends_where_sessions_do() -> None:
    """New York opens at 9:30: an hour aligned to the epoch crosses it."""
    new_york = profile("XNYS")

    assert tiles(rungs(*DEFAULT, profile=new_york))["H4"] == "M15"
    assert tiles(rungs(*WITH_M30, profile=new_york)) == {
        "M5": "M1", "M15": "M5", "M30": "M15", "H1": "M30", "H4": "M30", "D1": "H4",
    }  # fmt: skip
    assert tiles(rungs("M1", "H1", "D1", profile=new_york))["D1"] == "M1"


def test_anchored_bars_tile_the_day_and_not_what_lunch_shifts() -> None:
    """Hong Kong's second hour after lunch is cut by no session, but crosses the end of its H4."""
    #  9:30       12:00   13:00         16:00   H4   [9:30 ......... 13:30)[13:30 .. 16:00)
    #                                           H1                13:00 [ ....  14:00)
    hong_kong = profile("XHKG")

    assert tiles(rungs("M1", "H1", "H4", profile=hong_kong, anchored=True))["H4"] == "M1"
    assert tiles(rungs("M1", "H1", "D1", profile=hong_kong, anchored=True))["D1"] == "H1"


@pytest.mark.parametrize("names", [WITH_M30, ("M1", "H1", "H2", "H6", "D1"), ("M10", "H3", "H12")])
@pytest.mark.parametrize("name", ["24x7", "24x5", "XHKG", "XNYS"])
@pytest.mark.parametrize("anchored", [False, True])
def test_every_bar_is_made_of_whole_bars_of_its_child(
    names: tuple[str, ...], name: str, *, anchored: bool
) -> None:
    """Five days over a change of daylight saving, each base bar."""
    built = rungs(*names, profile=profile(name), anchored=anchored)
    places = [
        built.places(at_us)
        for at_us in range(
            utc("2024-03-07T00:00"), utc("2024-03-12T00:00"), built.base.timeframe.width_us
        )
    ]

    spans = [{place.rung: place[1:] for place in found} for found in places]
    for found in spans:
        for n, span in found.items():
            child = built.rungs[n].child
            if child in found:
                assert span[0] <= found[child][0] < found[child][1] <= span[1]
            assert n == 0 or child in found
    for n in range(len(names)):
        once = [found[n] for found in spans if n in found]
        for before, after in pairwise(once):
            assert after == before or after[0] >= before[1]


def test_a_place_outside_sessions_is_in_short_bars_alone() -> None:
    built = rungs(*DEFAULT, profile=FX_WEEK)
    saturday, monday = utc("2024-03-09T12:00"), utc("2024-03-11T12:00")

    assert [place.rung for place in built.places(saturday)] == [0, 1, 2, 3]
    assert [place.rung for place in built.places(monday)] == [0, 1, 2, 3, 4, 5]
    assert built.rungs[5].span(saturday) is None


def test_days_of_fx_end_at_17_new_york() -> None:
    """21:00 UTC in summer, 22:00 in winter; Monday begins on Sunday (S11)."""
    built = rungs("M1", "D1", profile=FX_WEEK)

    for inside, opens in (("2024-03-11T12:00", "2024-03-10T21:00"),
                          ("2024-03-08T12:00", "2024-03-07T22:00")):  # fmt: skip
        _, day = built.places(utc(inside))
        assert (day.open_us, day.close_us) == (utc(opens), utc(opens) + 24 * HOUR_US)


def test_times_beyond_a_schedule_are_in_bars_aligned_to_the_epoch_alone() -> None:
    built = rungs(*DEFAULT, profile=profile("XNYS"))

    assert [place.rung for place in built.places(utc("1971-01-04T15:00"))] == [0, 1, 2, 3]
    assert built.next_span(5, utc("2100-01-04T15:00")) is None


def test_what_comes_next_is_in_a_session() -> None:
    #  Friday 17:00 New York [weekend] Sunday 17:00
    built = rungs(*DEFAULT, profile=FX_WEEK)
    friday, sunday = utc("2024-03-15T21:00"), utc("2024-03-17T21:00")

    assert built.next_span(0, friday - MINUTE_US) == (friday - MINUTE_US, friday)
    assert built.next_span(0, friday) == (sunday, sunday + MINUTE_US)
    assert built.next_span(4, friday) == (sunday, sunday + 4 * HOUR_US)


def test_an_hour_that_a_session_begins_in_comes_next_as_a_whole() -> None:
    built = rungs("M1", "M30", "H1", profile=profile("XNYS"))
    closes = utc("2024-03-13T20:00")

    assert built.next_span(0, closes) == (utc("2024-03-14T13:30"), utc("2024-03-14T13:31"))
    assert built.next_span(2, closes) == (utc("2024-03-14T13:00"), utc("2024-03-14T14:00"))


def test_places_are_forgotten_before_they_fill_the_memory() -> None:
    built = rungs("M1", "M5")
    for n in range(PLACES_KEPT + 1):
        built.places(n * MINUTE_US)

    assert len(built._places) == 1
    assert built.places(7 * MINUTE_US) == ((0, 7 * MINUTE_US, 8 * MINUTE_US),
                                           (1, 5 * MINUTE_US, 10 * MINUTE_US))  # fmt: skip


def test_a_close_is_where_the_session_ends_it() -> None:
    built = rungs("M1", "M30", "H4", profile=profile("XNYS"))
    afternoon = built.rungs[2].span(utc("2024-03-13T18:00"))

    assert afternoon == (utc("2024-03-13T17:30"), utc("2024-03-13T20:00"))
    assert built.rungs[2].close_of(afternoon[0]) == afternoon[1]
    assert built.rungs[1].close_of(us("10:00:00")) == us("10:30:00")
    with pytest.raises(AssertionError, match="no H4 bar opens"):
        built.rungs[2].close_of(utc("2024-03-13T22:00"))


def test_a_bar_is_kept_as_long_as_a_parent_may_need_it() -> None:
    grace_us = {"M1": 30 * SECOND_US, "M5": 30 * SECOND_US, "M15": 2 * HOUR_US}
    built = ladder(grace_us, grace_us, HOUR_US)

    kept_us = [rung.keep_us - HOUR_US - SECOND_US for rung in built.rungs]
    assert kept_us == [5 * MINUTE_US, 15 * MINUTE_US, 2 * HOUR_US]


@pytest.mark.parametrize(
    ("names", "known", "anchored", "says"),
    [
        (("M1", "M1"), ALWAYS, False, "at least one and distinct"),
        ((), ALWAYS, False, "at least one and distinct"),
        (("M2", "M5"), ALWAYS, False, "M5 must be a whole multiple of a shorter one"),
        (("M1", "D2"), FX_WEEK, False, "24x5 must be at most a day, was D2"),
        (("H4", "D1"), FX_WEEK, False, "aligned to the epoch in session profile 24x5"),
        (("M7", "M14"), FX_WEEK, True, "aligned to the epoch in session profile 24x5"),
        (("H1", "H4"), profile("XNYS"), False, "H4 must be .* the sessions of XNYS do"),
    ],
)
def test_a_ladder_that_cannot_stand_is_refused(
    names: tuple[str, ...], known: Profile, says: str, *, anchored: bool
) -> None:
    with pytest.raises(ValueError, match=says):
        rungs(*names, profile=known, anchored=anchored)


def test_a_parent_has_at_least_the_grace_of_its_child() -> None:
    with pytest.raises(ValueError, match="grace of M5 must be at least that of M1, was 1 us < 2"):
        ladder(("M1", "M5"), {"M1": 2, "M5": 1}, 0)


def test_days_and_longer_are_aligned_to_the_epoch_without_sessions() -> None:
    built = rungs("H1", "D1", "D3", anchored=True)

    assert [rung.profile for rung in built.rungs] == [None] * 3
    assert tiles(built)["D3"] == "D1"
