"""Corrections, cancels and gaps: changes that no new trade makes (S10, S15)."""

import json
from dataclasses import replace

import pytest

from app.domain.bars import Bar
from app.domain.empties import Empties
from app.domain.holes import HOLES_KEPT, Holes
from app.domain.rollup import Rollup
from app.domain.series import Series
from tests.unit.domain.tape import MINUTE_US, Tape, part, rungs
from tests.unit.domain.ticks import us

LADDER = rungs("M1", "M5", "H1")
NONE = (None,) * 4
TEN = us("10:00:00")


def tape(empties: Empties = Empties.OMIT) -> Tape:
    """Return a series in which M1 10:00 and M5 10:00 are final, H1 is not."""
    fed = Tape(LADDER, empties)
    for at, price in (("10:00:10", 5), ("10:01:10", 9), ("10:06:00", 6)):
        fed.trade(at, price)
    fed.told()
    return fed


# Corrections and cancels


def test_a_recomputed_bar_revises_every_final_bar_above_and_renews_the_open_ones() -> None:
    """High and low included (S10)."""
    fed = tape()

    assert fed.series.replace(us("10:01:00"), part(us("10:01:10"), 7), "correction", offset=40)
    assert fed.told("revision", "reason", "prices") == [
        ("M1", "10:01", 2, "correction", (7, 7, 7, 7)),
        ("M5", "10:00", 2, "correction", (5, 7, 5, 7)),
        ("H1", "10:00", 0, "live", (5, 7, 5, 6)),
    ]


def test_a_second_change_is_one_more_revision() -> None:
    fed = tape()
    fed.series.replace(TEN, part(us("10:00:10"), 7), "correction")
    fed.series.replace(TEN, part(us("10:00:10"), 8), "correction")

    assert fed.revisions("M1") == [
        ("M1", "10:00", 2, "correction", 7), ("M1", "10:00", 3, "correction", 8),
    ]  # fmt: skip


@pytest.mark.parametrize("nothing", [None, replace(part(us("10:01:10"), 9), trades=0)])
def test_a_bar_whose_only_trade_was_cancelled_is_told_without_prices(nothing: Bar | None) -> None:
    """It was published, so its end is, too; above it only its values are gone."""
    fed = tape()
    fed.series.replace(us("10:01:00"), nothing, "cancel")

    assert fed.told("revision", "reason", "trades", "volume", "prices") == [
        ("M1", "10:01", 2, "cancel", 0, 0, NONE),
        ("M5", "10:00", 2, "cancel", 1, 1, (5, 5, 5, 5)),
        ("H1", "10:00", 0, "live", 2, 2, (5, 6, 5, 6)),
    ]


def test_a_cancelled_bar_carries_like_any_empty_one() -> None:
    #  M1       [ 5 )[ 9 cancelled )[ carried ...  )[ 6
    fed = tape(Empties.CARRY)
    fed.series.replace(us("10:01:00"), None, "cancel")

    carried = [("M1", f"10:0{n}", 2, "cancel", 5) for n in (1, 2, 3, 4)]
    assert fed.revisions("M1") == carried
    fed.trade("10:07:00")
    fed.trade("10:02:10", 3)
    assert fed.revisions("M5") == [("M5", "10:00", 3, "late", 3)]


def test_a_bar_all_of_whose_children_were_cancelled_is_empty() -> None:
    fed = tape(Empties.CARRY)
    for minute in ("10:00:00", "10:01:00"):
        fed.series.replace(us(minute), None, "cancel")
    fed.told("revision")
    fed.series.replace(us("10:06:00"), None, "cancel")

    assert fed.told("trades", "prices") == [
        ("M1", "10:06", 0, NONE), ("M5", "10:05", 0, NONE), ("H1", "10:00", 0, NONE),
    ]  # fmt: skip


def test_a_provisional_bar_is_only_told_anew() -> None:
    """The record that changed it makes it the newer one, though its trades end before."""
    fed = tape()
    fed.series.replace(us("10:06:00"), part(us("10:06:00"), 7, offset=2), "correction", offset=40)

    assert fed.told("revision", "reason", "close", "last_offset", "noted_offset") == [
        ("M1", "10:06", 0, "live", 7, 2, 40), ("M5", "10:05", 0, "live", 7, 2, 40),
        ("H1", "10:00", 0, "live", 7, 2, 40),
    ]  # fmt: skip
    fed.series.replace(us("10:06:00"), part(us("10:06:00"), 8, offset=2), "correction")
    assert fed.told("close", "noted_offset", frame="M1") == [("M1", "10:06", 8, 40)]


