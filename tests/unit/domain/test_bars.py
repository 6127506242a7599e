from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bars import Bar, Rank, bar_row, empty, roll_up
from app.domain.partials import fold
from app.domain.shelf import NEVER
from app.domain.trades import of_frame
from schemas.registry import current
from tests.unit.domain.ticks import block, tick

MINUTE_US = 60_000_000


def partials(ticks: pl.DataFrame, width_us: int) -> list[tuple[str, str, Bar]]:
    """Return the partial bars of a block in which nothing is late."""
    made = of_frame(ticks, np.zeros(len(ticks), np.int64))
    series = len(made.names)
    folded = fold(made, [NEVER] * series, [2**60] * series, width_us)
    return [(*made.names[part.series], part.bar) for part in folded.parts]


def test_volume_and_vwap_are_exact() -> None:
    """Sums of decimals: 0.1 + 0.2 is 0.3, and 1e-12 x 0.5 is not lost (S4)."""
    [(_, _, bar)] = partials(
        block(tick(price="0.000000000001", size="0.5"), tick(price="3", size="0.1"),
              tick(price="3", size="0.2")),
        MINUTE_US,
    )  # fmt: skip

    row = bar_row(bar, "BTC/USD", "KRAKEN", "M1", MINUTE_US, partition=0, partial=False).record()
    assert row["volume"] == Decimal("0.8")
    assert row["notional"] == Decimal("0.9000000000005")
    assert row["vwap"] == Decimal("1.125000000001")  # 1.125000000000625, half even at 12 digits


def test_notional_beyond_128_bits_is_still_exact() -> None:
    """1e15 x 1e15 at scale 24 needs 180 bits: no wrap-around."""
    [(_, _, bar)] = partials(block(tick(price=f"{10**15}", size=f"{10**15}")), MINUTE_US)

    assert bar.notional == 10**54


def test_a_bar_without_volume_has_no_vwap() -> None:
    [(_, _, bar)] = partials(block(tick(size="0")), MINUTE_US)

    assert (
        bar_row(bar, "S", "V", "M1", MINUTE_US, partition=0, partial=False).record()["vwap"] is None
    )


