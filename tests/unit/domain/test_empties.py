"""Intervals without a trade: omitted, carried or null (S8)."""

import json
from dataclasses import replace

import pytest

from app.domain.empties import FILL_LIMIT, Empties
from app.domain.exchange_sessions import profile
from app.domain.sessions import FX_WEEK
from tests.unit.domain.tape import MINUTE_US, Tape, clock, part, rungs
from tests.unit.domain.ticks import us

LADDER = rungs("M1", "M5", "H1")
NONE = (None,) * 4
CARRY = Empties.CARRY


def tape(empties: Empties = CARRY) -> Tape:
    return Tape(LADDER, empties)


@pytest.mark.parametrize(
    ("empties", "prices"), [(Empties.OMIT, None), (Empties.NULL, NONE), (CARRY, (7,) * 4)]
)
def test_an_interval_without_a_trade_is_what_its_series_makes_of_it(
    empties: Empties, prices: tuple[int, ...] | None
) -> None:
    #  trades   10:00:10 5, 10:00:20 7         10:03:10
    #  M1       [  5..7  )[ empty )[ empty )[
    fed = tape(empties)
    for at, price in (("10:00:10", 5), ("10:00:20", 7), ("10:03:40", 9)):
        fed.trade(at, price)

    first, *rest, _ = fed.told("revision", "reason", "trades", "prices", frame="M1")
    assert first == ("M1", "10:00", 1, "final", 2, (5, 7, 5, 7))
    between = [("M1", at, 1, "final", 0, prices) for at in ("10:01", "10:02")]
    assert rest == ([] if prices is None else between)


def test_an_empty_bar_has_no_volume_and_no_offsets() -> None:
    fed = tape()
    for at in ("10:00:10", "10:02:40"):
        fed.trade(at)

    fields = ("volume", "notional", "first_offset", "last_offset", "partial", "late")
    assert fed.told(*fields, frame="M1")[1] == ("M1", "10:01", 0, 0, -1, -1, False, 0)


def test_an_empty_bar_is_final_when_its_close_and_grace_are_over() -> None:
    fed = tape()
    for at in ("10:00:10", "10:02:29.999999"):
        fed.trade(at)
    assert [row[1] for row in fed.revisions("M1")] == ["10:00"]
    fed.trade("10:02:30")

    assert fed.revisions("M1") == [("M1", "10:01", 1, "final", 100)]


def test_the_clock_makes_the_empty_bars_of_an_idle_series() -> None:
    """It is asked for one as soon as each is due, though no bar is open (S7)."""
    fed = tape()
    fed.trade("10:00:50", 7, appended="12:00:00")
    fed.told()
    for minute in (1, 2, 3):
        assert fed.series.due_us() == us(f"12:0{minute - 1}:40")
        fed.series.clock(us(f"12:0{minute - 1}:40"))
        assert fed.revisions() == [("M1", f"10:0{minute - 1}", 1, "final", 7)]


def test_longer_intervals_are_filled_as_well() -> None:
    fed = tape()
    for at, price in (("10:01:10", 7), ("10:16:00", 9)):
        fed.trade(at, price)

    assert fed.told("trades", "prices", frame="M5")[:3] == [
        ("M5", "10:00", 1, (7,) * 4), ("M5", "10:05", 0, (7,) * 4), ("M5", "10:10", 0, (7,) * 4),
    ]  # fmt: skip


def test_empty_children_have_no_part_in_a_roll_up() -> None:
    """Else 10:05 would open at what 10:00 left behind (S12)."""
    fed = tape()
    for at, price in (("10:01:10", 7), ("10:07:00", 9), ("10:11:00", 3)):
        fed.trade(at, price)

    assert fed.told("prices", "trades", frame="M5")[1] == ("M5", "10:05", (9, 9, 9, 9), 1)


def test_nothing_is_filled_before_the_first_trade() -> None:
    """Nor behind a late one that was before it."""
    fed = tape()
    for at in ("10:20:00", "10:03:00"):
        fed.trade(at)

    assert fed.revisions() == [("M1", "10:03", 2, "late", 100), ("M5", "10:00", 1, "final", 100)]


def test_a_late_trade_fills_an_empty_bar_and_what_carries_its_close() -> None:
    #  trades   10:00 7                 10:03 late 9      10:06
    #  M1       [ 7 )[ 7 )[ 7 )[ 9 )[ 9 )[ 9 )[
    fed = tape()
    for at, price in (("10:00:10", 7), ("10:06:00", 1)):
        fed.trade(at, price)
    fed.told()
    fed.trade("10:03:10", 9)

    assert fed.revisions() == [
        ("M1", "10:03", 2, "late", 9), ("M1", "10:04", 2, "late", 9),
        ("M5", "10:00", 2, "late", 9),
    ]  # fmt: skip


