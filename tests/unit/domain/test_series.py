"""Finality, lateness, the clock and roll-up of one series."""

import json
from dataclasses import replace

import pytest

from app.domain.exchange_sessions import profile
from app.domain.series import NEVER, Series
from tests.unit.domain.tape import MINUTE_US, SECOND_US, Tape, part, rungs
from tests.unit.domain.ticks import us

LADDER = rungs("M1", "M5", "H1")


def tape() -> Tape:
    return Tape(LADDER)


def test_a_bar_is_final_when_stream_time_reaches_its_close_and_grace() -> None:
    """Reaches: one microsecond before, it is provisional (S5)."""
    #  trades   10:00:10           10:01:29.999999    10:01:30
    #  M1 10:00 [provisional...............closed....)[final
    fed = tape()
    fed.trade("10:00:10")
    fed.trade("10:01:29.999999")
    assert fed.told("revision", "reason", frame="M1") == [
        ("M1", "10:00", 0, "live"), ("M1", "10:01", 0, "live"),
    ]  # fmt: skip

    fed.trade("10:01:30")
    assert fed.told("revision", "reason", frame="M1") == [
        ("M1", "10:00", 1, "final"), ("M1", "10:01", 0, "live"),
    ]  # fmt: skip


def test_finals_come_base_first_and_each_once() -> None:
    fed = tape()
    for clock in ("10:00:10", "10:04:00", "11:00:30", "11:00:31", "11:00:32"):
        fed.trade(clock)

    assert [row[:2] for row in fed.revisions()] == [
        ("M1", "10:00"), ("M1", "10:04"), ("M5", "10:00"), ("H1", "10:00"),
    ]  # fmt: skip


def test_each_emission_knows_when_its_bar_closes() -> None:
    fed = tape()
    fed.trade("10:07:10")

    assert fed.told("close_us") == [
        ("M1", "10:07", "10:08"), ("M5", "10:05", "10:10"), ("H1", "10:00", "11:00"),
    ]  # fmt: skip


def test_an_emission_is_never_changed_again() -> None:
    fed = tape()
    fed.trade("10:00:10", 5)
    [first, *_] = fed.series.emissions()
    fed.trade("10:00:20", 7)

    assert (first.bar.close, first.bar.trades) == (5, 1)


def test_bars_that_hold_the_beginning_of_a_series_are_partial() -> None:
    """And no others, whatever comes late (S14)."""
    fed = tape()
    for clock in ("10:07:10", "10:08:00", "10:12:00", "10:07:59"):
        fed.trade(clock)

    assert fed.told("partial", "revision") == [
        ("M1", "10:07", True, 1), ("M1", "10:08", False, 1), ("M5", "10:05", True, 1),
        ("M1", "10:07", True, 2), ("M5", "10:05", True, 2),
        ("M1", "10:12", False, 0), ("M5", "10:10", False, 0), ("H1", "10:00", True, 0),
    ]  # fmt: skip


def test_a_series_that_began_earlier_than_it_seemed_is_partial_there() -> None:
    """What came on time, but before the first, takes the mark; the record of it makes that new."""
    fed = tape()
    fed.trade("10:05:10")
    assert fed.told("partial")[:2] == [("M1", "10:05", True), ("M5", "10:05", True)]
    fed.trade("10:04:50")

    assert fed.told("partial", "noted_offset") == [
        ("M1", "10:04", True, -1), ("M1", "10:05", False, 1),
        ("M5", "10:00", True, -1), ("M5", "10:05", False, 1), ("H1", "10:00", True, 1),
    ]  # fmt: skip


def test_a_late_trade_revises_each_final_bar_that_holds_it() -> None:
    """Reason late, all values new; what is still open is only newer (S6)."""
    fed = tape()
    for clock, price in (("10:00:10", 5), ("10:06:00", 6)):
        fed.trade(clock, price)
    fed.told()
    fed.trade("10:00:20", 8)

    assert fed.told("revision", "reason", "close", "late") == [
        ("M1", "10:00", 2, "late", 8, 1), ("M5", "10:00", 2, "late", 8, 1),
        ("H1", "10:00", 0, "live", 6, 1),
    ]  # fmt: skip


