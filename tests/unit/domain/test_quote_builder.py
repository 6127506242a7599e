"""Quote bars of a partition: which sides of which series, the clock, repeats and restarts."""

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.domain.builder import BarBuilder
from app.domain.catalog import Catalog, Quote, SeriesEntry
from app.domain.plan import Plans
from app.domain.quote_bars import of_frame as quotes_of
from app.domain.timeframes import ladder
from app.domain.trades import of_frame
from tests.unit.domain.ticks import at, block, records, tick, us

NAMES = ("M1", "M5")
LADDER = ladder(NAMES, dict.fromkeys(NAMES, 30_000_000), 3_600_000_000)
SIDES: tuple[Quote, ...] = ("bid", "ask", "mid")
Row = dict[str, Any]
Rows = dict[str, str]


def plans(*entries: SeriesEntry) -> Plans:
    return Plans(Catalog({}, [], entries), lambda _: LADDER)


ALL = plans(SeriesEntry("FX", "*", quotes=SIDES))


def quote(clock: str, bid: str | None = "1", ask: str | None = "3", **fields: object) -> Row:
    return tick(clock, None, None, **{"bid": bid, "ask": ask, "venue": "FX", **fields})


def take(bars: BarBuilder, frame: pl.DataFrame) -> None:
    """Fold a block that Kafka appended one second after it happened."""
    appended_us = frame["event_time"].to_physical().to_numpy() + 1_000_000
    late = bars.fold(of_frame(frame, appended_us), quotes_of(frame, appended_us))
    assert [each.record["price"] for each in late if each.record["price"] is None] == []


def played(followed: Plans, *rows: Row) -> BarBuilder:
    bars = BarBuilder(followed, partition=3)
    take(bars, block(*rows))
    return bars


def seen(found: list[Row], *fields: str) -> list[tuple[object, ...]]:
    return [tuple(bar[name] for name in fields) for bar in found]


def saved(bars: BarBuilder, rows: Rows) -> BarBuilder:
    """Return another that goes on where `bars` stood, with `rows` as its store."""
    for key, value in bars.save():
        rows.pop(key, None)
        if value is not None:
            rows[key] = value
    again = BarBuilder(bars.plans, bars.partition)
    again.restore(rows.items())
    return again


