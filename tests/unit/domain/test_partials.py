"""One block's partial bars: what each trade does to its bar, and which trades are late."""

from dataclasses import astuple
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.bars import Bar
from app.domain.partials import Folded, fold, single
from app.domain.series import NEVER
from app.domain.trades import Trades, of_columns, of_frame
from schemas.block import columns, encode
from schemas.packed import pack
from schemas.registry import built_in
from tests.unit.domain.ticks import block, tick, trades, us

MINUTE_US = 60_000_000
FOR_EVER_US = 2**60
UNIT = 10**12


def folded(ticks: Trades, grace_us: int = FOR_EVER_US, after: int = -1) -> Folded:
    series = len(ticks.names)
    return fold(ticks, [NEVER] * series, [grace_us] * series, MINUTE_US, after)


def bars(*rows: dict[str, object]) -> list[Bar]:
    return [part.bar for part in folded(trades(*rows)).parts]


def test_a_trade_on_the_boundary_opens_the_next_bar() -> None:
    """[open_time, close_time): the end belongs to the next bar (S1)."""
    #  time:  10:00:00        10:01:00
    #  bar:   [---------------)[------
    found = bars(tick("10:00:59.999999"), tick("10:01:00"))

    assert [bar.open_us for bar in found] == [us("10:00:00"), us("10:01:00")]


def test_open_and_close_go_by_time_then_sequence_not_by_arrival() -> None:
    """First and last by (event_time, sequence): here arrival is the reverse (S3)."""
    [bar] = bars(
        tick("10:00:30", "4", sequence=2),
        tick("10:00:30", "3", sequence=1),
        tick("10:00:10", "2", sequence=9),
        tick("10:00:10", "1", sequence=8),
    )

    assert (bar.open, bar.close) == (1 * UNIT, 4 * UNIT)
    assert (bar.first_offset, bar.last_offset) == (0, 3)


@pytest.mark.parametrize("ids", [("a", "b"), ("a", "ab"), (None, "a"), ("Z", "é")])
def test_trade_ids_decide_between_equal_times_and_sequences(ids: tuple[str | None, str]) -> None:
    """The last word is the trade id, then the content: never the arrival (S3)."""
    rows = [
        tick("10:00:10", "5", sequence=1, trade_id=ids[1]),
        tick("10:00:10", "7", sequence=1, trade_id=ids[0]),
    ]

    for order in (rows, rows[::-1]):
        [bar] = bars(*order)
        assert (bar.open, bar.close) == (7 * UNIT, 5 * UNIT)
        assert (bar.opened[2], bar.closed[2]) == (ids[0] or "", ids[1])  # type: ignore[index]


@pytest.mark.parametrize("fields", [{"price": ("4", "5")}, {"size": ("4", "5")}])
def test_content_decides_between_trades_that_are_else_equal(fields: dict[str, object]) -> None:
    [(name, (low, high))] = fields.items()  # type: ignore[misc]
    rows = [tick(**{name: high}), tick(**{name: low})]  # type: ignore[arg-type]

    for order in (rows, rows[::-1]):
        [bar] = bars(*order)
        assert bar.opened < bar.closed  # type: ignore[operator]


def test_symbols_and_venues_have_their_own_bars() -> None:
    ticks = trades(
        tick(), tick(symbol="ETH/USD"), tick(venue="COINBASE"), tick(venue="A", symbol="B"),
        tick(venue="AB", symbol=""),
    )  # fmt: skip

    assert [ticks.names[part.series] for part in folded(ticks).parts] == [
        ("KRAKEN", "BTC/USD"), ("KRAKEN", "ETH/USD"), ("COINBASE", "BTC/USD"),
        ("A", "B"), ("AB", ""),
    ]  # fmt: skip


def test_high_and_low_are_of_all_trades() -> None:
    [bar] = bars(tick(price="5"), tick("10:00:01", "9"), tick("10:00:02", "-2"), tick("10:00:03"))

    assert (bar.high, bar.low, bar.trades) == (100 * UNIT, -2 * UNIT, 4)


def test_sums_are_exact() -> None:
    """0.1 + 0.2 is 0.3, and 1e-12 x 0.5 is not lost (S4)."""
    [bar] = bars(
        tick(price="0.000000000001", size="0.5"), tick(price="3", size="0.1"),
        tick(price="3", size="0.2"),
    )  # fmt: skip

    assert bar.volume == int(Decimal("0.8") * UNIT)
    assert bar.notional == 900_000_000_000_500_000_000_000


def test_sums_beyond_64_and_128_bits_are_exact() -> None:
    """9e6 x 9e6 at scale 24 is 8.1e37: five of them pass 128 bits, four negative ones too."""
    size = Decimal(9_000_000)
    for price in (size, -size):
        [bar] = bars(*(tick(price=str(price), size=str(size)) for _ in range(9)))

        assert bar.volume == 81 * 10**18
        assert bar.notional == 9 * int(price * size) * UNIT**2


