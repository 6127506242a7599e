"""Quote bars: sides, mids, what counts, and that they behave as bars of trades do."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.bars import Bar, BarRow, bar_row, decimal
from app.domain.quote_bars import (
    SIDES,
    Folded,
    Quotes,
    QuoteSeries,
    fold,
    labelled,
    mids,
    of_frame,
)
from app.domain.series import Emission, Series
from app.domain.shelf import NEVER
from app.domain.timeframes import ladder
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.domain.ticks import at, block, records, tick, us

Row = dict[str, Any]
UNIT = 10**12
NAMES = ("M1", "M5")
MINUTE_US = 60_000_000
GRACE_US = 30_000_000
FOR_EVER_US = 2**60
LADDER = ladder(NAMES, dict.fromkeys(NAMES, GRACE_US), 3_600_000_000)


def quote(
    clock: str = "10:00:00", bid: str | None = "1", ask: str | None = "3", **fields: object
) -> Row:
    return tick(clock, None, None, bid=bid, ask=ask, **fields)


def quotes(*rows: Row, first_offset: int = 0) -> Quotes:
    frame = block(*rows, first_offset=first_offset)
    return of_frame(frame, np.zeros(len(frame), np.int64))


def folded(*rows: Row, grace_us: int = FOR_EVER_US, after: int = -1) -> Folded:
    found = quotes(*rows)
    count = len(found.ticks.names)
    return fold(found, [NEVER] * count, [grace_us] * count, MINUTE_US, after)


def bars(*rows: Row) -> dict[str, list[Bar]]:
    """Return the bars of each side that one block makes."""
    found = defaultdict(list)
    for part in folded(*rows).parts:
        found[part.side].append(part.bar)
    return found


def prices(bar: Bar) -> tuple[Decimal, ...]:
    return tuple(
        decimal(price) for price in (bar.open, bar.high, bar.low, bar.close) if price is not None
    )


class Market:
    """Quote bars of every series, wired as a builder does it."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], QuoteSeries] = {}
        self.rows: dict[Any, str] = {}

    def of(self, name: tuple[str, str]) -> QuoteSeries:
        if name not in self.series:
            self.series[name] = QuoteSeries(lambda: Series(LADDER))
        return self.series[name]

    def fold(self, frame: pl.DataFrame) -> list[bool]:
        """Fold a block; return of each late quote whether its bars were revised."""
        found = of_frame(frame, np.zeros(len(frame), np.int64))
        names = found.ticks.names
        known = [self.of(name).stream_us for name in names]
        made = fold(found, known, [GRACE_US] * len(names), MINUTE_US)
        for part in made.parts:
            self.of(names[part.series]).fold(part.side, part.bar)
        revised = [
            self.of(names[found.ticks.series[late.row]]).revise(late.bars, late.stream_us)
            for late in made.late
        ]
        for name, stream_us in zip(names, made.stream_us, strict=True):
            self.of(name).advance(stream_us)
        return revised

    def emit(self) -> list[BarRow]:
        return [
            labelled(made(emission, *name), side)
            for name, series in sorted(self.series.items())
            for side, emission in series.emissions()
        ]

    def restarted(self) -> "Market":
        for name, series in self.series.items():
            for side, rung, open_us, bar in series.save():
                self.rows.pop((name, side, rung, open_us), None)
                if bar is not None:
                    self.rows[name, side, rung, open_us] = json.dumps(astuple(bar))
        again = Market()
        again.rows = self.rows
        for (name, side, rung, open_us), row in self.rows.items():
            _, opened, closed, *others = json.loads(row)
            bar = Bar(open_us, opened and tuple(opened), closed and tuple(closed), *others)
            again.of(name).restore(side, rung, bar)
        for name, series in self.series.items():
            again.of(name).restore_state(json.loads(json.dumps(series.state())))
        return again


def made(emission: Emission, venue: str, symbol: str) -> BarRow:
    """Return an emission as a builder makes it of a bar of trades."""
    timeframe = LADDER.rungs[emission.rung].timeframe
    return bar_row(
        emission.bar, symbol, venue, timeframe.name, timeframe.width_us, partition=3,
        partial=emission.partial, close_us=emission.close_us,
    )  # fmt: skip


