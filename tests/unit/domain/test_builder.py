"""Finality, lateness, revisions, roll-up and restarts of a partition's bars."""

import random
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from app.domain.builder import BarBuilder
from app.domain.catalog import Catalog
from app.domain.plan import Plans
from app.domain.timeframes import Ladder, ladder
from app.domain.trades import of_frame
from app.errors import ConfigError
from tests.unit.domain.ticks import at, block, records, tick, trades

NAMES = ("M1", "M5", "H1")
GRACE_US = 30_000_000
LADDER = ladder(NAMES, dict.fromkeys(NAMES, GRACE_US), 3_600_000_000)
Row = dict[str, object]


def following(frames: Ladder) -> Plans:
    """Return plans of series without rules of their own."""
    return Plans(Catalog({}, [], []), lambda _: frames)


def builder() -> BarBuilder:
    return BarBuilder(following(LADDER), partition=3)


def seen(bars: list[Row], *fields: str) -> list[tuple[object, ...]]:
    return [tuple(bar[name] for name in fields) for bar in bars]


def of(bars: list[Row], timeframe: str) -> list[Row]:
    return [bar for bar in bars if bar["timeframe"] == timeframe]


def test_a_bar_is_provisional_until_stream_time_passes_its_close_and_grace() -> None:
    #  trades   10:00:10           10:01:29.9        10:01:30
    #  M1 10:00 [provisional..............closed....)[final
    bars = builder()
    bars.fold(trades(tick("10:00:10"), tick("10:01:29.9")))
    assert seen(of(records(bars.emit()), "M1"), "open_time", "revision", "reason", "is_final") == [
        (at("10:00:00"), 0, "live", False), (at("10:01:00"), 0, "live", False),
    ]  # fmt: skip

    bars.fold(trades(tick("10:01:30"), first_offset=2))
    assert seen(of(records(bars.emit()), "M1"), "open_time", "revision", "reason", "is_final") == [
        (at("10:00:00"), 1, "final", True), (at("10:01:00"), 0, "live", False),
    ]  # fmt: skip


def test_a_bar_is_final_once() -> None:
    bars = builder()
    bars.fold(trades(tick("10:00:10"), tick("10:01:30")))
    bars.emit()
    bars.fold(trades(tick("10:01:31"), tick("10:02:31"), first_offset=2))

    assert [b for b in of(records(bars.emit()), "M1") if b["open_time"] == at("10:00:00")] == []


def test_out_of_order_within_grace_is_not_late() -> None:
    bars = builder()
    late = bars.fold(trades(tick("10:01:29.9", "2"), tick("10:00:59", "9")))

    assert late == []
    assert seen(of(records(bars.emit()), "M1"), "open_time", "close", "late")[0] == (
        at("10:00:00"), Decimal(9), 0,
    )  # fmt: skip


def test_a_late_trade_revises_its_bar_and_every_final_bar_above() -> None:
    """Revision 2, reason late, with all its values; and a record for ticks.late.v1."""
    bars = builder()
    bars.fold(trades(tick("10:00:10", "5"), tick("10:06:00", "6")))
    bars.emit()
    late = bars.fold(trades(tick("10:00:20", "8", trade_id="x"), first_offset=2))

    assert seen(
        [tick.record for tick in late],
        "trade_id",
        "open_time",
        "stream_time",
        "revised",
        "tick_offset",
    ) == [("x", at("10:00:00"), at("10:06:00"), True, 2)]
    emitted = records(bars.emit())
    for timeframe in ("M1", "M5"):
        assert seen(of(emitted, timeframe), "revision", "reason", "high", "close", "late") == [
            (2, "late", Decimal(8), Decimal(8), 1)
        ]
    assert seen(of(emitted, "H1"), "revision", "trades") == [(0, 3)]


def test_a_trade_beyond_revise_for_is_recorded_alone() -> None:
    bars = builder()
    bars.fold(trades(tick("10:00:10"), tick("11:01:00.1")))
    bars.emit()
    late = bars.fold(trades(tick("10:00:20", "8"), first_offset=2))

    assert seen([tick.record for tick in late], "revised") == [(False,)]
    assert records(bars.emit()) == []


