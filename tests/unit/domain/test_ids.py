"""Trade ids of a venue that numbers its trades without holes (S15)."""

import random

import pytest

from app.domain.builder import BarBuilder
from app.domain.catalog_file import parse
from app.domain.ids import UNKNOWN, Ids, Step, runs
from app.domain.plan import Plans
from app.domain.timeframes import ladder
from tests.unit.domain.ticks import records, tick, trades

NAMES = ("M1", "M5")
LADDER = ladder(NAMES, dict.fromkeys(NAMES, 30_000_000), 3_600_000_000)
PLANS = Plans(parse("catalog", "[venues.KRAKEN]\ncontiguous_ids = true"), lambda _: LADDER)


def test_a_hole_lies_between_the_trades_around_it_and_narrows_as_it_is_filled() -> None:
    #  ids    1 at 10 · 9 at 90 · 5 at 50 · 2 at 20 · 3, 4 · 8 at 95, after its neighbour's time
    #  left             [10....90] [10.50][50.90] [20.50]...
    ids = Ids()

    assert ids.step(1, 10) == Step()
    assert ids.step(9, 90) == Step(((10, 90),))
    assert ids.step(5, 50) == Step(((10, 50), (50, 90)), (10, 90))
    assert ids.step(2, 20) == Step(((20, 50),), (10, 50))
    assert ids.step(8, 95) == Step(((50, 90),), (50, 90))
    assert ids.step(3, 30) == Step(((30, 50),), (20, 50))
    assert ids.step(4, 40) == Step((), (30, 50))
    assert ids.step(4, 40) == Step()
    assert (ids.next_id, ids.last_us) == (10, 90)


def test_runs_stop_at_odd_ids_and_go_on_behind_them() -> None:
    numbers = ["7", "8", "11", "9", "x", "12", None, "1" * 19]
    ticks = trades(*(tick(trade_id=each) for each in numbers), tick(trade_id="3", symbol="B"),
                   tick(trade_id="13", price=None, bid="1"))  # fmt: skip

    found = runs(ticks, [7, UNKNOWN])
    assert (found.odd, found.next_id, found.last_row, found.ids) == (
        [2, 3, 8], [9, 12, UNKNOWN], [1, 2, -1], [11, 9, 3],
    )  # fmt: skip
    assert (found.expected, found.newest_row) == ([13, 4], [5, 8])
    assert runs(ticks, [None, None]).odd == []


@pytest.mark.parametrize("seed", range(3))
def test_trades_shuffled_within_grace_leave_no_trace_in_any_final_bar(seed: int) -> None:
    """Never incomplete, never repaired: the ids that are missing meanwhile belong to later bars."""
    rng = random.Random(seed)
    rows = []
    for n in range(900):
        row = tick(f"10:{n // 60:02d}:{n % 60}", str(n), trade_id=str(n), sequence=n)
        rows.append((n + rng.uniform(0, 28), row))
    rows.sort(key=lambda pair: pair[0])
    told = []
    bars = BarBuilder(PLANS, 0)
    for start in range(0, len(rows), 50):
        bars.fold(trades(*(row for _, row in rows[start : start + 50]), first_offset=start))
        told += [bar for bar in records(bars.emit()) if bar["revision"]]

    assert {(bar["revision"], bar["reason"], bar["complete"]) for bar in told} == {
        (1, "final", True)
    }
    assert len(told) > 13


def finals(*order: int) -> list[tuple[object, ...]]:
    """Return what is told of M1 10:00 and 10:01 when numbered trades arrive in some order."""
    #  M1 10:00 .............| 10:01 ..........................|
    #  trades 0 at 50  1 at 55 | 2 at 62  3 at 75  4 at 80  5 at 91 makes 10:00 final | 6 at 151
    seconds = [50, 55, 62, 75, 80, 91, 151]
    bars = BarBuilder(PLANS, 0)
    for offset, n in enumerate(order):
        clock = f"10:0{seconds[n] // 60}:{seconds[n] % 60}"
        bars.fold(trades(tick(clock, trade_id=str(n)), first_offset=offset))
    told = [bar for bar in records(bars.emit()) if bar["revision"] and bar["timeframe"] == "M1"]
    return [(bar["open"], bar["revision"], bar["reason"], bar["complete"]) for bar in told]


def test_a_bar_is_complete_when_what_is_missing_belongs_to_the_next() -> None:
    """Trade 3 lies between 2 and 4, both of 10:01."""
    assert finals(0, 4, 1, 2, 5, 3, 6) == [(100, 1, "final", True), (100, 1, "final", True)]


def test_what_is_missing_may_come_until_the_bar_of_the_trade_behind_it_is_final() -> None:
    """Trade 2 lies between 1, of 10:00, and 3, of 10:01, which is final at 10:02:30."""
    assert finals(0, 4, 1, 3, 5, 2, 6) == [(100, 1, "final", True), (100, 1, "final", True)]
    assert finals(0, 4, 1, 3, 5, 6, 2) == [
        (100, 1, "final", True), (100, 2, "gap", False),
        (100, 1, "final", False), (100, 2, "gap_repair", True), (100, 3, "gap_repair", True),
    ]  # fmt: skip