def played(*rows: Row) -> list[Row]:
    market = Market()
    market.fold(block(*rows))
    return records(market.emit())


def seen(found: list[Row], *fields: str) -> list[tuple[object, ...]]:
    return [tuple(bar[name] for name in fields) for bar in found]


def test_a_quote_makes_a_bar_of_each_side_and_of_the_middle() -> None:
    #  time  10:00:00   10:00:20   10:00:40
    #  bid       1          4          2
    #  ask       3          5          2.5
    #  mid       2          4.5        2.25
    found = bars(
        quote("10:00:00", "1", "3"), quote("10:00:20", "4", "5"), quote("10:00:40", "2", "2.5")
    )

    assert {side: prices(bar) for side, [bar] in found.items()} == {
        "bid": (1, 4, 1, 2),
        "ask": (3, 5, Decimal("2.5"), Decimal("2.5")),
        "mid": (2, Decimal("4.5"), 2, Decimal("2.25")),
    }


def test_a_quote_on_the_boundary_opens_the_next_bar() -> None:
    """[open_time, close_time): the end belongs to the next bar (S1)."""
    found = bars(quote("10:00:59.999999"), quote("10:01:00"))

    for side in SIDES:
        assert [bar.open_us for bar in found[side]] == [us("10:00:00"), us("10:01:00")]


@pytest.mark.parametrize(
    ("bid", "ask", "mid"),
    [
        (0, 1, 0), (1, 2, 2), (2, 3, 2), (3, 4, 4), (1, 3, 2), (-1, 0, 0), (-2, -1, -2),
        (-3, -2, -2), (-3, 4, 0), (-1, 4, 2),
    ],
)  # fmt: skip
def test_half_a_unit_is_rounded_to_even(bid: int, ask: int, mid: int) -> None:
    """Prices have 12 digits; their middle can need a 13th."""
    found = bars(quote(bid=str(decimal(bid)), ask=str(decimal(ask))))

    assert [bar.close for bar in found["mid"]] == [mid]


PRICES = st.one_of(
    st.integers(-9, 9),
    st.integers(-(2**64), 2**64),
    st.sampled_from([2**63 - 1, 2**63 - 2, 2**63, -(2**63), -(2**63) - 1, 10**37, -(10**37)]),
)


@given(st.lists(st.tuples(PRICES, PRICES), min_size=1, max_size=8))
def test_mids_are_exact_whatever_the_width(pairs: list[tuple[int, int]]) -> None:
    """Against decimals of 60 digits; a crossed quote has none."""
    found = quotes(*(quote(bid=str(decimal(b)), ask=str(decimal(a))) for b, a in pairs))
    made = mids(found.bid, found.ask)

    with localcontext(prec=60):
        for row, (bid, ask) in enumerate(pairs):
            middle = (Decimal(bid) + Decimal(ask)) / 2
            assert made.is_null[row] == (bid > ask)
            if bid <= ask:
                assert made[row] == int(middle.quantize(Decimal(1), ROUND_HALF_EVEN))


@pytest.mark.parametrize("one", [Decimal(9), Decimal(10**15)])
def test_a_quote_of_one_side_has_no_mid(one: Decimal) -> None:
    found = bars(quote(bid=str(-one), ask=None), quote("10:00:01", bid=None, ask=str(one)))

    assert {side: [prices(bar) for bar in each] for side, each in found.items()} == {
        "bid": [(-one,) * 4], "ask": [(one,) * 4],
    }  # fmt: skip
    assert [bar.trades for side in found.values() for bar in side] == [1, 1]


def test_a_crossed_quote_counts_for_bid_and_ask_and_has_no_mid() -> None:
    found = bars(quote(bid="2", ask="4"), quote("10:00:01", bid="7", ask="5"))

    assert {side: (prices(bar), bar.trades) for side, [bar] in found.items()} == {
        "bid": ((2, 7, 2, 7), 2), "ask": ((4, 5, 4, 5), 2), "mid": ((3, 3, 3, 3), 1),
    }  # fmt: skip


