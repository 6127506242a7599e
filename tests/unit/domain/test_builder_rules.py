"""What the catalog says of a series, in its bars: each rule alone, and with a crash in the middle.

Each test plays its ticks once in one go and once with a save and a restore between every two of
them: a restored builder goes on as if it had never stopped.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from app.domain.builder import BarBuilder
from app.domain.catalog import Catalog, SeriesEntry, SeriesRules
from app.domain.catalog_file import parse
from app.domain.plan import Plans
from app.domain.quality import REPEATS_SHIFT
from app.domain.timeframes import Ladder, ladder
from app.domain.trades import of_frame
from tests.unit.domain.test_amender import World, cancel
from tests.unit.domain.ticks import DAY, at, block, records, tick, us

NAMES = ("M1", "H1", "H4", "D1")
HOUR_US = 3_600_000_000
Row = dict[str, Any]
Emitted = list[tuple[Any, ...]]

XNYS = '[venues.XNYS]\nsession = "XNYS"\nconditions = "us_equities"\n'
SERIES = '[[series]]\nvenue = "{}"\nsymbol = "*"\n'


def ladder_of(rules: SeriesRules) -> Ladder:
    """Return the timeframes with the graces of the rules, else 30 s, as the settings do."""
    default_s = rules.grace_s.get("", 30.0)
    grace_us = {name: round(1e6 * rules.grace_s.get(name, default_s)) for name in NAMES}
    return ladder(NAMES, grace_us, 6 * HOUR_US, rules.profile, anchored=rules.anchored)


@dataclass
class Market:
    """A partition that follows a catalog; all that it told is kept.

    Attributes:
        catalog: The text of the file.
        crash: Whether to save and to restore after each step.
    """

    catalog: str
    crash: bool = False
    told: list[Row] = field(default_factory=list)
    late: list[Row] = field(default_factory=list)
    saved: dict[str, str] = field(default_factory=dict)
    offset: int = 0

    def __post_init__(self) -> None:
        self.plans = Plans(parse("test.toml", self.catalog), ladder_of)
        self.builder = BarBuilder(self.plans, 0)

    def fold(self, *rows: Row, appended: str | None = None) -> "Market":
        """Fold a block; each tick was appended at its event time, or all at one."""
        for part in [[row] for row in rows] if self.crash else [rows]:
            frame = block(*part, first_offset=self.offset)
            self.offset += len(part)
            times = frame["event_time"].to_physical().to_numpy().astype(np.int64)
            appended_us = times if appended is None else np.full_like(times, us(appended))
            self.late += [each.record for each in self.builder.fold(of_frame(frame, appended_us))]
            self._step()
        return self

    def clock(self, now: str) -> "Market":
        """Let the clock tick."""
        self.builder.clock(us(now))
        self._step()
        return self

    def _step(self) -> None:
        self.told += records(self.builder.emit())
        if not self.crash:
            return
        for key, value in self.builder.save():
            self.saved.pop(key, None)
            if value is not None:
                self.saved[key] = value
        self.builder = BarBuilder(self.plans, 0)
        self.builder.restore(self.saved.items())

    def revisions(self, frame: str, *fields: str, venue: str | None = None) -> Emitted:
        """Return open time and fields of what was final when it was told, in that order."""
        return [
            (_clock(bar["open_time"]), *(bar[name] for name in fields))
            for bar in self.told
            if bar["timeframe"] == frame and bar["is_final"] and venue in {None, bar["venue"]}
        ]

    def newest(self, frame: str, *fields: str, venue: str | None = None) -> dict[str, Any]:
        """Return fields of each bar as it was told last, by open time."""
        return {
            _clock(bar["open_time"]): tuple(bar[name] for name in fields)
            for bar in self.told
            if bar["timeframe"] == frame and venue in {None, bar["venue"]}
        }


def _clock(at_time: datetime) -> str:
    days = (at_time - DAY).days
    return f"{at_time:%H:%M}" if not days else f"{at_time:%d. %H:%M}"


crashes = pytest.mark.parametrize("crash", [False, True])
FULL = ("open", "high", "low", "close", "volume")


def spy(clock: str, price: str = "100", size: str | None = "1", **fields: Any) -> Row:
    """Return a trade of SPY at XNYS; the test day is a Monday in winter: 14:30 to 21:00 UTC."""
    return tick(clock, price, size, venue="XNYS", symbol="SPY", **fields)


def next_day(row: Row) -> Row:
    return {**row, "event_time": row["event_time"] + timedelta(days=1)}


@crashes
def test_four_hours_and_days_are_those_of_the_session(crash: bool) -> None:
    #  14:29    14:30       18:30    20:59:59  21:00
    #  outside  [H4-------)[H4---------------) outside
    #           [D1--------------------------)
    market = Market(XNYS, crash).fold(
        spy("14:29:59.999999", "1"), spy("14:30:00", "2"), spy("18:29:59.999999", "3"),
        spy("18:30:00", "4"), spy("20:59:59.999999", "5"), spy("21:00:00", "6"),
    )  # fmt: skip

    fields = ("close_time", "open", "close", "volume")
    assert market.newest("H4", *fields) == {
        "14:30": (at("18:30:00"), 2, 3, 2), "18:30": (at("21:00:00"), 4, 5, 2),
    }  # fmt: skip
    assert market.newest("D1", *fields) == {"14:30": (at("21:00:00"), 2, 5, 4)}
    assert list(market.newest("M1")) == ["14:29", "14:30", "18:29", "18:30", "20:59", "21:00"]


@crashes
def test_a_day_is_final_when_its_session_and_grace_are_over(crash: bool) -> None:
    """Not at midnight, and not a microsecond earlier."""
    market = Market(XNYS, crash).fold(spy("15:00:00"), spy("21:00:29.999999"))
    assert market.revisions("D1") == []

    market.fold(spy("21:00:30"))
    assert market.revisions("D1", "revision", "reason") == [("14:30", 1, "final")]
    assert market.revisions("H4", "close_time") == [("14:30", at("18:30:00"))]


@crashes
@pytest.mark.parametrize(
    ("policy", "between"),
    [("omit", []), ("carry", [("10:01", 7, 7, 7, 7, 0)]), ("null", [("10:01", *[None] * 4, 0)])],
)
def test_an_empty_interval_is_what_the_catalog_says(
    crash: bool, policy: str, between: Emitted
) -> None:
    market = Market(SERIES.format("*") + f'empty = "{policy}"', crash)
    market.fold(tick("10:00:05", "7"), tick("10:02:05", "9"), tick("10:03:30", "9"))

    assert market.revisions("M1", *FULL) == [
        ("10:00", 7, 7, 7, 7, 1), *between, ("10:02", 9, 9, 9, 9, 1),
    ]  # fmt: skip


@crashes
def test_no_bar_is_carried_through_the_night(crash: bool) -> None:
    """20:59 is the last minute of the session; the next is 14:30 of Tuesday."""
    market = Market(XNYS + SERIES.format("XNYS") + 'empty = "carry"', crash)
    market.fold(spy("20:57:05", "7"), next_day(spy("14:32:10", "9")))
    opens = [row[0] for row in market.revisions("M1")]

    assert opens == ["20:57", "20:58", "20:59", "05. 14:30"]
    assert market.newest("M1", "close")["05. 14:30"] == (7,)


@crashes
def test_a_close_is_carried_however_long_ago_it_was(crash: bool) -> None:
    """Three days on, when its bar is kept no more: an average price, W, is no close."""
    text = '[venues.DESK]\nconditions = "us_equities"\n' + SERIES.format("DESK")
    market = Market(text + 'empty = "carry"', crash).fold(tick("10:00:05", "7", venue="DESK"))
    for clock in ("10:00:05", "10:02:30"):
        row = tick(clock, "9", venue="DESK", conditions=["W"])
        market.fold({**row, "event_time": row["event_time"] + timedelta(days=3)})

    assert market.newest("M1", "close", "trades")["07. 10:01"] == (7, 0)


@crashes
def test_each_series_has_the_grace_of_its_own(crash: bool) -> None:
    text = "[venues.GATE]\n[venues.OKX]\n" + SERIES.format("GATE") + 'grace = { M1 = "5s" }\n'
    market = Market(text, crash)
    for venue in ("GATE", "OKX"):
        market.fold(
            tick("10:00:05", venue=venue), tick("10:01:05", venue=venue),
            tick("10:00:06", venue=venue),
        )  # fmt: skip

    assert [(row["venue"], row["revised"]) for row in market.late] == [("GATE", True)]
    assert market.revisions("M1", "venue", "revision", "reason") == [
        ("10:00", "GATE", 1, "final"), ("10:00", "GATE", 2, "late"),
    ]  # fmt: skip


@crashes
def test_the_clock_of_a_series_may_be_when_its_ticks_were_first_seen(crash: bool) -> None:
    """Bar, order and lateness go by it; those of the other series by event time."""
    text = "[venues.GATE]\n[venues.OKX]\n" + SERIES.format("GATE") + 'clock = "ingest"\n'
    market = Market(text, crash)
    for venue in ("GATE", "OKX"):
        market.fold(
            tick("10:00:50", "1", ingest_time=at("10:01:10"), venue=venue),
            tick("10:00:40", "2", ingest_time=at("10:01:20"), venue=venue),
            tick("10:03:00", "3", ingest_time=at("10:01:30"), venue=venue),
            tick("10:00:45", "4", ingest_time=at("10:01:40"), venue=venue),
        )  # fmt: skip

    values = ("open", "close", "trades", "late")
    assert market.newest("M1", *values, venue="GATE") == {"10:01": (1, 4, 4, 0)}
    assert market.newest("M1", *values, venue="OKX") == {
        "10:00": (2, 1, 3, 1), "10:03": (3, 3, 1, 0),
    }  # fmt: skip


@crashes
def test_the_clock_closes_an_idle_series_and_what_comes_then_is_late(crash: bool) -> None:
    """Its tick came at 10:00:20, ten seconds behind its event time."""
    market = Market("", crash).fold(tick("10:00:10", "7"), appended="10:00:20")

    assert not market.builder.is_due(us("10:01:39.999999"))
    market.clock("10:01:39.999999")
    assert market.revisions("M1") == []
    assert market.builder.is_due(us("10:01:40"))
    market.clock("10:01:40")
    assert market.revisions("M1", "revision", "reason") == [("10:00", 1, "final")]
    assert market.builder.clock_us == us("10:01:40")

    market.fold(tick("10:00:30", "8"), appended="10:01:41")
    assert [(row["stream_time"], row["revised"]) for row in market.late] == [
        (at("10:01:30"), True)
    ]  # fmt: skip
    assert market.revisions("M1", "revision", "reason", "close")[1:] == [("10:00", 2, "late", 8)]


@crashes
def test_an_older_clock_does_not_turn_the_clock_back(crash: bool) -> None:
    market = Market("", crash).fold(tick("10:00:10")).clock("10:01:40").clock("10:01:00")

    assert market.builder.clock_us == us("10:01:40")


@crashes
def test_another_symbols_ticks_and_quotes_do_not_delay_the_clock(crash: bool) -> None:
    """In one block, and in one without a trade of it: the clock counts from its own last trade."""
    for together in (True, False):
        market = Market("", crash)
        rows = [
            tick("10:00:10"), tick("10:01:20", symbol="ETH/USD"),
            tick("10:01:21", None, None, bid="1", ask="2"),
        ]  # fmt: skip
        for part in [rows] if together else [rows[:1], rows[1:]]:
            market.fold(*part)
        market.clock("10:01:30")

        assert [bar["symbol"] for bar in market.told if bar["is_final"]] == ["BTC/USD"]


def test_a_part_of_a_block_says_nothing_of_series_it_has_no_tick_of() -> None:
    """A block that a correction cuts: its parts know all names of the whole."""
    market = Market("")
    frame = block(tick("10:00:10"), tick("10:01:20", symbol="ETH/USD"))
    appended_us = np.array([us("10:00:10"), us("10:01:20")], np.int64)
    whole = of_frame(frame, appended_us)
    market.builder.fold(whole.take(slice(0, 1)))
    market.builder.fold(whole.take(slice(1, 2)))
    market.clock("10:01:30")

    assert [bar["symbol"] for bar in market.told if bar["is_final"]] == ["BTC/USD"]


@crashes
def test_conditions_decide_what_a_print_of_the_session_counts_for(crash: bool) -> None:
    """W, an average price, is volume; T, extended hours, sets no price of the session."""
    market = Market(XNYS, crash).fold(
        spy("15:00:01", "500", "10", conditions=["W"]), spy("15:00:02", "100"),
        spy("15:00:03", "1", "10", conditions=["T"]), spy("15:00:04", "101", conditions=["@"]),
        spy("15:00:05", "900", "10", conditions=["M"]),
    )  # fmt: skip

    assert market.newest("M1", *FULL, "trades") == {"15:00": (100, 101, 100, 101, 22, 4)}


@crashes
def test_outside_the_session_extended_hours_prints_make_the_prices(crash: bool) -> None:
    """To the microsecond of the close: T counts at 21:00, and not just before."""
    market = Market(XNYS, crash).fold(
        spy("20:59:59.999999", "100", conditions=["T"]), spy("21:00:00", "101", conditions=["T"]),
        spy("21:00:01", "500", conditions=["W", "T"]),
    )  # fmt: skip

    assert market.newest("M1", *FULL) == {
        "20:59": (*[None] * 4, 1), "21:00": (101, 101, 101, 101, 2),
    }  # fmt: skip


@crashes
def test_a_venue_without_a_table_takes_every_print(crash: bool) -> None:
    market = Market("[venues.KRAKEN]\n", crash).fold(tick(conditions=["W"]))

    assert market.newest("M1", *FULL) == {"10:00": (100, 100, 100, 100, 1)}


CONTIGUOUS = "[venues.KRAKEN]\ncontiguous_ids = true\n[venues.GATE]\n"


def numbered(number: int, clock: str, price: str = "100", **fields: Any) -> Row:
    return tick(clock, price, trade_id=str(number), **fields)


@crashes
def test_a_bar_touched_by_a_hole_is_incomplete(crash: bool) -> None:
    """3 is missing between 10:01:50 and 10:03:10: so 10:01 and 10:03 are, and the hour."""
    market = Market(CONTIGUOUS, crash).fold(
        numbered(1, "10:00:10"), numbered(2, "10:01:50"), numbered(4, "10:03:10"),
        numbered(5, "10:04:10"), numbered(6, "10:06:00"),
    )  # fmt: skip

    assert market.newest("M1", "complete") == {
        "10:00": (True,), "10:01": (False,), "10:03": (False,), "10:04": (True,), "10:06": (True,),
    }  # fmt: skip
    assert market.newest("H1", "complete") == {"10:00": (False,)}


@crashes
def test_a_hole_repaired_in_time_leaves_no_trace(crash: bool) -> None:
    market = Market(CONTIGUOUS, crash).fold(
        numbered(1, "10:00:10"), numbered(3, "10:00:30"), numbered(2, "10:00:20"),
        numbered(4, "10:01:30"),
    )  # fmt: skip

    assert market.revisions("M1", "revision", "reason", "complete", "trades") == [
        ("10:00", 1, "final", True, 3)
    ]


@crashes
def test_a_hole_repaired_late_is_a_revision_by_its_last_missing_trade(crash: bool) -> None:
    """Two are missing: the first to come leaves the bar incomplete."""
    market = Market(CONTIGUOUS, crash).fold(
        numbered(1, "10:00:10"), numbered(4, "10:00:40"), numbered(5, "10:01:30"),
        numbered(3, "10:00:30"), numbered(2, "10:00:20"),
    )  # fmt: skip

    assert market.revisions("M1", "revision", "reason", "complete", "trades") == [
        ("10:00", 1, "final", False, 2), ("10:00", 2, "gap_repair", False, 3),
        ("10:00", 3, "gap_repair", True, 4),
    ]  # fmt: skip
    assert len(market.late) == 2


@crashes
def test_a_hole_found_late_revises_the_bars_that_were_final(crash: bool) -> None:
    """3 is missing since 10:00:20, which only 10:02 tells; 10:00 was final by the clock.

    It may come on time until 10:02 is final, so until then it is no gap.
    """
    market = Market(CONTIGUOUS, crash).fold(numbered(1, "10:00:10"), numbered(2, "10:00:20"))
    market.clock("10:01:40").fold(numbered(4, "10:02:00"), numbered(5, "10:03:29.999999"))
    told = [("10:00", 1, "final", True)]
    assert market.revisions("M1", "revision", "reason", "complete") == told
    assert market.newest("H1", "complete") == {"10:00": (False,)}

    market.fold(numbered(6, "10:03:30"))
    assert market.revisions("M1", "revision", "reason", "complete") == [
        *told, ("10:00", 2, "gap", False), ("10:02", 1, "final", False),
    ]  # fmt: skip


@crashes
def test_ids_are_followed_by_venue_and_symbol_and_only_where_they_are_contiguous(
    crash: bool,
) -> None:
    market = Market(CONTIGUOUS, crash).fold(
        numbered(1, "10:00:10"), numbered(9, "10:00:11", symbol="ETH/USD"),
        numbered(2, "10:00:12"), numbered(10, "10:00:13", symbol="ETH/USD"),
        numbered(1, "10:00:14", venue="GATE"), numbered(7, "10:00:15", venue="GATE"),
        tick("10:00:16", trade_id="no-number"), tick("10:00:17"), numbered(3, "10:00:18"),
    )  # fmt: skip

    assert {bar["complete"] for bar in market.told} == {True}


def test_a_trade_that_was_cancelled_before_it_came_is_not_missing() -> None:
    """Its id came: there is no hole, though the trade is in no bar."""
    market = Market(CONTIGUOUS).fold(numbered(1, "10:00:10"))
    frame = block(tick("10:00:11", None, None, trade_id="2", action="CANCEL"), first_offset=1)
    taken = market.builder.take(of_frame(frame, np.zeros(1, np.int64)), 0)
    assert taken is not None
    name, change = taken
    market.builder.listing(name).keep_early(change)
    market.fold(numbered(2, "10:00:20", "900"), numbered(3, "10:00:30"))

    assert market.newest("M1", "complete", "high", "trades") == {"10:00": (True, 100, 2)}


ALL = (
    CONTIGUOUS
    + '[[series]]\nvenue = "ALL"\nsymbol = "BTC/USD"\nof = ["KRAKEN", "GATE"]\nempty = "carry"\n'
)


@crashes
def test_a_composite_is_one_series_of_its_venues_trades(crash: bool) -> None:
    """In one order, with a lateness and rules of its own, beside the bars of each venue."""
    market = Market(ALL, crash).fold(
        tick("10:00:20", "5", venue="GATE"), numbered(1, "10:00:10", "4"),
        tick("10:02:30", "6", venue="GATE"), numbered(2, "10:00:50", "9"),
        tick("10:00:55", "7", venue="OKX"), numbered(3, "10:00:56", symbol="ETH/USD"),
    )  # fmt: skip

    values = ("open", "high", "close", "trades", "late")
    assert market.newest("M1", *values, venue="ALL") == {
        "10:00": (4, 9, 9, 3, 1), "10:01": (9, 9, 9, 0, 0), "10:02": (6, 6, 6, 1, 0),
    }  # fmt: skip
    assert market.newest("M1", *values, venue="GATE") == {
        "10:00": (5, 5, 5, 1, 0), "10:02": (6, 6, 6, 1, 0),
    }  # fmt: skip
    assert [(row["venue"], row["trade_id"]) for row in market.late] == [("ALL", "2")]
    assert {bar["symbol"] for bar in market.told if bar["venue"] == "ALL"} == {"BTC/USD"}


@crashes
def test_a_hole_at_a_venue_is_a_hole_in_its_composite(crash: bool) -> None:
    market = Market(ALL, crash).fold(
        tick("10:00:05", venue="GATE"), numbered(1, "10:00:10"), numbered(3, "10:00:40"),
        tick("10:01:30", venue="GATE"), numbered(2, "10:00:30"),
    )  # fmt: skip

    assert market.revisions("M1", "revision", "reason", "complete", venue="ALL") == [
        ("10:00", 1, "final", False), ("10:00", 2, "gap_repair", True),
    ]  # fmt: skip


@crashes
def test_a_cancel_before_its_trade_is_for_the_venue_that_told_of_it(crash: bool) -> None:
    """In the composite as well: two venues may give one id."""
    entry = SeriesEntry("ALL", "BTC/USD", composite_of=("KRAKEN", "GATE"))
    world = World(Catalog({}, [], [entry])).play(
        cancel("7"), tick("10:00:01", "1", venue="GATE", trade_id="7"),
        tick("10:00:02", "2", trade_id="7"), tick("10:00:03", "3", trade_id="8"),
        size=1, crash=crash,
    )  # fmt: skip

    values = {venue: world.bars("open", "trades", venue=venue) for venue in ("ALL", "GATE")}
    assert values["ALL"]["M1", at("10:00:00")] == (1, 2)
    assert values["GATE"]["M1", at("10:00:00")] == (1, 1)
    assert world.bars("open", "trades")["M1", at("10:00:00")] == (3, 1)


@crashes
def test_activity_bars_of_the_catalog_stand_beside_the_time_bars(crash: bool) -> None:
    """T3, V2.5 and N400 end with the trade that fills them, minutes or not."""
    text = "[venues.KRAKEN]\n[venues.GATE]\n" + SERIES.format("KRAKEN")
    text += 'ticks = [3]\nvolumes = ["2.5"]\nvalues = ["400"]\n'
    rows = [
        tick(f"10:0{n}:00", "100", size, trade_id=str(n))
        for n, size in enumerate(["1", "1", "0.5", "2", "2"])
    ]
    market = Market(text, crash).fold(*rows, tick("10:00:00", venue="GATE"))

    spans = ("first_offset", "last_offset", "volume")
    assert [row[1:] for row in market.revisions("T3", *spans)] == [(0, 2, Decimal("2.5"))]
    assert [row[1:] for row in market.revisions("V2.5", *spans)] == [
        (0, 2, Decimal("2.5")), (3, 4, Decimal(4)),
    ]  # fmt: skip
    assert [row[1:] for row in market.revisions("N400", *spans)] == [(0, 3, Decimal("4.5"))]
    assert {bar["venue"] for bar in market.told if bar["timeframe"] == "T3"} == {"KRAKEN"}
    assert len(market.newest("M1", venue="KRAKEN")) == 5


@crashes
def test_only_the_bars_in_which_a_series_began_are_partial(crash: bool) -> None:
    market = Market("", crash).fold(
        tick("10:00:10"), tick("10:05:00", symbol="ETH/USD"), tick("10:01:30"), tick("10:06:30"),
    )  # fmt: skip

    partial = {(bar["symbol"], _clock(bar["open_time"])) for bar in market.told
               if bar["timeframe"] == "M1" and bar["partial"]}  # fmt: skip
    assert partial == {("BTC/USD", "10:00"), ("ETH/USD", "10:05")}


@crashes
def test_a_series_began_with_its_earliest_bar_not_with_the_first_to_arrive(crash: bool) -> None:
    market = Market("", crash).fold(tick("10:01:10"), tick("10:00:50"), tick("10:02:00"))

    assert market.newest("M1", "partial") == {
        "10:00": (True,), "10:01": (False,), "10:02": (False,),
    }  # fmt: skip


@crashes
def test_a_bars_lineage_is_its_partition_its_offsets_and_its_counts(crash: bool) -> None:
    """Of all its trades, in whatever order they came; and so in the bars above."""

    def repeats(count: int) -> Row:
        return {"quality": count << REPEATS_SHIFT}

    market = Market("", crash).fold(
        tick("10:00:30", **repeats(2)), tick("10:01:10", **repeats(1)), tick("10:00:59"),
    )  # fmt: skip
    counts = ("trades", "late", "duplicates", "source_partition", "first_offset", "last_offset")
    assert market.newest("M1", *counts) == {
        "10:00": (2, 0, 2, 0, 0, 2), "10:01": (1, 0, 1, 0, 1, 1),
    }  # fmt: skip
    assert market.newest("H1", *counts) == {"10:00": (3, 0, 3, 0, 0, 2)}

    market.fold(tick("10:01:40"), tick("10:00:20", **repeats(3)))
    assert market.newest("M1", *counts)["10:00"] == (3, 1, 5, 0, 0, 4)
    assert market.newest("H1", *counts) == {"10:00": (5, 1, 6, 0, 0, 4)}


@crashes
def test_a_vwap_has_all_its_digits(crash: bool) -> None:
    """More than a float has: (a x 1 + b x 2) / 3, to 1e-12."""
    market = Market("", crash).fold(
        tick("10:00:01", "123456789.000000000001"), tick("10:00:02", "123456789.000000000004", "2")
    )

    vwap = Decimal("123456789.000000000003")
    assert market.newest("M1", "vwap", "volume") == {"10:00": (vwap, 3)}