def test_a_late_trade_into_an_interval_without_a_bar_is_a_revision() -> None:
    fed = tape()
    for clock in ("10:00:10", "10:06:00"):
        fed.trade(clock)
    fed.told()
    fed.trade("10:03:20", 8)

    assert fed.revisions("M1") == [("M1", "10:03", 2, "late", 8)]


def test_bars_above_that_were_over_before_a_late_trade_made_them_are_final_at_once() -> None:
    fed = tape()
    fed.trade("10:20:00")
    assert fed.series.revise(part(us("10:03:20"), 8), us("10:20:00"))

    assert fed.revisions() == [("M1", "10:03", 2, "late", 8), ("M5", "10:00", 1, "final", 8)]


@pytest.mark.parametrize(("stream", "used"), [("11:01:00", True), ("11:01:00.000001", False)])
def test_a_late_trade_changes_bars_for_as_long_as_they_may_be_revised(
    stream: str, *, used: bool
) -> None:
    """An hour from close_time on, inclusive."""
    fed = tape()
    for clock in ("10:00:10", stream):
        fed.trade(clock)
    fed.told()

    assert fed.series.holds(us("10:00:00")) == used
    assert fed.trade("10:00:20", 8) == used
    assert fed.revisions("M1") == ([("M1", "10:00", 2, "late", 8)] if used else [])


def test_a_trade_late_for_a_bar_that_is_final_is_not_late_for_one_that_is_open() -> None:
    fed = tape()
    for clock in ("10:00:10", "10:02:00", "10:00:30"):
        fed.trade(clock)

    assert fed.told("revision", "late") == [
        ("M1", "10:00", 1, 0), ("M1", "10:00", 2, 1), ("M1", "10:02", 0, 0),
        ("M5", "10:00", 0, 1), ("H1", "10:00", 0, 1),
    ]  # fmt: skip


def test_repeats_are_counted_in_the_bar_there_is_and_make_none() -> None:
    """A part without trades is lineage (S18)."""
    fed = tape()
    fed.trade("10:00:10", 5)
    for clock in ("10:00:20", "10:03:00"):
        repeat = replace(part(us(clock)), trades=0, volume=0, notional=0, duplicates=1)
        fed.series.fold(replace(repeat, noted_offset=7))

    assert fed.told("duplicates", "trades", "close", "noted_offset") == [
        ("M1", "10:00", 1, 1, 5, 7), ("M5", "10:00", 1, 1, 5, 7), ("H1", "10:00", 1, 1, 5, 7),
    ]  # fmt: skip


def test_a_repeat_of_a_trade_in_a_final_bar_is_told_with_its_next_revision() -> None:
    """One of its own would hold nothing that a chart shows."""
    fed = tape()
    for at in ("10:00:10", "10:06:30"):
        fed.trade(at)
    fed.told()
    repeat = replace(part(us("10:00:10")), trades=0, volume=0, notional=0, duplicates=1)
    fed.series.fold(replace(repeat, noted_offset=7))
    assert fed.told("duplicates", "last_offset", "noted_offset") == [("H1", "10:00", 1, 1, 7)]
    assert {bar.reason for _, _, bar in fed.series.save() if bar and bar.revision} == {"final"}
    fed.trade("10:00:20")

    assert fed.told("revision", "duplicates")[:2] == [("M1", "10:00", 2, 1), ("M5", "10:00", 2, 1)]


def test_a_bar_of_prints_that_count_for_no_price_is_a_bar() -> None:
    """Final like any other, and no empty one (S9)."""
    fed = tape()
    unpriced = dict.fromkeys(("opened", "closed", "open", "high", "low", "close"))
    fed.series.fold(replace(part(us("10:00:10")), **unpriced))
    fed.series.advance(us("10:05:30"))

    assert fed.told("revision", "trades", "volume", "prices", frame="M5") == [
        ("M5", "10:00", 1, 1, 1, (None,) * 4)
    ]


# The clock