def test_a_cancelled_provisional_bar_becomes_final_with_the_price_of_then() -> None:
    """The bar before it may change until it is final itself."""
    fed = Tape(rungs("M1", grace_s=90), Empties.CARRY)
    for at, price in (("10:00:10", 5), ("10:01:10", 9)):
        fed.trade(at, price)
    fed.series.replace(us("10:01:00"), None, "cancel")
    assert fed.told("prices", "trades")[1] == ("M1", "10:01", (5,) * 4, 0)
    for at, price in (("10:00:20", 8), ("10:03:30", 1)):
        fed.trade(at, price)

    assert fed.revisions() == [("M1", "10:00", 1, "final", 8), ("M1", "10:01", 1, "final", 8)]


def test_an_open_bar_that_was_cancelled_waits_for_its_end_to_carry_a_late_close() -> None:
    """What is behind an open bar may not be rolled up yet: when would depend on blocks."""
    fed = Tape(rungs("M1"), Empties.CARRY)
    for at, price in (("10:00:10", 5), ("10:01:40", 7)):
        fed.trade(at, price)
    fed.series.replace(us("10:01:00"), None, "cancel")
    fed.told()
    fed.trade("10:00:20", 8)
    assert fed.told("revision", "close") == [("M1", "10:00", 2, 8)]
    fed.trade("10:02:30", 1)

    assert fed.revisions() == [("M1", "10:01", 1, "final", 8)]


def test_a_cancelled_bar_carries_what_the_bar_before_it_is_by_then() -> None:
    """M5 10:00 has grown since it was told last."""
    fed = Tape(rungs("M1", "M5", grace_s=600), Empties.CARRY)
    for at, price in (("10:00:10", 5), ("10:06:10", 9)):
        fed.trade(at, price)
    fed.told()
    fed.trade("10:01:10", 8)
    fed.series.replace(us("10:06:00"), None, "cancel")

    assert fed.told("prices", "trades", frame="M5") == [
        ("M5", "10:00", (5, 8, 5, 8), 2), ("M5", "10:05", (8,) * 4, 0),
    ]  # fmt: skip


def test_a_bar_put_back_carries_nothing_that_came_after_it() -> None:
    """Nor does letting it go again change what is carried now."""
    fed = Tape(rungs("M1"), Empties.CARRY)
    for at, price in (("10:00:10", 5), ("10:01:40", 7), ("13:00:00", 1)):
        fed.trade(at, price)
    first, second, *_ = [e.bar for e in fed.series.emissions()]
    list(fed.series.save())
    fed.series.restore(0, first)
    assert fed.series.replace(TEN, None, "cancel")
    assert fed.told("prices")[0] == ("M1", "10:00", NONE)
    fed.series.restore(0, second)
    list(fed.series.save())
    for at, price in (("16:00:00", 2), ("16:00:20", 2)):
        fed.trade(at, price)
    list(fed.series.save())
    fed.told()
    fed.series.replace(us("16:00:00"), None, "cancel")

    assert fed.told("prices") == [("M1", "16:00", (1,) * 4)]


def test_what_was_late_or_repeated_stays_counted() -> None:
    """A recompute from the log does not know what came late."""
    fed = tape()
    fed.trade("10:00:20", 7)
    fed.told()
    fed.series.replace(TEN, part(us("10:00:10"), 8), "correction")

    assert fed.told("late", "trades", frame="M1") == [("M1", "10:00", 1, 1)]


def test_bars_due_before_the_change_are_final_before_it() -> None:
    fed = tape()
    fed.series.replace(
        us("10:06:00"), part(us("10:06:00"), 7), "correction", stream_us=us("10:07:30")
    )

    assert fed.revisions("M1") == [
        ("M1", "10:06", 1, "final", 6), ("M1", "10:06", 2, "correction", 7),
    ]  # fmt: skip


def test_a_bar_that_is_not_there_cannot_be_replaced() -> None:
    fed = tape()

    assert not fed.series.replace(us("10:03:00"), part(us("10:03:10")), "correction")
    assert fed.told() == []