def test_what_carries_a_late_close_is_revised_up_to_the_next_price_in_each_timeframe() -> None:
    fed = tape()
    for at, price in (("10:00:10", 7), ("10:17:00", 1), ("10:23:00", 2)):
        fed.trade(at, price)
    fed.told()
    fed.trade("10:03:10", 9)

    assert [row[1] for row in fed.told("revision", frame="M1") if row[2]] == [
        clock(us("10:03:00") + n * MINUTE_US) for n in range(14)
    ]
    fed.trade("10:04:10", 8)
    assert fed.revisions("M5") == [
        ("M5", "10:00", 3, "late", 8), ("M5", "10:05", 3, "late", 8),
        ("M5", "10:10", 3, "late", 8),
    ]  # fmt: skip


def test_a_late_trade_that_is_not_the_last_of_its_bar_changes_no_other() -> None:
    fed = tape()
    for at, price in (("10:00:10", 7), ("10:04:00", 1)):
        fed.trade(at, price)
    fed.told()
    fed.trade("10:00:05", 9)

    assert fed.revisions("M1") == [("M1", "10:00", 2, "late", 7)]


def test_a_bar_without_a_close_of_its_own_hands_on_the_one_before() -> None:
    """Its prints count for no price (S9); the late one changes what is carried across it."""
    #  M1       [ 7 )[ no price )[ carried )[ 1
    fed = tape()
    fed.trade("10:00:10", 7)
    odd = dict.fromkeys(("opened", "closed", "open", "high", "low", "close"))
    fed.series.fold(replace(part(us("10:01:10"), offset=1), **odd))
    fed.trade("10:03:40", 1)
    assert fed.told("prices", frame="M1")[1:3] == [("M1", "10:01", NONE), ("M1", "10:02", (7,) * 4)]
    fed.trade("10:00:20", 8)

    assert fed.told("revision", "prices", frame="M1") == [
        ("M1", "10:00", 2, (7, 8, 7, 8)), ("M1", "10:02", 2, (8,) * 4),
    ]  # fmt: skip


def test_nulls_stay_null_whatever_comes_late() -> None:
    fed = tape(Empties.NULL)
    for at in ("10:00:10", "10:04:00"):
        fed.trade(at)
    fed.told()
    fed.trade("10:01:05", 9)

    assert fed.revisions("M1") == [("M1", "10:01", 2, "late", 9)]


def test_no_bar_is_made_outside_a_session() -> None:
    """FX rests from Friday to Sunday 21:00 UTC in summer (S11)."""
    fed = Tape(rungs("M1", "H1", "D1", profile=FX_WEEK), CARRY)
    friday, sunday = (
        us("20:58:10") + 11 * 24 * 60 * MINUTE_US,
        us("21:02:00") + 13 * 1440 * MINUTE_US,
    )
    fed.trade(friday, 7)
    fed.trade(sunday, 9)

    assert fed.revisions() == [
        ("M1", "15. 20:58", 1, "final", 7), ("M1", "15. 20:59", 1, "final", 7),
        ("M1", "17. 21:00", 1, "final", 7), ("H1", "15. 20:00", 1, "final", 7),
        ("D1", "14. 21:00", 1, "final", 7),
    ]  # fmt: skip


def test_lunch_is_no_interval_without_a_trade() -> None:
    """Hong Kong rests from 4:00 to 5:00 UTC."""
    fed = Tape(rungs("M1", "M30", profile=profile("XHKG")), Empties.NULL)
    for at in ("03:58:00", "05:01:40"):
        fed.trade(at)

    assert [row[:2] for row in fed.revisions()] == [
        ("M1", "03:58"), ("M1", "03:59"), ("M1", "05:00"), ("M30", "03:30"),
    ]  # fmt: skip


def test_a_trade_outside_a_session_is_followed_by_the_next_session() -> None:
    fed = Tape(rungs("M1", "M30", profile=profile("XHKG")), CARRY)
    for at, price in (("04:10:00", 7), ("05:02:00", 9)):
        fed.trade(at, price)

    assert fed.revisions("M1") == [
        ("M1", "04:10", 1, "final", 7), ("M1", "05:00", 1, "final", 7),
    ]  # fmt: skip


def test_a_jump_of_years_fills_a_day_of_minutes() -> None:
    """After `FILL_LIMIT` of each timeframe the series counts as gone."""
    fed = Tape(rungs("M1", "D1"), CARRY)
    fed.trade("10:00:00", 7)
    fed.told()
    fed.trade(us("10:00:00") + 3650 * 1440 * MINUTE_US, 9)

    told = fed.revisions()
    minutes, days = ([row for row in told if row[0] == frame] for frame in ("M1", "D1"))
    assert (len(minutes), len(days)) == (1 + FILL_LIMIT, 1 + FILL_LIMIT)
    assert minutes[-1][1] == "5. 10:00"


def test_after_a_jump_intervals_are_filled_again() -> None:
    fed = tape()
    later = us("10:00:00") + 30 * 1440 * MINUTE_US
    for at, price in ((us("10:00:00"), 7), (later, 9), (later + 3 * MINUTE_US, 1)):
        fed.trade(at, price)

    assert fed.revisions("M1")[-2:] == [
        ("M1", "3. 10:00", 1, "final", 9), ("M1", "3. 10:01", 1, "final", 9),
    ]  # fmt: skip