def test_the_clock_closes_an_idle_bar_when_its_time_is_over() -> None:
    """Stream time goes on from the last trade as the clock does from its arrival (S7)."""
    #  event time   10:00:50 ... 40 s ... 10:01:30
    #  append time  12:00:05 ............ 12:00:45
    fed = tape()
    fed.trade("10:00:50", appended="12:00:05")
    fed.told()
    fed.series.clock(us("12:00:44.999999"))
    assert fed.revisions() == []

    fed.series.clock(us("12:00:45"))
    assert fed.revisions() == [("M1", "10:00", 1, "final", 100)]
    assert fed.series.stream_us == us("10:01:30")


def test_what_comes_after_the_clock_closed_its_bar_is_late() -> None:
    fed = tape()
    fed.trade("10:00:50", appended="12:00:05")
    fed.series.clock(us("12:00:45"))
    fed.told()
    fed.trade("10:00:55", 7, appended="12:00:46")

    assert fed.revisions("M1") == [("M1", "10:00", 2, "late", 7)]


def test_the_clock_closes_each_bar_at_the_time_it_is_due() -> None:
    """And so every bar of an idle series, in order, with one tick each."""
    fed = tape()
    fed.trade("10:03:50", appended="12:00:05")
    fed.told()
    closed = []
    while (due_us := fed.series.due_us()) is not None:
        fed.series.clock(due_us - 1)
        assert fed.revisions() == []
        assert fed.series.due_us() == due_us
        fed.series.clock(due_us)
        closed.append((due_us - us("12:00:05"), *fed.revisions()))

    assert closed == [
        (40 * SECOND_US, ("M1", "10:03", 1, "final", 100)),
        (100 * SECOND_US, ("M5", "10:00", 1, "final", 100)),
        (56 * MINUTE_US + 40 * SECOND_US, ("H1", "10:00", 1, "final", 100)),
    ]


@pytest.mark.parametrize("now", ["12:00:04", "12:00:05", "09:00:00"])
def test_a_clock_behind_the_last_tick_changes_nothing(now: str) -> None:
    fed = tape()
    fed.trade("10:00:50", appended="12:00:05")
    before = fed.series.state()
    fed.series.clock(us(now))

    assert fed.series.state() == before


def test_the_clock_counts_from_the_last_tick_wherever_its_own_time_is() -> None:
    """A tick out of order is a sign of life: it does not move time, but holds the clock."""
    fed = tape()
    fed.trade("10:00:50", appended="12:00:00")
    fed.trade("10:00:40", appended="12:00:30")
    fed.series.clock(us("12:00:50"))

    assert fed.series.stream_us == us("10:01:10")


def test_clocks_are_not_counted_twice() -> None:
    fed = tape()
    fed.trade("10:00:50", appended="12:00:00")
    for now in ("12:00:10", "12:00:20", "12:00:15", "12:00:20"):
        fed.series.clock(us(now))

    assert fed.series.stream_us == us("10:01:10")


def test_a_tick_that_was_appended_before_the_clock_does_not_move_the_clock_back() -> None:
    fed = tape()
    fed.trade("10:00:50", appended="12:00:00")
    fed.series.clock(us("12:00:10"))
    fed.trade("10:00:51", appended="12:00:05")
    fed.series.clock(us("12:00:12"))

    assert fed.series.stream_us == us("10:01:02")


def test_a_series_without_a_tick_has_no_clock() -> None:
    fed = tape()
    fed.series.clock(us("12:00:00"))

    assert (fed.series.stream_us, fed.series.due_us()) == (NEVER, None)
    assert fed.told() == []


def test_without_append_times_there_is_nothing_for_the_clock_to_count_from() -> None:
    series = Series(LADDER)
    series.fold(part(us("10:00:10")))
    series.advance(us("10:00:10"))
    series.clock(us("23:00:00"))

    assert (series.stream_us, series.due_us()) == (us("10:00:10"), None)


# Roll-up and memory