def test_a_locked_quote_has_a_mid() -> None:
    assert [prices(bar) for bar in bars(quote(bid="5", ask="5"))["mid"]] == [(5, 5, 5, 5)]


def test_a_quote_moves_the_time_of_the_sides_it_lacks() -> None:
    """The bid's bar closes though asks alone follow; a tick without quote moves nothing."""
    #  quotes    10:00:10 both · 10:01:30 ask
    #  M1 10:00  [....................)[final at 10:01:30, all three
    first = [quote("10:00:10"), tick("10:05:00")]
    assert {bar["revision"] for bar in played(*first)} == {0}
    found = played(*first, quote("10:01:30", bid=None))

    assert seen([bar for bar in found if bar["is_final"]], "timeframe", "open_time") == [
        (f"M1.{side}", at("10:00:00")) for side in SIDES
    ]


def test_corrections_and_cancels_are_passed_over() -> None:
    found = bars(quote(action="CORRECT"), quote("10:00:01", action="CANCEL"))

    assert found == {}


def test_a_repeated_raw_offset_is_passed_over() -> None:
    rows = [quote(raw_offset=raw) for raw in (7, 8, 8, None, 7, 9)]
    for after, expected in ((-1, 4), (8, 2)):
        assert [part.bar.trades for part in folded(*rows, after=after).parts] == [expected] * 3


def test_a_tick_may_be_a_trade_and_a_quote() -> None:
    """Its own price and size have no part in the quote bars."""
    found = bars(tick(price="50", size="8", bid="1", ask="2"))

    assert {side: (prices(bar)[0], bar.volume, bar.notional) for side, [bar] in found.items()} == {
        "bid": (1, 0, 0), "ask": (2, 0, 0), "mid": (Decimal("1.5"), 0, 0),
    }  # fmt: skip


def test_a_block_without_quotes_makes_no_bar() -> None:
    assert folded(tick(), tick(price=None)) == Folded([], [], [])


def test_the_count_is_of_quotes_and_no_volume() -> None:
    codec = RecordCodec("bar", built_in())
    found = played(quote(), quote("10:00:30", ask=None))

    fields = ("timeframe", "quotes", "trades", "volume", "notional", "vwap")
    assert seen(found, *fields) == [
        ("M1.bid", 2, 0, 0, 0, None), ("M5.bid", 2, 0, 0, 0, None),
        ("M1.ask", 1, 0, 0, 0, None), ("M5.ask", 1, 0, 0, 0, None),
        ("M1.mid", 1, 0, 0, 0, None), ("M5.mid", 1, 0, 0, 0, None),
    ]  # fmt: skip
    for bar in found:
        assert codec.decode(codec.encode(bar)) == bar


def test_longer_bars_are_the_roll_up_of_their_children() -> None:
    found = played(*(quote(f"10:0{n}:30", str(5 - n), "9") for n in range(5)))

    [m5] = [bar for bar in found if bar["timeframe"] == "M5.bid"]
    assert seen([m5], "open", "high", "low", "close", "quotes") == [(5, 5, 1, 1, 5)]


def test_open_and_close_go_by_time_and_sequence_not_by_arrival() -> None:
    found = bars(
        quote("10:00:30", "4", sequence=2), quote("10:00:30", "3", sequence=1),
        quote("10:00:10", "2", sequence=9), quote("10:00:10", "1", sequence=8),
    )  # fmt: skip

    assert [(bar.open, bar.close) for bar in found["bid"]] == [(1 * UNIT, 4 * UNIT)]


def test_quotes_that_tie_are_ordered_by_price_not_by_arrival() -> None:
    rows = [quote(bid="2", ask="8"), quote(bid="1", ask="9")]
    for order in (rows, rows[::-1]):
        found = bars(*order)
        assert {side: (prices(b)[0], prices(b)[3]) for side, [b] in found.items()} == {
            "bid": (1, 2), "ask": (8, 9), "mid": (5, 5),
        }  # fmt: skip