def test_quotes_make_bars_of_their_own_beside_those_of_trades() -> None:
    found = records(played(ALL, quote("10:00:01"), tick("10:00:02", "7", "2", venue="FX")).emit())

    fields = ("timeframe", "close", "quotes", "trades", "volume", "source_partition")
    assert seen(found, *fields) == [
        ("M1", 7, 0, 1, 2, 3), ("M5", 7, 0, 1, 2, 3),
        ("M1.bid", 1, 1, 0, 0, 3), ("M5.bid", 1, 1, 0, 0, 3),
        ("M1.ask", 3, 1, 0, 0, 3), ("M5.ask", 3, 1, 0, 0, 3),
        ("M1.mid", 2, 1, 0, 0, 3), ("M5.mid", 2, 1, 0, 0, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("sides", [("bid",), ("mid",), ("ask", "mid"), ()])
def test_only_the_sides_asked_for_are_told(sides: tuple[Quote, ...]) -> None:
    built = played(plans(SeriesEntry("FX", "*", quotes=sides)), quote("10:00:01"))
    found = records(built.emit())

    assert [bar["timeframe"] for bar in found] == [f"{n}.{side}" for side in sides for n in NAMES]


def test_a_series_that_asks_for_none_has_none_though_another_of_the_block_does() -> None:
    rows = [quote("10:00:01", symbol="A/B"), quote("10:00:02", venue="X"), quote("10:00:03")]
    bars = played(ALL, *rows)

    found = [bar for bar in records(bars.emit()) if bar["timeframe"] == "M1.bid"]
    assert seen(found, "venue", "symbol", "first_offset") == [
        ("FX", "A/B", 0), ("FX", "BTC/USD", 2),
    ]  # fmt: skip
    kept = {key for key, _ in bars.save() if key.endswith("@X|quotes")}
    assert kept == set(), "what nobody asks for is not kept"
    assert ALL.has_quote_bars([("X", "A/B"), ("FX", "A/B")])
    assert not ALL.has_quote_bars([("X", "A/B")])
    assert not plans().has_quote_bars([("FX", "A/B")])


def test_quotes_of_several_venues_make_their_composite() -> None:
    followed = plans(SeriesEntry("BEST", "*", quotes=("bid",), composite_of=("FX", "X")))
    rows = [quote("10:00:01", "2"), quote("10:00:02", "5", venue="X"), quote("10:00:03", venue="Y")]

    found = records(played(followed, *rows).emit())
    assert seen(found, "venue", "timeframe", "open", "close", "quotes") == [
        ("BEST", "M1.bid", 2, 5, 2), ("BEST", "M5.bid", 2, 5, 2),
    ]  # fmt: skip
    assert followed.has_quote_bars([("X", "A/B")])
    assert not followed.has_quote_bars([("Y", "A/B")])


def test_the_clock_of_a_series_may_be_ingest_time() -> None:
    followed = plans(SeriesEntry("FX", "*", quotes=("bid",), clock="ingest"))
    bars = played(followed, quote("10:00:01", ingest_time=at("10:07:00")))

    assert seen(records(bars.emit()), "timeframe", "open_time") == [
        ("M1.bid", at("10:07:00")), ("M5.bid", at("10:05:00")),
    ]  # fmt: skip


def test_a_repeat_by_a_zombie_is_not_counted_twice() -> None:
    """The fence is the one from before the block, in which all its raw offsets are."""
    bars = played(ALL, quote("10:00:01", raw_offset=7), quote("10:00:02", raw_offset=8))
    rows = [quote("10:00:03", raw_offset=raw) for raw in (7, 8, 9, 9)]
    take(bars, block(*rows, first_offset=2))

    found = [bar for bar in records(bars.emit()) if bar["timeframe"] == "M1.mid"]
    assert seen(found, "quotes", "last_offset") == [(3, 4)]


def test_a_quote_that_came_late_revises_its_bars_and_is_no_late_trade() -> None:
    bars = played(ALL, quote("10:00:10"), quote("10:06:00"))
    bars.emit()
    frame = block(quote("10:00:20", "9", ask=None), first_offset=2)
    appended_us = np.zeros(1, np.int64)

    assert bars.fold(of_frame(frame, appended_us), quotes_of(frame, appended_us)) == []
    fields = ("timeframe", "revision", "reason", "close", "quotes", "late", "last_offset")
    assert seen(records(bars.emit()), *fields) == [
        ("M1.bid", 2, "late", 9, 2, 1, 2), ("M5.bid", 2, "late", 9, 2, 1, 2),
    ]  # fmt: skip


def test_the_clock_closes_the_bars_of_an_idle_series() -> None:
    """As long after it was appended as its end and grace lie behind it: 10:01:30 and a second."""
    bars = played(ALL, quote("10:00:10"))
    bars.emit()

    assert not bars.is_due(us("10:01:31") - 1)
    bars.clock(us("10:01:31") - 1)
    assert records(bars.emit()) == []
    assert bars.is_due(us("10:01:31"))
    bars.clock(us("10:01:31"))
    assert seen(records(bars.emit()), "timeframe", "revision") == [
        (f"M1.{side}", 1) for side in SIDES
    ]


def test_other_series_of_the_block_do_not_delay_the_clock() -> None:
    """Its own last quote was appended at 10:00:11, whatever came behind it."""
    bars = played(
        ALL, quote("10:00:10"), quote("10:00:40", venue="X"), quote("10:00:50", symbol="A/B")
    )

    assert bars.is_due(us("10:01:31"))


def test_longer_bars_may_wait_but_their_finals_never_do() -> None:
    one = plans(SeriesEntry("FX", "*", quotes=("bid",)))
    bars = played(one, quote("10:00:10"))
    assert seen(records(bars.emit(base_only=True)), "timeframe") == [("M1.bid",)]
    take(bars, block(quote("10:05:30"), first_offset=1))
    assert seen(records(bars.emit(base_only=True)), "timeframe", "is_final") == [
        ("M1.bid", True), ("M5.bid", True), ("M1.bid", False),
    ]  # fmt: skip
    assert seen(records(bars.emit()), "timeframe", "is_final") == [("M5.bid", False)]
    assert records(bars.emit()) == []


def test_the_rows_of_quotes_trades_and_activity_stand_side_by_side() -> None:
    """Names that look like one another included."""
    followed = plans(SeriesEntry("*", "*", quotes=SIDES, ticks=(2,)))
    names = [("FX", "A/B"), ("quotes", "A/B"), ("FX", "A/B@quotes")]
    rows = [
        tick("10:00:01", bid="1", ask="2", venue=venue, symbol=symbol) for venue, symbol in names
    ]
    bars = played(followed, *rows)
    whole = records(bars.emit())
    kept: Rows = {}
    again = saved(bars, kept)
    more = block(*({**row, "event_time": at("10:06:00")} for row in rows), first_offset=3)
    take(again, more)
    take(bars, more)

    assert len(whole) == len(names) * (len(NAMES) * 4 + 1)
    assert len(kept) == len(names) * (len(NAMES) * 4 + 3) + 1
    assert records(again.emit()) == records(bars.emit())


def test_a_side_that_is_asked_for_later_has_its_past() -> None:
    bars = played(plans(SeriesEntry("FX", "*", quotes=("bid",))), quote("10:00:10"))
    bars.emit()
    kept: Rows = {}
    saved(bars, kept)
    again = BarBuilder(ALL, partition=3)
    again.restore(kept.items())
    take(again, block(quote("10:00:20"), first_offset=1))

    found = [bar for bar in records(again.emit()) if bar["timeframe"] == "M1.ask"]
    assert seen(found, "quotes", "first_offset") == [(2, 0)]


def walk(seed: int, count: int) -> pl.DataFrame:
    """Return quotes and trades of three series, up to four minutes late."""
    dice = random.Random(seed)
    arrivals = []
    for n in range(count):
        bid = dice.randrange(90, 110)
        sides = dice.choice([(bid, bid + 1), (bid, None), (None, bid), (bid + 1, bid)])
        row = quote(
            "10:00:00", *(None if side is None else str(side) for side in sides), sequence=n,
            symbol=dice.choice(["A/B", "C/D"]), venue=dice.choice(["FX", "FX", "X"]), raw_offset=n,
        )  # fmt: skip
        row["event_time"] += timedelta(seconds=n * 2.5)
        if dice.random() < 0.1:
            row |= {"price": bid, "size": 1}
        arrivals.append((n * 2.5 + dice.uniform(0, 240), row))
    arrivals.sort(key=lambda pair: pair[0])
    return block(*({**row, "raw_offset": n} for n, (_, row) in enumerate(arrivals)))


def told(ticks: pl.DataFrame, cuts: random.Random, clocks: Iterable[int], *, crashes: bool) -> Any:
    """Return the newest value of each bar, and every emission with revision >= 1."""
    bars, kept = BarBuilder(ALL, partition=3), Rows()
    newest, finals = {}, []

    def emit() -> None:
        for bar in records(bars.emit(base_only=cuts.random() < 0.3)):
            newest[bar["venue"], bar["symbol"], bar["timeframe"], bar["open_time"]] = bar
            finals.extend([str(bar)] if bar["revision"] else [])

    bounds, start = sorted(clocks), 0
    while start < len(ticks):
        ends = [bound for bound in bounds if bound > start]
        stop = min([start + cuts.choice([1, 3, 40, 400]), len(ticks), *ends])
        take(bars, ticks[start:stop])
        if stop in ends:
            bars.clock(us("10:00:00") + stop * 2_500_000 + 200_000_000)
        start = stop
        if cuts.random() < 0.5:
            emit()
        if crashes and cuts.random() < 0.3:
            emit()
            bars = saved(bars, kept)
    for bar in records(bars.emit()):
        newest[bar["venue"], bar["symbol"], bar["timeframe"], bar["open_time"]] = bar
        finals += [str(bar)] if bar["revision"] else []
    return newest, sorted(finals)


@pytest.mark.parametrize("seed", range(3))
def test_cuts_and_restarts_change_neither_bars_nor_histories(seed: int) -> None:
    """Late quotes and clock ticks included."""
    ticks, clocks = walk(seed, 600), [150, 380]

    whole = told(ticks, random.Random(0), clocks, crashes=False)
    cut = told(ticks, random.Random(seed + 1), clocks, crashes=True)
    assert {bar["timeframe"] for bar in whole[0].values()} >= {"M1", "M1.bid", "M5.ask", "M5.mid"}
    assert any("'late': 1" in text for text in whole[1])
    assert cut == whole