def test_longer_bars_wait_for_their_turn_but_their_finals_do_not() -> None:
    fed = tape()
    fed.trade("10:00:10")
    assert [e.rung for e in fed.series.emissions(base_only=True)] == [0]
    fed.trade("10:05:30")
    assert [(e.rung, e.bar.revision) for e in fed.series.emissions(base_only=True)] == [
        (0, 1), (1, 1), (0, 0),
    ]  # fmt: skip
    assert fed.told("trades") == [("M5", "10:05", 1), ("H1", "10:00", 2)]
    assert fed.told() == []


def test_what_was_saved_is_saved_once() -> None:
    fed = tape()
    fed.trade("10:00:10")
    assert len(list(fed.series.save())) == 3
    assert list(fed.series.save()) == []
    fed.trade("10:01:40")
    assert sorted((rung, bar.open_us) for rung, _, bar in fed.series.save() if bar) == [
        (0, us("10:00:00")), (0, us("10:01:00")), (1, us("10:00:00")), (2, us("10:00:00")),
    ]  # fmt: skip


def test_bars_are_forgotten_when_nothing_can_need_them() -> None:
    """An M1 is needed as long as its M5 may be revised: 5 minutes, an hour and a second."""
    fed = tape()
    fed.trade("10:00:10")
    list(fed.series.save())
    fed.trade("11:06:01")
    assert [row for row in fed.series.save() if row[2] is None] == []
    fed.trade("11:06:01.000001")

    assert [row for row in fed.series.save() if row[2] is None] == [(0, us("10:00:00"), None)]


def test_a_restored_series_goes_on_as_if_it_had_never_stopped() -> None:
    fed, other = tape(), tape()
    fed.trade("10:00:10", 5, appended="12:00:00")
    fed.told()
    other.series.restore_state(json.loads(json.dumps(fed.series.state())))
    for rung, _, bar in fed.series.save():
        assert bar is not None
        other.series.restore(rung, bar)

    assert other.series.due_us() == fed.series.due_us() == us("12:01:20")
    other.series.clock(us("12:01:20"))
    assert other.told("revision", "partial") == [("M1", "10:00", 1, True)]


def test_a_session_s_bars_end_with_it_and_are_final_then() -> None:
    """Half past eight in the evening in London is four in the afternoon in New York (S11)."""
    built = rungs("M1", "M30", "H4", "D1", profile=profile("XNYS"))
    fed = Tape(built)
    #  session     14:30         18:30      21:00
    #  H4          [ ............ )[ ........ )
    for clock, price in (("14:30:00", 1), ("18:29:59", 2), ("20:59:59", 3), ("21:00:30", 4)):
        fed.trade(clock, price)

    longer = [row for row in fed.told("revision", "close_us", "prices") if row[0] in {"H4", "D1"}]
    assert longer == [
        ("H4", "14:30", 1, "18:30", (1, 2, 1, 2)),
        ("H4", "18:30", 1, "21:00", (3, 3, 3, 3)),
        ("D1", "14:30", 1, "21:00", (1, 3, 1, 3)),
    ]


def test_a_trade_after_hours_is_in_no_bar_of_a_session() -> None:
    fed = Tape(rungs("M1", "M30", "H4", "D1", profile=profile("XNYS")))
    fed.trade("21:00:00")
    fed.trade("12:00:00")

    assert {row[0] for row in fed.told()} == {"M1", "M30"}


def test_a_roll_up_is_of_all_children_in_their_order() -> None:
    """M5 of M1, H1 of M5, whatever the order of arrival within grace (S12)."""
    fed = Tape(rungs("M1", "M5", "H1", grace_s=600))
    for clock, price in (("10:04:00", 4), ("10:00:00", 9), ("10:02:00", 1), ("10:05:00", 7)):
        fed.trade(clock, price)

    assert fed.told("prices", "trades")[4:] == [
        ("M5", "10:00", (9, 9, 1, 4), 3), ("M5", "10:05", (7, 7, 7, 7), 1),
        ("H1", "10:00", (9, 9, 1, 7), 4),
    ]  # fmt: skip


def test_a_bar_that_is_not_there_is_a_broken_caller() -> None:
    with pytest.raises(AssertionError, match="no bar at 5 of rung 1"):
        tape().series._bars.current(1, 5)