def test_a_late_quote_revises_the_bars_of_the_sides_it_has() -> None:
    #  quotes  10:00:10 both · 10:06:00 both · 10:00:20 bid alone, late for M1 and M5
    market = Market()
    market.fold(block(quote("10:00:10"), quote("10:06:00")))
    market.emit()

    late = quote("10:00:20", "2", ask=None)
    assert market.fold(block(late, first_offset=2)) == [True]
    fields = ("timeframe", "revision", "reason", "close", "quotes", "late", "last_offset")
    assert seen(records(market.emit()), *fields) == [
        ("M1.bid", 2, "late", 2, 2, 1, 2), ("M5.bid", 2, "late", 2, 2, 1, 2),
    ]  # fmt: skip


def test_a_late_quote_of_both_sides_revises_all_three() -> None:
    market = Market()
    market.fold(block(quote("10:00:10"), quote("10:06:00")))
    market.emit()
    market.fold(block(quote("10:00:20", "2", "7"), first_offset=2))

    found = [bar for bar in records(market.emit()) if str(bar["timeframe"]).startswith("M1")]
    assert seen(found, "timeframe", "revision", "close", "volume") == [
        ("M1.bid", 2, 2, 0), ("M1.ask", 2, 7, 0), ("M1.mid", 2, Decimal("4.5"), 0),
    ]  # fmt: skip


def test_a_quote_beyond_revise_for_changes_nothing() -> None:
    market = Market()
    market.fold(block(quote("10:00:10"), quote("11:01:00.1")))
    market.emit()

    assert market.fold(block(quote("10:00:20", "2"), first_offset=2)) == [False]
    assert records(market.emit()) == []


def test_lateness_is_judged_before_the_quote_and_by_its_own_series() -> None:
    #  grace 30 s   10:00:10 · 10:01:29.999999 · 10:00:59 · 10:01:30 ask · 10:00:59 late
    found = folded(
        quote("10:00:10"), quote("10:01:29.999999"), quote("10:00:59"),
        quote("10:01:30", bid=None), quote("10:00:59"), quote("10:00:59", symbol="ETH/USD"),
        grace_us=GRACE_US,
    )  # fmt: skip

    assert [(late.row, late.stream_us, sorted(late.bars)) for late in found.late] == [
        (4, us("10:01:30"), ["ask", "bid", "mid"])
    ]
    assert found.stream_us == [us("10:01:30"), us("10:00:59")]


def test_the_clock_closes_an_idle_series_on_all_sides() -> None:
    """One stream time: it moves all by what the clock did since the last quote was appended."""
    series = QuoteSeries(lambda: Series(LADDER))
    assert series.due_us() is None
    for part in folded(quote("10:00:10")).parts:
        series.fold(part.side, part.bar)
    series.advance(us("10:00:10"), us("10:00:11"))
    series.emissions()
    due_us = series.due_us()
    assert due_us == us("10:01:31")

    series.clock(due_us - 1)
    assert series.emissions() == []
    series.clock(due_us)
    assert [(side, emission.bar.revision) for side, emission in series.emissions()] == [
        (side, 1) for side in SIDES
    ]
    assert series.stream_us == us("10:01:30")


def test_the_side_that_closes_next_is_the_one_to_wait_for() -> None:
    #  bid  10:00:10            due 10:01:30
    #  ask            10:01:00  due 10:02:30
    series = QuoteSeries(lambda: Series(LADDER))
    for part in folded(quote("10:00:10", ask=None), quote("10:01:00", bid=None)).parts:
        series.fold(part.side, part.bar)
    series.advance(us("10:01:00"), us("10:01:01"))

    assert series.due_us() == us("10:01:31")


def test_longer_bars_may_wait() -> None:
    market = Market()
    market.fold(block(quote()))
    [series] = market.series.values()

    assert [(side, e.rung) for side, e in series.emissions(base_only=True)] == [
        (side, 0) for side in SIDES
    ]
    assert [(side, e.rung) for side, e in series.emissions()] == [(side, 1) for side in SIDES]


def test_the_bar_in_which_a_side_began_is_partial() -> None:
    """Asks alone came first; a restart does not forget it."""
    market = Market()
    market.fold(block(quote("10:00:00", bid=None)))
    market.emit()
    market = market.restarted()
    market.fold(block(quote("10:01:00"), first_offset=1))

    found = [bar for bar in records(market.emit()) if str(bar["timeframe"]).startswith("M1")]
    assert seen(found, "timeframe", "open_time", "partial") == [
        ("M1.bid", at("10:01:00"), True), ("M1.ask", at("10:01:00"), False),
        ("M1.mid", at("10:01:00"), True),
    ]  # fmt: skip