def test_what_memory_let_go_is_put_back_before_it_is_replaced() -> None:
    """As it was told last: the bar, what is above it, and all that these are made of."""
    fed = Tape(LADDER)
    for at, price in (("10:00:10", 5), ("10:01:10", 9), ("10:06:00", 6), ("13:00:00", 1)):
        fed.trade(at, price)
    told = {(e.rung, e.bar.open_us): e.bar for e in fed.series.emissions()}
    gone = [row[:2] for row in fed.series.save() if row[2] is None]
    assert (0, TEN) in gone
    assert not fed.series.holds(TEN)
    for name in gone:
        fed.series.restore(name[0], told[name])

    assert fed.series.replace(TEN, None, "cancel")
    assert fed.told("revision", "reason", "close", "trades") == [
        ("M1", "10:00", 2, "cancel", None, 0), ("M5", "10:00", 2, "cancel", 9, 1),
        ("H1", "10:00", 2, "cancel", 6, 2),
    ]  # fmt: skip
    assert {row[:2] for row in fed.series.save() if row[2] is None} == set(gone)


# Gaps


def test_bars_touched_by_an_open_gap_are_incomplete() -> None:
    """Final ones by a revision of their own, open ones with their next value (S15)."""
    #  trades   10:00:10 ... hole ... 10:01:10     10:06
    fed = tape()
    fed.series.gap_opened(us("10:00:10"), us("10:01:10"), offset=40)

    assert fed.told("revision", "reason", "complete", "noted_offset") == [
        ("M1", "10:00", 2, "gap", False, -1), ("M1", "10:01", 2, "gap", False, -1),
        ("M5", "10:00", 2, "gap", False, -1), ("H1", "10:00", 0, "live", False, 40),
    ]  # fmt: skip
    fed.trade("10:06:10")
    assert fed.told("complete") == [
        ("M1", "10:06", True), ("M5", "10:05", True), ("H1", "10:00", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "touched"),
    [
        ("09:58:00", "09:59:59.999999", []),
        ("09:58:00", "10:00:00", ["10:00"]),
        ("10:00:59.999999", "10:00:59.999999", ["10:00"]),
        ("10:01:00", "10:01:00", ["10:01"]),
        ("10:02:00", "10:05:59", []),
        ("09:00:00", "10:01:59", ["10:00", "10:01"]),
        ("10:01:00", "11:00:00", ["10:06"]),
    ],
)
def test_a_gap_touches_the_bars_between_its_neighbours_and_theirs(
    low: str, high: str, touched: list[str]
) -> None:
    """Both ends inclusive: there stand the trades around what is missing.

    Of a hole that reaches beyond 10:06:00, stream time, only open bars know as yet.
    """
    fed = tape()
    fed.series.gap_opened(us(low), us(high))

    assert fed.told("complete", frame="M1") == [("M1", at, False) for at in touched]


def test_a_bar_that_becomes_final_within_a_gap_is_incomplete() -> None:
    """Empty ones as well."""
    fed = tape(Empties.CARRY)
    fed.series.gap_opened(us("10:06:00"), us("10:07:10"))
    fed.told()
    fed.trade("10:10:00")

    assert fed.told("complete", "revision", frame="M1") == [
        ("M1", "10:05", True, 1), ("M1", "10:06", True, 1), ("M1", "10:06", False, 2),
        ("M1", "10:07", False, 1), ("M1", "10:08", True, 1), ("M1", "10:10", True, 0),
    ]  # fmt: skip


def test_an_open_bar_is_incomplete_as_soon_as_a_hole_is_found() -> None:
    """And whole again when it is filled in time: no revision tells of it."""
    hole = us("10:06:00"), us("10:06:10")
    fed = tape()
    fed.series.gap_opened(*hole, offset=40)
    told = ("revision", "complete", "noted_offset")
    assert fed.told(*told, frame="M1") == [("M1", "10:06", 0, False, 40)]
    fed.series.gap_closed(*hole, offset=41)

    assert fed.told(*told, frame="M1") == [("M1", "10:06", 0, True, 41)]
    fed.trade("10:07:30")
    assert fed.revisions("M1") == [("M1", "10:06", 1, "final", 6)]


