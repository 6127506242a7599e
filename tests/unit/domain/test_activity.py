"""Tick, volume and value bars: where they are cut, and that nothing but the log decides it."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.activity import ActivityBars, _product, spec
from app.domain.partials import EVERYTHING, HIGH_LOW, OPEN_CLOSE
from app.errors import ConfigError
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.domain.ticks import at, records, tick, trades

Row = dict[str, Any]
UNIT = 10**12


def activity(*names: str) -> ActivityBars:
    """Return what builds the same bars of all series."""
    specs = [spec(name) for name in names]
    return ActivityBars(lambda _: specs, partition=3)


def built(name: str, *rows: Row) -> list[Row]:
    """Return the bars of one block: those closed, then the open one."""
    bars = activity(name)
    bars.fold(trades(*rows))
    return records(bars.emit())


def seen(bars: list[Row], *fields: str) -> list[tuple[object, ...]]:
    return [tuple(bar[name] for name in fields) for bar in bars]


def counts(bars: list[Row]) -> list[tuple[object, ...]]:
    return seen(bars, "trades", "is_final")


def test_a_tick_bar_closes_with_the_trade_that_fills_it() -> None:
    """Final at once: no later trade and no grace is waited for."""
    #  trades  1 2 3 | 4 5 6 | 7
    #  T3     [      )[      )[...
    found = built("T3", *(tick(f"10:00:0{n}", str(n)) for n in range(1, 8)))

    assert seen(found, "open", "close", "trades", "revision", "reason", "is_final") == [
        (1, 3, 3, 1, "final", True), (4, 6, 3, 1, "final", True), (7, 7, 1, 0, "live", False),
    ]  # fmt: skip
    assert {bar["timeframe"] for bar in found} == {"T3"}


def test_a_volume_bar_closes_at_its_threshold_and_not_a_unit_before() -> None:
    #  sizes   0.3 0.199999999999 | 0.3 0.2 | 0.6 |
    #  V0.5    0.499999999999 ... closes with the third
    sizes = ["0.3", "0.199999999999", "0.3", "0.3", "0.2", "0.6"]
    found = built("V0.5", *(tick(size=size) for size in sizes))

    assert counts(found) == [(3, True), (2, True), (1, True)]
    assert seen(found, "volume") == [
        (Decimal("0.799999999999"),), (Decimal("0.5"),), (Decimal("0.6"),),
    ]  # fmt: skip


def test_what_a_trade_brings_beyond_the_threshold_is_not_carried_over() -> None:
    """No trade is split: after one of 25, a V10 begins at nothing, not at 15."""
    found = built("V10", *(tick(size=size) for size in ("25", "9", "1", "9")))

    assert counts(found) == [(1, True), (2, True), (1, False)]
    assert seen(found, "volume") == [(25,), (10,), (9,)]


def test_a_value_bar_closes_at_price_times_size_to_the_last_digit() -> None:
    """1e-24 below 1000 is not 1000."""
    below = "0.000000000001"
    almost = ["999", f"0.{'9' * 12}", below]  # 999 + (1 - 1e-12) x 1 + 1e-12 x (1 - 1e-12)
    rows = [tick(price=almost[0]), tick(price=almost[1]), tick(price=below, size=almost[1])]
    found = built("N1000", *rows, tick(price=below, size=below), tick(price="1000"))

    assert counts(found) == [(4, True), (1, True)]
    assert found[0]["notional"] == 1000
    assert counts(built("N1000", *rows)) == [(3, False)]


def test_a_negative_price_brings_a_value_bar_nearer_its_end() -> None:
    """Oil on 2020-04-20: |price| x size is counted, the record's notional keeps the sign."""
    found = built("N100", tick(price="-60"), tick(price="30"), tick(price="-10"))

    assert counts(found) == [(3, True)]
    assert seen(found, "notional", "vwap", "high", "low") == [
        (-40, Decimal("-13.333333333333"), 30, -60)
    ]


def test_a_trade_of_size_0_is_a_trade_and_no_volume() -> None:
    rows = [tick(size="0"), tick(size=None), tick(size="1")]

    assert counts(built("T2", *rows)) == [(2, True), (1, False)]
    assert counts(built("V1", *rows)) == [(3, True)]
    assert counts(built("N100", *rows)) == [(3, True)]


def test_open_and_close_go_by_rank_though_the_cut_goes_by_the_log() -> None:
    """First and last by (event_time, sequence) of those the log put into the bar (S3)."""
    #  log     10:00:02 · 10:00:01 · 10:00:03/2 · 10:00:03/1 | 10:00:00
    found = built(
        "T4", tick("10:00:02", "2"), tick("10:00:01", "1"), tick("10:00:03", "4", sequence=2),
        tick("10:00:03", "3", sequence=1), tick("10:00:00", "0"),
    )  # fmt: skip

    assert seen(found, "open", "close") == [(1, 4), (0, 0)]