def walk(seed: int, count: int, spread_s: float) -> pl.DataFrame:
    """Return quotes of two symbols, of any side, crossed or not, up to `spread_s` late."""
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        at_s = n * 2.5
        sides = rng.choice([("bid",), ("ask",), ("bid", "ask"), ("bid", "ask")])
        row = quote(
            f"{10 + int(at_s // 3600)}:{int(at_s % 3600 // 60):02d}:{at_s % 60:.6f}",
            **{side: None if side not in sides else str(rng.randrange(90, 110))
               for side in ("bid", "ask")},
            symbol=rng.choice(["EUR/USD", "USD/JPY"]), sequence=rng.choice([None, 1, 2]),
        )  # fmt: skip
        rows.append((at_s + rng.uniform(0, spread_s), row))
    rows.sort(key=lambda pair: pair[0])
    return block(*(row for _, row in rows))


def history(
    frame: pl.DataFrame, sizes: Iterable[int], rng: random.Random, *, crashes: bool
) -> tuple[dict[object, Row], list[str]]:
    """Return the newest emission of each bar, and every emission with revision >= 1."""
    market, start = Market(), 0
    newest: dict[object, Row] = {}
    finals: list[str] = []
    for size in sizes:
        market.fold(frame[start : start + size])
        start += size
        is_crash = crashes and rng.random() < 0.3
        if is_crash or rng.random() < 0.5 or start >= len(frame):
            for bar in records(market.emit()):
                newest[bar["symbol"], bar["timeframe"], bar["open_time"]] = bar
                finals += [str(bar)] if bar["revision"] else []
        if is_crash:
            market = market.restarted()
        if start >= len(frame):
            return newest, sorted(finals)
    raise AssertionError("sizes must cover the frame")


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.lists(st.integers(1, 90), min_size=200, max_size=200))
def test_blocks_and_restarts_change_neither_bars_nor_histories(seed: int, sizes: list[int]) -> None:
    """Late quotes included: revisions depend on the log's order alone."""
    frame = walk(seed, 200, spread_s=240)

    whole = history(frame, [len(frame)], random.Random(0), crashes=False)
    assert history(frame, sizes, random.Random(seed), crashes=True) == whole


@pytest.mark.parametrize("spread_s", [0, 29, 600])
def test_every_bar_is_that_of_its_quotes_whatever_their_order(spread_s: float) -> None:
    """Against decimals, one quote at a time: in order, within grace, and late."""
    newest, _ = history(
        walk(7, 400, spread_s), [40] * 10, random.Random(spread_s), crashes=True
    )  # fmt: skip
    expected: dict[object, list[tuple[Any, ...]]] = defaultdict(list)
    for row in walk(7, 400, 0).iter_rows(named=True):
        bid, ask = row["bid"], row["ask"]
        is_mid = bid is not None and ask is not None and bid <= ask
        middle = (bid + ask) / 2 if is_mid else None
        for side, price in zip(SIDES, (bid, ask, middle), strict=True):
            for name, minutes in (("M1", 1), ("M5", 5)):
                if price is not None:
                    opened = row["event_time"].replace(second=0, microsecond=0)
                    opened = opened.replace(minute=opened.minute - opened.minute % minutes)
                    rank = row["event_time"], -1 if row["sequence"] is None else row["sequence"]
                    expected[row["symbol"], f"{name}.{side}", opened].append((*rank, price))

    def values(found: list[tuple[Any, ...]]) -> tuple[Decimal, ...]:
        by_rank = [price for *_, price in sorted(found)]
        return by_rank[0], max(by_rank), min(by_rank), by_rank[-1], Decimal(len(by_rank))

    assert {
        key: (bar["open"], bar["high"], bar["low"], bar["close"], bar["quotes"])
        for key, bar in newest.items()
    } == {key: values(found) for key, found in expected.items()}
    assert any(bar["late"] for bar in newest.values()) == (spread_s > 100)