def test_a_hole_counts_when_the_bar_of_the_trade_behind_it_is_final() -> None:
    """Not an instant before, however far time has moved at once: 10:01 is revised until 11:02."""
    fed = tape()
    fed.series.gap_opened(us("10:01:10"), us("10:06:00"))
    fed.told()
    fed.trade("10:07:29.999999")
    assert fed.revisions() == []
    fed.trade("12:00:00")

    assert fed.told("revision", "reason", "complete", frame="M1")[:2] == [
        ("M1", "10:01", 2, "gap", False), ("M1", "10:06", 1, "final", False),
    ]  # fmt: skip


def test_bars_are_complete_when_the_last_gap_in_them_is_closed() -> None:
    #  holes    [10:00:10 ...... 10:01:10]
    #                 [10:00:40 ......... 10:06:00]
    fed = tape()
    fed.series.gap_opened(us("10:00:10"), us("10:01:10"))
    fed.series.gap_opened(us("10:00:40"), us("10:06:00"))
    fed.told()
    fed.series.gap_closed(us("10:00:40"), us("10:06:00"), offset=41)
    assert fed.told("revision", "reason", "complete", "noted_offset") == [
        ("M1", "10:06", 0, "live", True, 41), ("M5", "10:05", 0, "live", True, 41),
        ("H1", "10:00", 0, "live", False, 41),
    ]  # fmt: skip

    fed.series.gap_closed(us("10:00:10"), us("10:01:10"), offset=42)
    assert fed.told("revision", "reason", "complete") == [
        ("M1", "10:00", 3, "gap_repair", True), ("M1", "10:01", 3, "gap_repair", True),
        ("M5", "10:00", 3, "gap_repair", True), ("H1", "10:00", 0, "live", True),
    ]  # fmt: skip


def test_a_second_gap_in_an_incomplete_bar_tells_nothing_new() -> None:
    fed = tape()
    fed.series.gap_opened(us("10:00:10"), us("10:00:20"))
    fed.told()
    fed.series.gap_opened(us("10:00:20"), us("10:00:30"))

    assert fed.revisions() == []


def test_equal_gaps_are_closed_one_by_one() -> None:
    """Two ranges of ids may be missing between the same two trades."""
    fed = tape()
    for _ in range(2):
        fed.series.gap_opened(us("10:00:10"), us("10:00:20"))
    fed.told()
    fed.series.gap_closed(us("10:00:10"), us("10:00:20"))
    assert fed.revisions() == []
    fed.series.gap_closed(us("10:00:10"), us("10:00:20"))

    assert [row[:4] for row in fed.revisions("M1")] == [("M1", "10:00", 3, "gap_repair")]


def test_a_gap_that_nobody_opened_closes_nothing() -> None:
    fed = tape()
    fed.series.gap_closed(us("10:00:10"), us("10:00:20"))

    assert fed.told() == []


def test_the_last_missing_trade_makes_its_bars_complete_with_its_own_revision() -> None:
    """And the others that the gap touched with one of theirs."""
    hole = us("10:00:10"), us("10:01:10")
    fed = tape()
    fed.series.gap_opened(*hole)
    fed.told()
    fed.trade("10:00:40", 8, reason="gap_repair", repairs=[hole])

    assert fed.told("revision", "reason", "complete", "trades") == [
        ("M1", "10:00", 3, "gap_repair", True, 2), ("M5", "10:00", 3, "gap_repair", True, 3),
        ("M1", "10:01", 3, "gap_repair", True, 1), ("H1", "10:00", 0, "live", True, 4),
    ]  # fmt: skip


def test_a_missing_trade_that_is_not_the_last_leaves_its_bars_incomplete() -> None:
    fed = tape()
    fed.series.gap_opened(us("10:00:10"), us("10:01:10"))
    fed.told()
    fed.trade("10:00:40", 8, reason="gap_repair")

    assert fed.told("revision", "complete", frame="M1") == [("M1", "10:00", 3, False)]


def test_a_repair_that_comes_too_late_changes_no_bar_but_those_still_open_to_change() -> None:
    """M1 10:00 may be revised until 11:01, its H1 until 12:00."""
    hole = us("10:00:10"), us("10:01:10")
    fed = tape()
    fed.series.gap_opened(*hole)
    fed.trade("11:10:00")
    fed.told()
    assert not fed.trade("10:00:40", 8, reason="gap_repair", repairs=[hole])

    assert fed.told("revision", "complete", "reason") == [("H1", "10:00", 2, True, "gap_repair")]