def test_a_bar_is_open_from_its_first_trade_to_behind_its_latest() -> None:
    """close_time is exclusive, as a time bar's."""
    #  log     10:00:02 · 10:00:05 · 10:00:03 | 10:00:06
    rows = [tick("10:00:02"), tick("10:00:05"), tick("10:00:03"), tick("10:00:06")]
    found = built("T3", *rows)

    assert seen(found, "open_time", "close_time") == [
        (at("10:00:02"), at("10:00:05.000001")), (at("10:00:06"), at("10:00:06.000001")),
    ]  # fmt: skip


def test_bars_of_one_microsecond_open_one_after_another() -> None:
    """The key has open_time: it rises by 1 µs at least, whatever the trades' times do."""
    rows = [tick("10:00:02"), tick("10:00:02"), tick("10:00:01"), tick("10:00:02.000003")]
    found = built("T1", *rows)

    assert seen(found, "open_time", "close_time") == [
        (at("10:00:02"), at("10:00:02.000001")),
        (at("10:00:02.000001"), at("10:00:02.000002")),
        (at("10:00:02.000002"), at("10:00:02.000003")),
        (at("10:00:02.000003"), at("10:00:02.000004")),
    ]


def test_a_late_trade_counts_where_it_stands_in_the_log() -> None:
    """No bar is cut again: the closed one is not revised, the open one takes it."""
    bars = activity("T2")
    bars.fold(trades(tick("10:00:01"), tick("10:00:02"), tick("12:00:00")))
    bars.emit()
    bars.fold(trades(tick("10:00:01.5", "7"), first_offset=3))

    assert seen(
        records(bars.emit()), "open_time", "close_time", "open", "close", "revision", "late"
    ) == [(at("12:00:00"), at("12:00:00.000001"), 7, 100, 1, 0)]


def test_corrections_cancels_and_quotes_are_passed_over() -> None:
    rows = [
        tick(trade_id="a"), tick(action="CORRECT", trade_id="a", price="5"), tick(price=None),
        tick(action="CANCEL", trade_id="a"), tick(price="101"),
    ]  # fmt: skip

    assert seen(built("T2", *rows), "trades", "high", "low") == [(2, 101, 100)]


def test_a_repeated_raw_offset_is_passed_over() -> None:
    """A zombie's second copy does not rise above what was seen; a tick without one counts."""
    ticks = trades(*(tick(raw_offset=raw) for raw in (7, 8, 8, None, 7, 9)))
    for after, expected, is_full in ((-1, 4, True), (7, 3, False), (8, 2, False)):
        bars = activity("T4", "V4")
        bars.fold(ticks, after)
        assert (
            seen(records(bars.emit()), "trades", "volume", "is_final")
            == [(expected, expected, is_full)] * 2
        )


@pytest.mark.parametrize("size", ["1", f"{10**12}"])
def test_sale_conditions_decide_what_a_trade_counts_for(size: str) -> None:
    #  trade      1     2           3        4
    #  counts     all   no volume   nothing  all
    ticks = trades(*(tick(price=str(n), size=size) for n in range(1, 5)))
    uses = np.array([EVERYTHING, OPEN_CLOSE | HIGH_LOW, 0, EVERYTHING], np.uint8)
    zeros = size[1:]
    bars = activity("T2", f"V2{zeros}", f"N5{zeros}")
    bars.fold(ticks, uses=uses)

    one = Decimal(size)
    assert seen(records(bars.emit()), "timeframe", "trades", "volume", "is_final") == [
        ("T2", 2, one, True), (f"V2{zeros}", 3, 2 * one, True), (f"N5{zeros}", 3, 2 * one, True),
        ("T2", 1, one, False),
    ]  # fmt: skip


def test_a_bar_without_any_price_is_kept_through_a_restart() -> None:
    """An odd lot counts for volume alone."""
    bars = activity("V3")
    bars.fold(trades(tick(), tick()), uses=np.array([4, 4], np.uint8))
    [(key, value)] = bars.save()
    again = activity("V3")
    again.restore([(key, value)])
    again.fold(trades(tick(price="7"), first_offset=2))

    assert seen(records(again.emit()), "open", "high", "close", "volume", "vwap") == [
        (7, 7, 7, 3, 69)
    ]