TRADES = st.lists(
    st.tuples(
        st.integers(0, 119), st.integers(0, 2), st.sampled_from(["a", "b", "c"]),
        st.integers(1, 50), st.integers(0, 9),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@given(TRADES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_any_cut_into_blocks_gives_the_same_bars(
    trades: list[tuple[int, int, str, int, int]], random: object, cuts: int
) -> None:
    """Merging partials is associative and commutative; the example above pins what it merges to."""
    rows = [
        tick(f"10:0{s // 60}:{s % 60}", str(p), str(z), sequence=q, trade_id=i)
        for s, q, i, p, z in trades
    ]
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def folded(order: list[dict[str, object]], size: int) -> dict[int, tuple[object, ...]]:
        bars = {}
        for start in range(0, len(order), size):
            for _, _, part in partials(block(*order[start : start + size]), MINUTE_US):
                if part.open_us in bars:
                    bars[part.open_us].add(part)
                else:
                    bars[part.open_us] = part
        return {
            o: (b.opened, b.closed, b.open, b.high, b.low, b.close, b.volume, b.notional, b.trades)
            for o, b in bars.items()
        }

    assert folded(shuffled, cuts) == folded(rows, len(rows))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_low_is_below_vwap_is_below_high(size: int) -> None:
    rows = [tick(f"10:00:{n}", str(90 + 7 * n % 20), str(size + n)) for n in range(20)]
    [(_, _, bar)] = partials(block(*rows), MINUTE_US)
    row = bar_row(bar, "S", "V", "M1", MINUTE_US, partition=0, partial=False).record()

    assert row["low"] <= row["vwap"] <= row["high"]  # type: ignore[operator]


def rank(at_us: int, price: int = 0) -> Rank:
    return (at_us, -1, "", price, 1)


def priced(at_us: int, price: int, **fields: Any) -> Bar:
    """Return the bar of one trade that counts for everything."""
    ranked = rank(at_us, price)
    bar = Bar(0, ranked, ranked, price, price, price, price, 1, price, 1, at_us, at_us)
    return replace(bar, **fields)


def odd(at_us: int, price: int) -> Bar:
    """Return the bar of one trade that counts for the volume alone."""
    unpriced = {**dict.fromkeys(("opened", "closed", "open", "high", "low", "close"))}
    return priced(at_us, price, **unpriced)


def prices(bar: Bar) -> tuple[int | None, ...]:
    return bar.open, bar.high, bar.low, bar.close


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_a_print_that_counts_for_the_volume_alone_leaves_prices_alone(
    order: tuple[int, ...],
) -> None:
    """Volume, trades and lineage take it; open, high, low and close do not (S9)."""
    parts = [priced(5, 100), odd(1, 999), odd(9, 1)]
    bar = roll_up(0, [parts[n] for n in order])

    assert prices(bar) == (100, 100, 100, 100)
    assert (bar.opened, bar.closed) == (rank(5, 100), rank(5, 100))
    assert (bar.volume, bar.notional, bar.trades) == (3, 1100, 3)
    assert (bar.first_offset, bar.last_offset) == (1, 9)


def test_open_and_close_count_apart_from_high_and_low() -> None:
    closing = priced(9, 7, high=None, low=None)
    extreme = priced(5, 50, opened=None, closed=None, open=None, close=None)

    assert prices(roll_up(0, [closing, extreme])) == (7, 50, 50, 7)
    assert prices(roll_up(0, [extreme, closing, priced(6, 60)])) == (60, 60, 50, 7)


def test_an_empty_bar_gives_way_to_the_first_trade() -> None:
    """What it carried is no price of its own, whatever its own extremes."""
    for price in (None, 3):
        bar = empty(0, price)
        bar.add(priced(8, 10))
        assert prices(bar) == (10, 10, 10, 10)
        assert (bar.trades, bar.first_offset, bar.last_offset) == (1, 8, 8)


def test_empty_children_add_nothing_unless_all_are_empty() -> None:
    whole = roll_up(0, [empty(0, 3), priced(8, 10), empty(2, 10)])

    assert prices(whole) == (10, 10, 10, 10)
    assert (whole.trades, whole.first_offset, whole.last_offset) == (1, 8, 8)
    assert prices(roll_up(0, [empty(0, 3), empty(1, 3)])) == (3, 3, 3, 3)
    assert prices(roll_up(0, [empty(0), empty(1)])) == (None, None, None, None)


def test_repeats_are_summed_and_alone_are_no_trade() -> None:
    """Refused repeats are lineage (S18)."""
    repeated = replace(empty(0), duplicates=2)
    bar = roll_up(0, [priced(8, 10, duplicates=1), repeated])

    assert (bar.duplicates, bar.trades, bar.first_offset) == (3, 1, 8)
    assert row_of(bar)["duplicates"] == 3


def test_a_roll_up_changes_no_child() -> None:
    child = priced(1, 10, revision=3, reason="late", late=1)
    whole = roll_up(5, [child, priced(2, 20)])

    assert (whole.open_us, whole.revision, whole.reason, whole.late) == (5, 0, "live", 1)
    assert child == priced(1, 10, revision=3, reason="late", late=1)


def row_of(bar: Bar, **given: Any) -> dict[str, Any]:
    named = {"partition": 0, "partial": False, **given}
    return bar_row(bar, "S", "V", "M1", MINUTE_US, **named).record()


def test_a_bar_without_prices_has_null_ones() -> None:
    row = row_of(empty(0))

    assert [row[name] for name in ("open", "high", "low", "close", "vwap")] == [None] * 5
    assert (row["volume"], row["trades"], row["last_offset"]) == (0, 0, -1)


def test_a_bar_that_its_session_cuts_short_ends_with_it() -> None:
    short = row_of(priced(8, 10), close_us=MINUTE_US // 2)

    assert row_of(priced(8, 10))["close_time"] == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    assert short["close_time"] == datetime(1970, 1, 1, 0, 0, 30, tzinfo=UTC)


def test_a_record_has_exactly_the_fields_of_the_schema() -> None:
    assert list(row_of(empty(0), complete=False)) == [f["name"] for f in current("bar")["fields"]]
    assert row_of(empty(0), complete=False)["complete"] is False


def test_a_cancel_makes_a_provisional_bar_newer_and_is_not_among_the_ticks_of_a_final_one() -> None:
    """Emissions are ranked by (revision, last_offset): equal ones would be one and the same."""
    for revision, shown in ((0, 12), (1, 8)):
        bar = roll_up(0, [priced(8, 10, noted_offset=12), priced(7, 10, noted_offset=11)])
        bar.revision = revision
        assert row_of(bar)["last_offset"] == shown
