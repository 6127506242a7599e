"""Corrections and cancels through the bars' core, with a log in memory (S10)."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from app.domain.amender import Amender, Published
from app.domain.amendments import rows_of
from app.domain.builder import BarBuilder
from app.domain.catalog import Catalog, SeriesEntry
from app.domain.plan import Plans
from app.domain.timeframes import ladder
from app.domain.trades import Name, Trades
from tests.unit.domain.ticks import records, tick, trades

NAMES = ("M1", "M5", "M15", "H1", "H4", "D1")
HOUR_US = 3_600_000_000
LADDER = ladder(NAMES, dict.fromkeys(NAMES, 30_000_000), 6 * HOUR_US)
Row = dict[str, object]
VALUES = ("open", "high", "low", "close", "volume", "notional", "vwap", "trades")


@dataclass
class World:
    """A partition's log, the bars made of it, and all that was published."""

    catalog: Catalog = field(default_factory=lambda: Catalog({}, [], []))
    first_offset: int = 0
    rows: list[Row] = field(default_factory=list)
    published_bars: list[Row] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.builder = BarBuilder(Plans(self.catalog, lambda _: LADDER), 0)
        self.amender = Amender(self.builder, self, 48 * HOUR_US)
        self.saved: dict[str, str] = {}

    def ticks(self, start: int, stop: int) -> Iterator[Trades]:
        for at in range(max(start, self.first_offset), min(stop, len(self.rows)), 7):
            yield trades(*self.rows[at : min(at + 7, stop)], first_offset=at)

    def first(self) -> int:
        return self.first_offset

    def since(self, append_us: int) -> int:  # noqa: ARG002 - all was appended within the time
        return self.first_offset

    def published(
        self, name: Name, opens: Mapping[str, Collection[int]]
    ) -> dict[tuple[str, int], Published]:
        found = {}
        for bar in self.published_bars:
            at = round(bar["open_time"].timestamp() * 1e6)  # type: ignore[attr-defined]
            frame = str(bar["timeframe"])
            if (bar["venue"], bar["symbol"]) == name and at in opens.get(frame, ()):
                found[frame, at] = Published(bar["revision"], bar["late"])  # type: ignore[arg-type]
        return found

    def play(self, *rows: Row, size: int = 1_000, crash: bool = False) -> "World":
        """Append rows to the log, and fold them in blocks of `size`."""
        begin = len(self.rows)
        self.rows += rows
        for at in range(begin, len(self.rows), size):
            block = trades(*self.rows[at : at + size], first_offset=at)
            start = 0
            for stop in [*rows_of(block), len(block)]:
                self.builder.fold(block.take(slice(start, stop)))
                start = stop
                if stop < len(block) and (taken := self.builder.take(block, stop)):
                    times_us = int(block.at_us[stop]), int(block.appended_us[stop])
                    if not self.amender.amend(*taken, *times_us):
                        self.refused.append(taken[1].offset)
            self.published_bars += records(self.builder.emit())
            for key, value in self.builder.save():
                self.saved.pop(key, None)
                if value is not None:
                    self.saved[key] = value
            if crash:
                self.builder = BarBuilder(self.builder.plans, 0)
                self.builder.restore(self.saved.items())
                self.amender = Amender(self.builder, self, 48 * HOUR_US)
        return self

    def bars(self, *fields: str, venue: str = "KRAKEN") -> dict[tuple[object, object], object]:
        """Return fields of each bar as it stands; bars without trades are not there."""
        newest: dict[tuple[object, object], Row] = {}
        for bar in self.published_bars:
            if bar["venue"] == venue:
                key = bar["timeframe"], bar["open_time"]
                order = "revision", "last_offset"
                assert key not in newest or [newest[key][n] for n in order] <= [  # type: ignore[operator]
                    bar[n] for n in order
                ]
                newest[key] = bar
        return {
            key: tuple(bar[name] for name in fields) for key, bar in newest.items() if bar["trades"]
        }


def cancel(trade_id: str, clock: str = "10:00:00") -> Row:
    return tick(clock, price=None, size=None, trade_id=trade_id, action="CANCEL")


DAY = [
    tick(f"{hour:02d}:{minute:02d}:{second}", str(100 + (7 * hour + 3 * minute + second) % 40),
         str(1 + minute % 3), trade_id=f"{hour}-{minute}-{second}")
    for hour in range(20) for minute in range(0, 60, 9) for second in (5, 40)
]  # fmt: skip
OPEN, HIGH = "10-0-5", "10-27-40"


def without(*ids: str) -> list[Row]:
    return [row for row in DAY if row["trade_id"] not in ids]


@pytest.mark.parametrize("trade_id", [OPEN, HIGH, "10-54-5"])
@pytest.mark.parametrize("told_at", [150, 170, len(DAY)])
@pytest.mark.parametrize("crash", [False, True])
def test_after_a_cancel_all_bars_are_as_if_the_trade_had_not_been(
    trade_id: str, told_at: int, crash: bool
) -> None:
    """While its bar is open, hours later, and when its bar is kept no more; M1 to D1."""
    world = World().play(*DAY[:told_at], size=50, crash=crash)
    world.play(cancel(trade_id), *DAY[told_at:], size=50, crash=crash)
    plain = World().play(*without(trade_id))

    assert world.bars(*VALUES) == plain.bars(*VALUES)
    assert world.refused == []