def test_an_open_bar_is_emitted_once_a_change_and_a_closed_one_once() -> None:
    bars = activity("T2")
    bars.fold(trades(tick()))
    assert records(bars.emit(finals_only=True)) == []
    assert counts(records(bars.emit())) == [(1, False)]
    assert records(bars.emit()) == []

    bars.fold(trades(tick(), tick(), first_offset=1))
    assert counts(records(bars.emit(finals_only=True))) == [(2, True)]
    assert counts(records(bars.emit())) == [(1, False)]
    assert records(bars.emit()) == []


def test_the_bar_in_which_a_series_began_is_partial() -> None:
    found = built("T2", tick(), tick(), tick(), tick(symbol="ETH/USD"))

    assert seen(found, "symbol", "partial") == [
        ("BTC/USD", True), ("BTC/USD", False), ("ETH/USD", True),
    ]  # fmt: skip


def test_lineage_names_the_offsets_used() -> None:
    bars = activity("T2")
    bars.fold(trades(*(tick() for _ in range(3)), first_offset=40))

    assert seen(records(bars.emit()), "source_partition", "first_offset", "last_offset") == [
        (3, 40, 41), (3, 42, 42),
    ]  # fmt: skip


@pytest.mark.parametrize("size", ["1", f"{10**12}"])
def test_a_series_may_have_bars_of_its_own(size: str) -> None:
    """Those of others are not touched by its trades, and it has none of theirs."""
    #  blocks       0 | 1 | r  3  4 | 5  6    r: a repeat of 1
    #  BTC  T2      x           x        x
    #  ETH  T2, V2      x   x      x
    #  XRP  none                      x
    volume = spec(f"V2{size[1:]}")
    specs = {"BTC/USD": [spec("T2")], "ETH/USD": [volume, spec("T2")], "XRP/USD": []}
    symbols = ["BTC/USD", "ETH/USD", "ETH/USD", "BTC/USD", "ETH/USD", "XRP/USD", "BTC/USD"]
    rows = [
        tick(symbol=symbol, size=size, raw_offset=raw)
        for symbol, raw in zip(symbols, [0, 1, 1, 3, 4, 5, 6], strict=True)
    ]
    bars = ActivityBars(lambda name: specs[name[1]], partition=3)
    for start, stop, after in ((0, 1, -1), (1, 2, 0), (2, 5, 1), (5, 7, 4)):
        bars.fold(trades(*rows[start:stop], first_offset=start), after)

    found = seen(records(bars.emit()), "symbol", "timeframe", "trades", "is_final", "last_offset")
    assert sorted(map(str, found)) == [
        "('BTC/USD', 'T2', 1, False, 6)",
        "('BTC/USD', 'T2', 2, True, 3)",
        "('ETH/USD', 'T2', 2, True, 4)",
        f"('ETH/USD', '{volume.name}', 2, True, 4)",
    ]
    assert [key for key, _ in bars.save()] == ["BTC/USD@KRAKEN|activity", "ETH/USD@KRAKEN|activity"]


def test_series_and_specs_are_cut_on_their_own() -> None:
    bars = activity("T2", "V4")
    bars.fold(trades(
        tick(size="3"), tick(symbol="ETH/USD", size="3"), tick(venue="COINBASE", size="3"),
        tick(size="2"), tick(symbol="ETH/USD", size="0.5"),
    ))  # fmt: skip

    assert sorted(
        map(str, seen(records(bars.emit()), "venue", "symbol", "timeframe", "volume"))
    ) == [
        "('COINBASE', 'BTC/USD', 'T2', Decimal('3.000000000000'))",
        "('COINBASE', 'BTC/USD', 'V4', Decimal('3.000000000000'))",
        "('KRAKEN', 'BTC/USD', 'T2', Decimal('5.000000000000'))",
        "('KRAKEN', 'BTC/USD', 'V4', Decimal('5.000000000000'))",
        "('KRAKEN', 'ETH/USD', 'T2', Decimal('3.500000000000'))",
        "('KRAKEN', 'ETH/USD', 'V4', Decimal('3.500000000000'))",
    ]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        # One unit below, at, and behind 2^63 and 2^64 units of volume.
        ("V9223372.036854775808", ["9223372.036854775807", "0.000000000001"]),
        ("V18446744.073709551616", ["18446744.073709551615", "0.000000000001"]),
        ("V18446744.073709551617", ["9223372.036854775808", "9223372.036854775808", "1"]),
        ("V99999999999999", ["99999999999998.999999999999", "0.000000000001"]),
        ("V1", [f"{10**20}"]),
    ],
)
def test_thresholds_and_sizes_beyond_64_bits_are_exact(name: str, rows: list[str]) -> None:
    sizes = [tick(size=size) for size in rows]
    assert counts(built(name, *sizes)) == [(len(rows), True)]
    assert counts(built(name, *sizes[:-1])) == ([(len(rows) - 1, False)] if sizes[1:] else [])

    bars = activity(name)
    for n, row in enumerate(sizes):
        bars.fold(trades(row, first_offset=n))
    assert counts(records(bars.emit())) == [(len(rows), True)]


