"""Which trade a correction or cancel changes, and its bar without or with it (S10)."""

from dataclasses import astuple

from app.domain.amendments import (
    Amendment,
    amended,
    amendment,
    find,
    last_of_each,
    own,
    recomputed,
    rows_of,
)
from app.domain.bars import Bar
from app.domain.partials import EVERYTHING, Uses, single
from app.domain.trades import Trades
from tests.unit.domain.ticks import tick, trades, us

import numpy as np  # isort: skip

NAME = ("KRAKEN", "BTC/USD")
MINUTE_US = 60_000_000
UNIT = 10**12
HOUR_US = 3_600_000_000
OPEN, NEXT = us("10:00:00"), us("10:01:00")


def everything(ticks: Trades) -> Uses:
    return np.full(len(ticks), EVERYTHING, np.uint8)


def bars(*blocks: Trades, **by_id: Amendment) -> dict[int, Bar]:
    mine = own(blocks, [NAME])
    by_name = {NAME: last_of_each(mine).get(NAME, {}) | by_id}
    return recomputed(mine, by_name, MINUTE_US, HOUR_US, everything)


def cancel(trade_id: str) -> Amendment:
    return Amendment(trade_id, None, None, 99)


def test_an_amendment_is_read_from_its_row() -> None:
    ticks = trades(
        tick(trade_id="1"), tick(price="7", size="2", trade_id="1", action="CORRECT"),
        tick(price=None, size=None, trade_id="2", action="CANCEL"),
        tick(price="7", trade_id="3", action="CANCEL"),
        first_offset=40,
    )  # fmt: skip

    assert rows_of(ticks) == [1, 2, 3]
    assert [amendment(ticks, row) for row in rows_of(ticks)] == [
        Amendment("1", 7 * UNIT, 2 * UNIT, 41),
        Amendment("2", None, None, 42),
        Amendment("3", None, None, 43),
    ]
    assert [amendment(ticks, row).reason for row in (1, 2)] == ["correction", "cancel"]
    assert rows_of(trades(tick())) == []


def test_a_trade_is_found_by_its_id_among_those_of_its_series() -> None:
    first = trades(tick(trade_id="1", symbol="ETH/USD"), tick(trade_id="11"))
    second = trades(
        tick(trade_id="1", action="CORRECT"), tick("10:00:07", trade_id="1"), first_offset=2
    )

    assert find([first, second], NAME, "1") == (us("10:00:07"), 3)
    assert find([first], NAME, "1") is None
    assert find([first], ("KRAKEN", "ETH/USD"), "1") == (us("10:00:00"), 0)
    assert find([first], ("KRAKEN", "XRP/USD"), "1") is None


def test_a_cancelled_trade_is_in_no_number_of_its_bar() -> None:
    """Its high, its open and its count go, and so does the bar with its only trade."""
    ticks = trades(
        tick("10:00:00", "5", trade_id="a"), tick("10:00:01", "9", "3", trade_id="b"),
        tick("10:00:02", "6", trade_id="c"),
    )  # fmt: skip

    [whole] = bars(ticks, b=cancel("b")).values()
    assert (whole.open, whole.high, whole.low, whole.close) == tuple(n * UNIT for n in (5, 6, 5, 6))
    assert (whole.volume, whole.trades) == (2 * UNIT, 2)
    [later] = bars(ticks, a=cancel("a")).values()
    assert (later.open, later.first_offset) == (9 * UNIT, 1)
    assert bars(ticks, a=cancel("a"), b=cancel("b"), c=cancel("c")) == {}


def test_a_corrected_trade_keeps_its_place_with_its_new_price_and_size() -> None:
    ticks = trades(
        tick("10:00:00", "5", trade_id="a"), tick("10:00:01", "6", trade_id="b"),
    )  # fmt: skip

    for price in (1, 10**15):
        [bar] = bars(ticks, a=Amendment("a", price * UNIT, 4 * UNIT, 99)).values()
        assert (bar.open, bar.close) == (price * UNIT, 6 * UNIT)
        assert (bar.volume, bar.notional) == (5 * UNIT, (price * 4 + 6) * UNIT**2)


def test_other_series_are_left_alone() -> None:
    ticks = trades(
        tick("10:00:59.999999", "1", trade_id="a"), tick("10:01:00", "2", trade_id="b"),
        tick("10:00:30", "3", symbol="ETH/USD", trade_id="a"),
    )  # fmt: skip

    assert {at: bar.open for at, bar in bars(ticks).items()} == {OPEN: UNIT, NEXT: 2 * UNIT}
    assert {at: bar.open for at, bar in bars(ticks, a=cancel("a")).items()} == {NEXT: 2 * UNIT}


def test_the_last_amendment_of_a_trade_holds_wherever_it_stands_in_the_log() -> None:
    """Before its trade or after it; a cancel does not outlive a correction that follows."""
    before = [tick(price="7", trade_id="a", action="CORRECT")]
    after = [
        tick(price=None, size=None, trade_id="a", action="CANCEL"),
        tick(price="8", trade_id="a", action="CORRECT"),
    ]
    traded = tick(price="5", trade_id="a")

    assert next(iter(bars(trades(*before, traded)).values())).open == 7 * UNIT
    assert bars(trades(*before, traded, after[0])) == {}
    assert next(iter(bars(trades(*before, traded, *after)).values())).open == 8 * UNIT


def test_a_trade_that_came_too_late_for_its_bar_stays_out_of_it() -> None:
    """It was recorded alone: the bar without the cancelled trade has not got it either (S6)."""
    rows = [tick("10:00:00", "5", trade_id="a"), tick("10:00:01", "6"), tick("11:01:00", "9")]

    assert bars(trades(*rows, tick("10:00:02", "1")))[OPEN].trades == 3
    beyond = tick("11:01:00.000001", "9")
    assert bars(trades(*rows, beyond, tick("10:00:02", "1")))[OPEN].trades == 2


def test_what_was_late_because_of_a_cancelled_trade_stays_late() -> None:
    """The trade came and moved time, whatever became of it."""
    far = tick("16:00:00", trade_id="far")
    ticks = trades(tick("10:00:00", trade_id="a"), far, tick("10:00:01"))

    assert bars(ticks, far=cancel("far"))[OPEN].trades == 1


def test_blocks_and_a_zombies_repeats_make_no_difference() -> None:
    rows = [tick(f"10:00:{n:02d}", str(n), raw_offset=n) for n in range(1, 9)]
    whole = bars(trades(*rows))
    cut = bars(
        trades(*rows[:3]), trades(rows[1], rows[3], rows[2], first_offset=3),
        trades(rows[0], *rows[4:], first_offset=6),
    )  # fmt: skip

    def values(found: dict[int, Bar]) -> list[object]:
        return [astuple(bar)[:-6] for bar in found.values()]

    assert values(cut) == values(whole)
    assert next(iter(cut.values())).trades == 8


def test_amended_leaves_the_block_it_was_given_as_it_was() -> None:
    ticks = trades(tick(price="5", trade_id="a"), tick(price="6", trade_id="b"))

    uses = everything(ticks)
    by_id = {"a": cancel("a"), "b": Amendment("b", 2**70, 1, 9)}
    changed, counted = amended(ticks, uses, by_id)
    assert counted.tolist() == [0, EVERYTHING]
    assert changed.price[1] == 2**70
    assert uses.tolist() == [EVERYTHING] * 2
    assert single(ticks, 0, MINUTE_US).open == 5 * UNIT
    assert not ticks.price.is_null.any()
    assert ticks.price[1] == 6 * UNIT