def test_exactly_the_bars_that_hold_the_trade_are_revised_with_the_reason() -> None:
    world = World().play(*DAY)
    before = world.bars("revision", "reason")
    world.play(cancel(HIGH))
    after = world.bars("revision", "reason")
    changed = [key for key in after if after[key] != before[key]]

    # D1 is provisional.
    assert [frame for frame, _ in changed] == ["M1", "M5", "M15", "H1", "H4"]
    assert {after[key] for key in changed} == {(2, "cancel")}


def test_a_cancel_of_a_bars_only_trade_leaves_an_empty_bar() -> None:
    """Its values say so: no trades, no prices, no volume, one revision more."""
    rows = [tick("10:00:05", trade_id="a"), tick("10:01:05"), tick("10:02:00"), tick("10:09:00")]
    world = World().play(*rows, cancel("a"))
    key = "M1", rows[0]["event_time"].replace(second=0)  # type: ignore[attr-defined]
    last = [b for b in world.published_bars if (b["timeframe"], b["open_time"]) == key][-1]

    assert [last[n] for n in ("open", "high", "low", "close", "vwap")] == [None] * 5
    assert (last["trades"], last["volume"], last["revision"], last["reason"]) == (0, 0, 2, "cancel")


@pytest.mark.parametrize("told_at", [150, len(DAY)])
def test_a_correction_gives_its_trade_another_price_and_size_at_the_same_place(
    told_at: int,
) -> None:
    """Whatever time the correction itself carries."""
    corrected = [
        {**row, "price": "900", "size": "5"} if row["trade_id"] == OPEN else row for row in DAY
    ]
    told = tick("19:59:00", "900", "5", trade_id=OPEN, action="CORRECT")
    world = World().play(*DAY[:told_at], told, *DAY[told_at:], size=60)
    plain = World().play(*(tick(**_plain(row)) for row in corrected))

    assert world.bars(*VALUES) == plain.bars(*VALUES)


def _plain(row: Row) -> dict[str, object]:
    at = row["event_time"]
    clock = f"{at.hour:02d}:{at.minute:02d}:{at.second}"  # type: ignore[attr-defined]
    return {"clock": clock, "price": str(row["price"]), "size": str(row["size"]),
            "trade_id": row["trade_id"]}  # fmt: skip


def test_of_several_amendments_the_last_holds() -> None:
    told = [
        tick(price="500", trade_id=OPEN, action="CORRECT"), cancel(OPEN),
        tick(price="600", size="2", trade_id=OPEN, action="CORRECT"),
    ]  # fmt: skip
    world = World().play(*DAY, *told, cancel(HIGH), cancel(OPEN))

    assert world.bars(*VALUES) == World().play(*without(OPEN, HIGH)).bars(*VALUES)


@pytest.mark.parametrize("crash", [False, True])
def test_a_cancel_that_comes_before_its_trade_waits_for_it(crash: bool) -> None:
    """And holds when the bar is computed anew later, for another trade's sake."""
    world = World().play(cancel(OPEN), *DAY, cancel(HIGH), size=50, crash=crash)

    assert world.bars(*VALUES) == World().play(*without(OPEN, HIGH)).bars(*VALUES)


def test_histories_do_not_depend_on_blocks_or_crashes() -> None:
    rows = [*DAY[:150], cancel(HIGH), *DAY[150:200], cancel(OPEN), *DAY[200:], cancel("10-54-5")]

    def history(world: World) -> list[str]:
        return sorted(str(bar) for bar in world.published_bars if bar["revision"])

    whole = history(World().play(*rows))
    assert history(World().play(*rows, size=1, crash=True)) == whole
    assert history(World().play(*rows, size=13, crash=True)) == whole


def test_bars_whose_ticks_are_no_longer_in_the_log_are_left_as_they_are() -> None:
    """Computed from what is left of the log they would be wrong."""
    world = World().play(*DAY)
    before = world.bars(*VALUES)
    world.first_offset = 150
    world.play(cancel("12-9-5"))

    assert world.refused == [len(DAY)]
    assert world.bars(*VALUES) == before


def test_a_zombies_amendment_is_passed_over() -> None:
    rows = [{**row, "raw_offset": n} for n, row in enumerate(DAY)]
    world = World().play(*rows, {**cancel(HIGH), "raw_offset": 5})

    assert world.bars(*VALUES) == World().play(*DAY).bars(*VALUES)


def test_a_composite_series_is_amended_with_its_member() -> None:
    """Two venues may give one id: each amendment is for the venue that told of it."""
    entry = SeriesEntry("ALL", "BTC/USD", composite_of=("KRAKEN", "GATE"))
    other = tick("10:27:30", "999", trade_id=HIGH, venue="GATE")

    def world(*rows: Row) -> World:
        at = next(n for n, row in enumerate(rows) if row["trade_id"] == "10-36-5")
        return World(Catalog({}, [], [entry])).play(*rows[:at], other, *rows[at:])

    amended = world(*DAY, cancel(HIGH)).bars(*VALUES, venue="ALL")
    assert amended == world(*without(HIGH)).bars(*VALUES, venue="ALL")
    assert 999 in {value[1] for value in amended.values()}  # type: ignore[index]