def test_records_are_those_of_bar_avsc() -> None:
    codec = RecordCodec("bar", built_in())
    bars = activity("T2", "V0.5", "N1000000")
    bars.fold(trades(tick(), tick(), tick()))

    for found in records(bars.emit()):
        assert codec.decode(codec.encode(found)) == found


@pytest.mark.parametrize(
    ("name", "kind", "threshold"),
    [
        ("T1", "T", 1), ("T1000", "T", 1000), ("V100", "V", 100 * UNIT), ("V0.5", "V", UNIT // 2),
        ("V0.000000000001", "V", 1), ("N1000000", "N", 10**6 * UNIT**2),
        ("N0.000000000001", "N", UNIT), ("N99999999999999", "N", 99999999999999 * UNIT**2),
    ],
)  # fmt: skip
def test_a_name_says_kind_and_threshold(name: str, kind: str, threshold: int) -> None:
    found = spec(name)

    assert (found.name, found.kind, found.threshold) == (name, kind, threshold)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "must be T, V or N"), ("T", "must be T, V or N"), ("M1", "must be T, V or N"),
        ("T-1", "must be T, V or N"), ("T1e3", "must be T, V or N"), ("V.5", "must be T, V or N"),
        ("T1\n", "must be T, V or N"), ("T\u0661", "must be T, V or N"),
        ("V1.", "needless zeros"), ("V0.50", "needless zeros"), ("T010", "needless zeros"),
        ("T0", "above 0, was 'T0'"), ("V0", "above 0"), ("N0", "above 0"),
        ("T0.5", "kind T must have at most 14 whole digits and 0 decimals, was 'T0.5'"),
        ("V0.0000000000001", "kind V must have at most 14 whole digits and 12 decimals"),
        ("N0.0000000000001", "12 decimals"), ("N100000000000000", "14 whole digits"),
    ],
)  # fmt: skip
def test_a_name_that_says_it_wrong_is_refused(name: str, rule: str) -> None:
    """One threshold has one name: it is part of the bars' key."""
    with pytest.raises(ValueError, match=rule):
        spec(name)


@pytest.mark.parametrize("names", [("T5",), ("T5", "V1", "N1")])
def test_state_of_other_specs_is_refused(names: tuple[str, ...]) -> None:
    """What is new would begin in the middle of the log, and be cut elsewhere than in a replay."""
    bars = activity("T5", "V1")
    bars.fold(trades(tick()))

    with pytest.raises(
        ConfigError, match=f"of BTC/USD@KRAKEN must be T5,V1 as .* were {','.join(sorted(names))};"
    ):
        activity(*names).restore(bars.save())


def test_without_specs_there_are_no_bars() -> None:
    bars = activity()
    bars.fold(trades(tick()))

    assert (records(bars.emit()), list(bars.save())) == ([], [])


def test_only_what_changed_is_saved() -> None:
    bars = activity("T5")
    bars.fold(trades(tick(), tick(symbol="ETH/USD")))
    assert [key for key, _ in bars.save()] == ["BTC/USD@KRAKEN|activity", "ETH/USD@KRAKEN|activity"]
    bars.fold(trades(tick(), tick(symbol="ETH/USD", price=None), first_offset=2))

    assert [key for key, _ in bars.save()] == ["BTC/USD@KRAKEN|activity"]


WORD = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from([2**32 - 1, 2**32, 2**63, 2**64 - 2**32, 2**64 - 1]),
)


@settings(deadline=None)  # the loops compile at their first call
@given(WORD, WORD)
def test_products_of_64_bits_have_128(a: int, b: int) -> None:
    high, low = _product(np.uint64(a), np.uint64(b))

    assert (int(high) << 64) + int(low) == a * b


NUMBERS = st.one_of(
    st.integers(0, 50),
    st.integers(0, 3 * UNIT),
    st.integers(0, 10**19),
    st.sampled_from([2**32, 2**63 - 1, 2**63, 2**64, 10**35]),
).map(lambda unscaled: Decimal(unscaled).scaleb(-12))