@pytest.mark.parametrize("price", ["9223372.036854775807", "9223372.036854775808", f"{10**15}",
                                   "-9223372.036854775808", "-9223372.036854775809"])  # fmt: skip
def test_a_number_beyond_64_bits_is_summed_exactly(price: str) -> None:
    [bar] = bars(tick(price=price, size=f"{10**15}"), tick("10:00:01", "1", "2"), tick("10:00:02"))

    exact = int(Decimal(price) * UNIT)
    assert (bar.open, bar.close) == (exact, 100 * UNIT)
    assert (bar.high, bar.low) == (max(exact, 100 * UNIT), min(exact, UNIT))
    assert bar.notional == exact * 10**15 * UNIT + 2 * UNIT**2 + 100 * UNIT**2
    assert (bar.volume, bar.trades, bar.last_offset) == ((10**15 + 3) * UNIT, 3, 2)


def test_a_bar_counts_the_repeats_that_its_trades_tell_of() -> None:
    """Above the flags of `quality`; also where a number does not fit 64 bits (S18)."""
    rows = [tick(quality=(3 << 16) + 9), tick(quality=8), tick(quality=1 << 16)]

    assert bars(*rows)[0].duplicates == 4
    assert bars(*rows, tick(size=f"{10**15}", quality=2 << 16))[0].duplicates == 6


def test_a_quote_is_no_trade() -> None:
    assert bars(tick(price=None, size=None, bid="1", ask="2")) == []


def test_lateness_is_judged_by_the_series_own_time_before_the_trade() -> None:
    #  stream time   10:00:00   10:01:30 (M1 10:00 + 30 s of grace)
    #  trades        10:00:10 · 10:01:29.999999 · 10:00:59 · 10:01:30 · 10:00:59 late
    rows = [
        tick("10:00:10"), tick("10:01:29.999999"), tick("10:00:59"), tick("10:01:30"),
        tick("10:00:59"), tick("10:00:59", symbol="ETH/USD"), tick("10:01:00"),
    ]  # fmt: skip
    found = folded(trades(*rows), grace_us=30_000_000)

    assert (found.late, found.late_stream_us) == ([4], [us("10:01:30")])
    assert found.stream_us == [us("10:01:30"), us("10:00:59")]
    assert sum(part.bar.trades for part in found.parts) == 6


def test_lateness_goes_on_from_the_block_before() -> None:
    ticks = trades(tick("10:00:59"), tick("10:02:00"))

    found = fold(ticks, [us("10:01:30")], [30_000_000], MINUTE_US)
    assert (found.late, found.late_stream_us) == ([0], [us("10:01:30")])
    assert folded(ticks, grace_us=30_000_000).late == []


def test_a_repeated_raw_offset_is_passed_over() -> None:
    """A zombie's second copy does not rise above what was seen."""
    offsets = [7, 8, 8, None, 7, 9]
    ticks = trades(*(tick(raw_offset=raw) for raw in offsets))

    assert [part.bar.trades for part in folded(ticks).parts] == [4]
    assert [part.bar.trades for part in folded(ticks, after=8).parts] == [2]
    assert ticks.last_raw_offset == 9


NUMBERS = st.one_of(
    st.integers(-50, 50),
    st.integers(-(10**19), 10**19),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**35]),
).map(lambda unscaled: Decimal(unscaled).scaleb(-12))

ROWS = st.lists(
    st.builds(
        lambda second, sequence, trade_id, price, size, symbol: tick(
            f"10:{second // 60:02d}:{second % 60}",
            str(price), str(abs(size)), sequence=sequence, trade_id=trade_id, symbol=symbol,
        ),
        st.integers(0, 179), st.one_of(st.none(), st.integers(0, 2)),
        st.sampled_from([None, "a", "b", "ab"]), NUMBERS, NUMBERS, st.sampled_from(["A", "BC"]),
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@settings(deadline=None)  # the loops compile at their first call
@given(ROWS)
def test_the_pass_over_columns_equals_one_trade_after_another(
    rows: list[dict[str, object]],
) -> None:
    """Each block against Python's integers, one trade at a time; from a frame and from bytes."""
    frame = block(*rows)
    expected: dict[tuple[str, str, int], Bar] = {}
    appended = np.zeros(len(frame), np.int64)
    ticks = of_frame(frame, appended)
    for row in range(len(ticks)):
        bar = single(ticks, row, MINUTE_US)
        key = (*ticks.names[ticks.series[row]], bar.open_us)
        if key in expected:
            expected[key].add(bar)
        else:
            expected[key] = bar

    values = encode(frame.drop("offset", "row"), "tick", built_in().id_of("tick"))
    wire = columns(pack(values), "tick", built_in())
    assert wire is not None
    for source in (ticks, of_columns(wire, frame["offset"].to_numpy(), appended)):
        found = folded(source)
        assert {
            (*source.names[part.series], part.bar.open_us): astuple(part.bar)
            for part in found.parts
        } == {key: astuple(bar) for key, bar in expected.items()}