def test_one_fast_symbol_never_makes_another_late() -> None:
    bars = builder()
    late = bars.fold(trades(tick("12:00:00"), tick("10:00:00", symbol="ETH/USD")))

    assert late == []


def test_longer_bars_are_the_roll_up_of_their_children() -> None:
    """Open of the first child, close of the last, volume the sum (S12)."""
    bars = builder()
    rows = [tick(f"10:0{n}:30", str(10 + n), str(n + 1)) for n in range(5)]
    bars.fold(trades(*rows))

    [m5] = of(records(bars.emit()), "M5")
    assert seen([m5], "open", "high", "low", "close", "volume", "trades") == [
        (Decimal(10), Decimal(14), Decimal(10), Decimal(14), Decimal(15), 5)
    ]


def test_the_bar_in_which_a_series_began_is_partial() -> None:
    bars = builder()
    bars.fold(trades(tick("10:00:10"), tick("10:01:00")))

    assert seen(records(bars.emit()), "timeframe", "open_time", "partial") == [
        ("M1", at("10:00:00"), True), ("M1", at("10:01:00"), False),
        ("M5", at("10:00:00"), True), ("H1", at("10:00:00"), True),
    ]  # fmt: skip


def test_a_repeat_by_a_zombie_is_not_counted_twice() -> None:
    """Raw offsets rise along ticks.v1; one at or below the highest seen is a repeat."""
    bars = builder()
    bars.fold(trades(tick(raw_offset=7), tick(raw_offset=8)))
    bars.fold(trades(tick(raw_offset=7), tick(raw_offset=8), tick(raw_offset=9), first_offset=2))

    assert seen(of(records(bars.emit()), "M1"), "trades") == [(3,)]


def test_a_repeat_inside_one_block_is_not_counted_twice() -> None:
    bars = builder()
    bars.fold(
        trades(tick(raw_offset=7), tick(raw_offset=8), tick(raw_offset=8), tick(raw_offset=7))
    )

    assert seen(of(records(bars.emit()), "M1"), "trades") == [(2,)]


def test_longer_bars_may_wait_but_their_finals_never_do() -> None:
    bars = builder()
    bars.fold(trades(tick("10:00:10")))
    assert [bar["timeframe"] for bar in records(bars.emit(base_only=True))] == ["M1"]
    bars.fold(trades(tick("10:05:30"), first_offset=1))
    assert seen(records(bars.emit(base_only=True)), "timeframe", "open_time", "is_final") == [
        ("M1", at("10:00:00"), True), ("M5", at("10:00:00"), True),
        ("M1", at("10:05:00"), False),
    ]  # fmt: skip
    assert seen(records(bars.emit()), "timeframe", "trades") == [("M5", 1), ("H1", 2)]
    assert records(bars.emit()) == []


def test_state_of_other_timeframes_is_refused() -> None:
    """Its longer bars would be made of too few children, without a word."""
    bars = builder()
    bars.fold(trades(tick("10:00:10")))
    rows = [(key, value) for key, value in bars.save() if value is not None]
    shorter = ladder(("S1", "M1"), {"S1": 0, "M1": 0}, 0)

    with pytest.raises(ConfigError, match="must be M1,M5,H1 as in the saved state, was S1,M1"):
        BarBuilder(following(shorter), partition=3).restore(rows)


def test_a_bar_is_kept_until_it_is_final_however_long_its_grace() -> None:
    patient = BarBuilder(following(ladder(("M1",), {"M1": 1_800_000_000}, 0)), partition=0)
    for minute in range(40):
        patient.fold(trades(tick(f"10:{minute:02d}:00"), first_offset=minute))
        list(patient.save())

    assert len([bar for bar in records(patient.emit()) if bar["revision"] == 1]) == 9