ROWS = st.lists(
    st.builds(
        lambda second, price, size, sign, symbol, action: tick(
            f"10:00:{second / 1e6:f}", str(sign * price), str(size), symbol=symbol, action=action
        ),
        st.integers(0, 9), NUMBERS, NUMBERS, st.sampled_from([1, -1]), st.sampled_from(["A", "B"]),
        st.sampled_from(["NEW", "NEW", "NEW", "CANCEL"]),
    ),
    min_size=1, max_size=40,
)  # fmt: skip
CUTS = st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans()), min_size=1)
SPECS = ("T1", "T3", "V0.000000000007", "V2", "V40000000", "N0.000000000007", "N3", "N30000000000")


def reference(name: str, rows: list[Row]) -> Iterator[Row]:
    """Yield the bars of one series trade by trade, in decimals of 120 digits."""
    goal, microsecond = Decimal(name[1:]), timedelta(microseconds=1)
    held: list[Row] = []
    done, opened = Decimal(0), at("00:00:00")
    for row in rows:
        held.append(row)
        value = abs(row["price"] * row["size"])
        done += {"T": Decimal(1), "V": row["size"], "N": value}[name[0]]
        is_final = done >= goal
        if is_final or row is rows[-1]:
            ranked = sorted(held, key=lambda row: (row["event_time"], row["price"], row["size"]))
            opened = max(opened + microsecond, held[0]["event_time"])
            prices = [row["price"] for row in held]
            yield {
                "timeframe": name,
                "open_time": opened,
                "close_time": max(opened, ranked[-1]["event_time"]) + microsecond,
                "open": ranked[0]["price"],
                "high": max(prices),
                "low": min(prices),
                "close": ranked[-1]["price"],
                "volume": sum(row["size"] for row in held),
                "notional": sum(row["price"] * row["size"] for row in held),
                "trades": len(held),
                "is_final": is_final,
                "first_offset": held[0]["offset"],
                "last_offset": held[-1]["offset"],
            }
            held, done = [], Decimal(0)


def played(rows: list[Row], cuts: list[tuple[int, bool, bool]]) -> Iterator[Row]:
    """Yield what is emitted of blocks of these sizes, each with an emission, a restart or both."""
    bars, start, n = activity(*SPECS), 0, 0
    saved: dict[str, str] = {}
    while start < len(rows):
        size, is_emitted, is_restarted = cuts[n % len(cuts)]
        bars.fold(trades(*rows[start : start + size]))
        start, n = start + size, n + 1
        if is_emitted or is_restarted:
            yield from records(bars.emit())
        if is_restarted:
            saved.update(bars.save())
            bars = activity(*SPECS)
            bars.restore(saved.items())
    yield from records(bars.emit())


@settings(deadline=None)
@given(ROWS, CUTS)
def test_blocks_and_restarts_change_no_bar(
    rows: list[Row], cuts: list[tuple[int, bool, bool]]
) -> None:
    """Against one trade after another: every cut, every value, each bar closed once."""
    rows = [{**row, "offset": n} for n, row in enumerate(rows)]
    counted = [row for row in rows if row["action"] == "NEW"]
    with localcontext(prec=120):
        expected = {
            (symbol, bar["timeframe"], bar["open_time"]): bar
            for symbol in {row["symbol"] for row in counted}
            for name in SPECS
            for bar in reference(name, [row for row in counted if row["symbol"] == symbol])
        }
    emitted = list(played(rows, cuts))

    newest = {(bar["symbol"], bar["timeframe"], bar["open_time"]): bar for bar in emitted}
    assert {
        key: {name: bar[name] for name in expected[key]} if key in expected else bar
        for key, bar in newest.items()
    } == expected
    assert sum(bar["is_final"] is True for bar in emitted) == sum(
        bar["is_final"] is True for bar in expected.values()
    )


@settings(deadline=None)
@given(ROWS, CUTS)
def test_sums_of_bars_are_the_sums_of_their_trades(
    rows: list[Row], cuts: list[tuple[int, bool, bool]]
) -> None:
    """Nothing is left between two bars, nothing is in both."""
    newest = {
        (bar["symbol"], bar["timeframe"], bar["open_time"]): bar
        for bar in played([{**row, "offset": n} for n, row in enumerate(rows)], cuts)
    }

    counted = [row for row in rows if row["action"] == "NEW"]
    with localcontext(prec=120):
        volume = sum(row["size"] for row in counted)
        notional = sum(row["price"] * row["size"] for row in counted)
        for name in SPECS:
            bars = [bar for (_, timeframe, _), bar in newest.items() if timeframe == name]
            assert sum(bar["volume"] for bar in bars) == volume
            assert sum(bar["notional"] for bar in bars) == notional
            assert sum(bar["trades"] for bar in bars) == len(counted)
