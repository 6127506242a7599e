from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bars import partials, record
from tests.unit.domain.ticks import block, tick, us

MINUTE_US = 60_000_000


def test_a_trade_on_the_boundary_opens_the_next_bar() -> None:
    """[open_time, close_time): the end belongs to the next bar (S1)."""
    #  time:  10:00:00        10:01:00
    #  bar:   [---------------)[------
    bars = partials(block(tick("10:00:59.999999"), tick("10:01:00")), MINUTE_US)

    assert [bar.open_us for _, _, bar in bars] == [us("10:00:00"), us("10:01:00")]


def test_open_and_close_go_by_time_then_sequence_not_by_arrival() -> None:
    """First and last by (event_time, sequence): here arrival is the reverse (S3)."""
    [(_, _, bar)] = partials(
        block(
            tick("10:00:30", "4", sequence=2),
            tick("10:00:30", "3", sequence=1),
            tick("10:00:10", "2", sequence=9),
            tick("10:00:10", "1", sequence=8),
        ),
        MINUTE_US,
    )

    assert (bar.open, bar.close) == (1 * 10**12, 4 * 10**12)


def test_trade_ids_decide_between_equal_times_and_sequences() -> None:
    """The last word is the trade id, then the content: never the arrival (S3)."""
    rows = [
        tick("10:00:10", "5", sequence=1, trade_id="b"),
        tick("10:00:10", "7", sequence=1, trade_id="a"),
    ]

    for order in (rows, rows[::-1]):
        [(_, _, bar)] = partials(block(*order), MINUTE_US)
        assert (bar.open, bar.close) == (7 * 10**12, 5 * 10**12)


def test_symbols_and_venues_have_their_own_bars() -> None:
    bars = partials(block(tick(), tick(symbol="ETH/USD"), tick(venue="COINBASE")), MINUTE_US)

    assert {(venue, symbol) for venue, symbol, _ in bars} == {
        ("KRAKEN", "BTC/USD"), ("KRAKEN", "ETH/USD"), ("COINBASE", "BTC/USD"),
    }  # fmt: skip


def test_volume_and_vwap_are_exact() -> None:
    """Sums of decimals: 0.1 + 0.2 is 0.3, and 1e-12 x 0.5 is not lost (S4)."""
    [(_, _, bar)] = partials(
        block(tick(price="0.000000000001", size="0.5"), tick(price="3", size="0.1"),
              tick(price="3", size="0.2")),
        MINUTE_US,
    )  # fmt: skip

    row = record(bar, "BTC/USD", "KRAKEN", "M1", MINUTE_US, partition=0, partial=False)
    assert row["volume"] == Decimal("0.8")
    assert row["notional"] == Decimal("0.9000000000005")
    assert row["vwap"] == Decimal("1.125000000001")  # 1.125000000000625, half even at 12 digits


def test_notional_beyond_128_bits_is_still_exact() -> None:
    """1e15 x 1e15 at scale 24 needs 180 bits: no wrap-around."""
    [(_, _, bar)] = partials(block(tick(price=f"{10**15}", size=f"{10**15}")), MINUTE_US)

    assert bar.notional == 10**54


def test_a_bar_without_volume_has_no_vwap() -> None:
    [(_, _, bar)] = partials(block(tick(size="0")), MINUTE_US)

    assert record(bar, "S", "V", "M1", MINUTE_US, partition=0, partial=False)["vwap"] is None


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
    row = record(bar, "S", "V", "M1", MINUTE_US, partition=0, partial=False)

    assert row["low"] <= row["vwap"] <= row["high"]  # type: ignore[operator]