@pytest.mark.parametrize("names", [("M1",), ("M1", "M5")])
def test_a_late_trade_of_a_series_that_was_gone_is_followed_by_empty_bars_again(
    names: tuple[str, ...],
) -> None:
    """In each timeframe, up to now."""
    fed = Tape(rungs(*names, revise_for_s=864_000), CARRY)
    later = us("10:00:00") + 6 * 1440 * MINUTE_US
    for at, price in ((us("10:00:00"), 7), (later, 9)):
        fed.trade(at, price)
    fed.told()
    fed.trade(later - 7 * MINUTE_US, 3)

    assert fed.revisions() == [
        ("M1", "10. 09:53", 2, "late", 3),
        *(("M1", f"10. 09:{minute}", 1, "final", 3) for minute in range(54, 59)),
        *[("M5", "10. 09:50", 1, "final", 3)][: len(names) - 1],
    ]


def test_a_series_that_is_gone_asks_for_no_clock() -> None:
    fed = tape()
    fed.trade("10:00:50", appended="10:00:50")
    fed.series.clock(us("10:00:50") + 90 * 24 * 60 * MINUTE_US)

    assert fed.series.due_us() is None
    assert len(fed.revisions("H1")) == 1 + FILL_LIMIT


def test_what_is_carried_outlives_memory() -> None:
    """Bars are kept for an hour or two; the close before a night is kept longer."""
    fed = tape()
    fed.trade("10:00:10", 7)
    fed.told()
    far = us("10:00:50") + 40 * 1440 * MINUTE_US
    fed.trade(far, 9)
    list(fed.series.save())
    fed.told()
    fed.trade(far + MINUTE_US, 8)
    fed.trade(far + 5 * MINUTE_US, 8)
    list(fed.series.save())
    fed.told()

    assert fed.series.replace(far - far % MINUTE_US, None, "cancel")
    assert fed.told("revision", "reason", "prices", frame="M1") == [
        ("M1", "13. 10:00", 2, "cancel", (7,) * 4)
    ]


def test_a_restart_forgets_neither_how_far_it_filled_nor_what_it_carries() -> None:
    fed, other = tape(), tape()
    fed.trade("10:00:50", 7, appended="12:00:00")
    fed.series.clock(us("12:02:40"))
    fed.told()
    other.series.restore_state(json.loads(json.dumps(fed.series.state())))
    for rung, _, bar in fed.series.save():
        assert bar is not None
        other.series.restore(rung, bar)

    assert other.series.due_us() == us("12:03:40")
    other.series.clock(us("12:03:40"))
    assert other.revisions() == [("M1", "10:03", 1, "final", 7)]


def test_a_new_policy_leaves_the_bars_alone_that_another_made() -> None:
    """Carried, then omitted, then carried again: the holes are filled late, and nothing else."""
    ladder, rows = rungs("M1"), {}
    fed = Tape(ladder, CARRY)
    fed.trade("10:00:10", 7)
    fed.trade("10:01:30", 8)
    for empties, clocks in ((Empties.OMIT, ("10:02:40", "10:04:10")), (CARRY, ("10:05:30",))):
        rows.update({open_us: bar for _, open_us, bar in fed.series.save()})
        state = fed.series.state()
        fed = Tape(ladder, empties)
        fed.series.restore_state(json.loads(json.dumps(state)))
        for bar in rows.values():
            fed.series.restore(0, bar)
        for at in clocks:
            fed.trade(at, 9)

    assert fed.told("revision", "trades", "close") == [
        ("M1", "10:03", 1, 0, 9), ("M1", "10:04", 1, 1, 9), ("M1", "10:05", 0, 1, 9),
    ]  # fmt: skip


def test_prints_without_a_price_are_not_what_is_carried_out_of_memory() -> None:
    """The last minute of a session had prints, but no close (S9)."""
    fed = Tape(rungs("M1", revise_for_s=0, profile=profile("XHKG")), CARRY)
    fed.trade("07:58:00", 7)
    odd = dict.fromkeys(("opened", "closed", "open", "high", "low", "close"))
    fed.series.fold(replace(part(us("07:59:10"), offset=1), **odd))
    tomorrow = us("01:32:40") + 1440 * MINUTE_US
    fed.series.advance(us("08:10:00"))
    list(fed.series.save())
    fed.told()
    fed.trade(tomorrow, 9)

    assert fed.revisions() == [
        ("M1", "5. 01:30", 1, "final", 7), ("M1", "5. 01:31", 1, "final", 7),
    ]  # fmt: skip


def test_each_night_carries_the_close_of_its_own_day() -> None:
    fed = Tape(rungs("M1", revise_for_s=0, profile=profile("XHKG")), CARRY)
    for day, price in enumerate((7, 8, 9)):
        fed.trade(us("01:31:40") + day * 1440 * MINUTE_US, price)
        fed.series.advance(us("08:10:00") + day * 1440 * MINUTE_US)
        list(fed.series.save())

    told = fed.revisions()
    assert [row for row in told if row[1].endswith("01:30")] == [
        ("M1", "5. 01:30", 1, "final", 7), ("M1", "6. 01:30", 1, "final", 8),
    ]  # fmt: skip