@pytest.mark.parametrize(("stream", "revised"), [("11:01:00", True), ("11:01:00.000001", False)])
def test_a_repair_changes_a_bar_for_as_long_as_it_may_be_revised(
    stream: str, *, revised: bool
) -> None:
    hole = us("10:00:10"), us("10:00:20")
    fed = tape()
    fed.series.gap_opened(*hole)
    fed.trade(stream)
    fed.told()
    fed.series.gap_closed(*hole)

    assert [row[1:3] for row in fed.revisions("M1")] == ([("10:00", 3)] if revised else [])


def test_bars_due_before_a_gap_was_known_are_final_before_it() -> None:
    fed = tape()
    fed.series.gap_opened(us("10:06:00"), us("10:06:10"), stream_us=us("10:07:30"))

    assert fed.told("revision", "complete", frame="M1") == [
        ("M1", "10:06", 1, True), ("M1", "10:06", 2, False),
    ]  # fmt: skip


def test_a_hole_found_too_late_revises_only_what_may_still_be_revised() -> None:
    """M1 until an hour after 10:01, H1 10:00 until 12:00."""
    fed = tape()
    fed.trade("11:30:00")
    fed.told()
    fed.series.gap_opened(us("10:00:10"), us("10:00:20"))

    assert fed.told("revision", "complete") == [("H1", "10:00", 2, False)]


def test_a_hole_that_does_not_count_yet_outlives_a_restart() -> None:
    """Though no bar becomes final when it does."""
    fed = tape()
    fed.series.advance(us("10:07:30"))
    fed.series.gap_opened(us("10:01:10"), us("10:08:00"))
    fed.told()
    other = Series(LADDER)
    for rung, _, bar in fed.series.save():
        assert bar is not None
        other.restore(rung, bar.copy())
    other.restore_state(json.loads(json.dumps(fed.series.state())))
    other.emissions()

    for series in (fed.series, other):
        series.advance(us("10:09:30"))
        told = [(e.rung, e.bar.revision, e.complete) for e in series.emissions()]
        assert told == [(0, 2, False), (0, 2, False), (1, 2, False)]


def test_open_gaps_outlive_a_restart() -> None:
    fed, hole = tape(), (us("10:06:00"), us("10:06:10"))
    fed.series.gap_opened(*hole)
    other = Series(LADDER)
    other.restore_state(json.loads(json.dumps(fed.series.state())))
    for rung, _, bar in fed.series.save():
        assert bar is not None
        other.restore(rung, bar)

    other.advance(us("10:07:30"))
    assert [e.complete for e in other.emissions() if e.rung == 0] == [False]
    other.gap_closed(*hole)
    assert [e.complete for e in other.emissions() if e.rung == 0] == [True]


def test_gaps_that_no_bar_can_show_any_more_are_forgotten() -> None:
    fed = tape()
    fed.series.gap_opened(us("10:00:10"), us("10:00:20"))
    fed.trade(TEN + 1440 * MINUTE_US)
    hole = TEN + 1438 * MINUTE_US, TEN + 1438 * MINUTE_US
    fed.series.gap_opened(*hole)

    assert fed.series.state()[3] == ([hole], [])


def test_gaps_that_a_bar_can_still_show_are_not_forgotten() -> None:
    """H1 10:00 may be revised until 12:00."""
    fed, hole = tape(), (us("10:59:50"), us("10:59:59"))
    fed.series.gap_opened(*hole)
    fed.trade("12:00:00")
    fed.series.gap_opened(us("11:59:00"), us("12:00:00"))
    fed.told()
    fed.series.gap_closed(*hole)

    assert fed.revisions("H1") == [("H1", "10:00", 2, "gap_repair", 6)]


def test_beyond_a_thousand_gaps_the_oldest_count_as_one() -> None:
    holes = Holes(Rollup(LADDER))
    for n in range(HOLES_KEPT + 2):
        holes.find((10 * n, 10 * n + 5), 7 * n)

    assert len(holes.waiting) == HOLES_KEPT
    assert holes.waiting[:2] == [(14, (0, 25)), (21, (30, 35))]
    holes.count(7 * HOLES_KEPT)
    holes.find((-9, -8), 0)
    holes.count(0)
    assert len(holes.spans) == HOLES_KEPT
    assert holes.touch(8, 9, is_open=False)