def test_quotes_do_not_touch_bars() -> None:
    bars = builder()
    bars.fold(trades(tick(price=None, size=None, bid="1", ask="2")))

    assert records(bars.emit()) == []


def test_lineage_names_the_offsets_used() -> None:
    bars = builder()
    bars.fold(trades(tick("10:00:01"), tick("10:00:02"), first_offset=40))

    [bar] = of(records(bars.emit()), "M1")
    assert (bar["source_partition"], bar["first_offset"], bar["last_offset"]) == (3, 40, 41)


def walk(seed: int, count: int, spread_s: int) -> pl.DataFrame:
    """Return trades of two symbols, arriving up to `spread_s` late."""
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        clock = n * 2.5
        row = tick(
            f"10:{int(clock // 60) % 60:02d}:{clock % 60:.6f}" if clock < 3600
            else f"{10 + int(clock // 3600)}:{int(clock % 3600 // 60):02d}:{clock % 60:.6f}",
            str(rng.randrange(90, 110)), str(rng.randrange(1, 9)),
            symbol=rng.choice(["BTC/USD", "ETH/USD"]), trade_id=str(n), sequence=n,
        )  # fmt: skip
        rows.append((clock + rng.uniform(0, spread_s), row))
    rows.sort(key=lambda pair: pair[0])
    return block(*(row for _, row in rows))


def played(
    ticks: pl.DataFrame, cuts: random.Random, *, crashes: bool
) -> tuple[dict[object, Row], list[str]]:
    """Return the newest emission of each bar, and every emission with revision >= 1."""
    bars, rows, newest, history = builder(), {}, {}, []
    start = 0
    while start < len(ticks):
        size = cuts.choice([1, 3, 40, 400])
        part = ticks[start : start + size]
        bars.fold(of_frame(part, np.zeros(len(part), np.int64)))
        start += size
        if cuts.random() < 0.5:
            history += take(bars, newest)
        if crashes and cuts.random() < 0.2:
            history += take(bars, newest)
            for key, value in bars.save():
                rows.pop(key, None)
                if value is not None:
                    rows[key] = value
            bars = builder()
            bars.restore(rows.items())
    history += take(bars, newest)
    return newest, sorted(history)


def take(bars: BarBuilder, newest: dict[object, Row]) -> list[str]:
    finals = []
    for bar in records(bars.emit()):
        newest[bar["symbol"], bar["timeframe"], bar["open_time"]] = bar
        if bar["revision"]:
            finals.append(str(bar))
    return finals


@pytest.mark.parametrize("seed", range(2))
def test_cuts_and_restarts_change_neither_bars_nor_histories(seed: int) -> None:
    """Late trades included: revisions depend on the log's order, not on blocks or crashes."""
    ticks = walk(seed, 800, spread_s=240)

    whole = played(ticks, random.Random(0), crashes=False)
    cut = played(ticks, random.Random(seed + 1), crashes=True)

    assert cut == whole
    assert any(bar["late"] for bar in whole[0].values())


@pytest.mark.parametrize("seed", range(2))
def test_arrival_within_grace_changes_no_bar(seed: int) -> None:
    ordered = walk(seed, 800, spread_s=0)
    shuffled = walk(seed, 800, spread_s=29)
    lineage = ("first_offset", "last_offset")

    def values(ticks: pl.DataFrame) -> dict[object, Row]:
        newest, _ = played(ticks, random.Random(seed), crashes=True)
        return {k: {f: v for f, v in bar.items() if f not in lineage} for k, bar in newest.items()}

    assert values(shuffled) == values(ordered)


def test_late_trades_lead_to_the_same_values_as_timely_ones() -> None:
    ordered, late = walk(5, 800, spread_s=0), walk(5, 800, spread_s=600)
    values = ("open", "high", "low", "close", "volume", "notional", "vwap", "trades")

    a, _ = played(ordered, random.Random(1), crashes=False)
    b, _ = played(late, random.Random(2), crashes=True)

    assert {k: seen([bar], *values) for k, bar in a.items()} == {
        k: seen([bar], *values) for k, bar in b.items()
    }
