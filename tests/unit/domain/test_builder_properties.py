"""Whatever happens to a log on its way, its bars are the same (S3, S13).

A log of three venues: one numbers its trades without holes, and some of its ids come late or never;
two make a composite; one series follows its ingest times, and carries; some trades come too late,
some are cancelled or corrected, a few before they come; and the clock ticks in between.
"""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest

from app.domain.amender import Amender
from app.domain.builder import BarBuilder
from app.domain.catalog_file import parse
from app.domain.quality import REPEATS_SHIFT
from app.domain.trades import Trades, of_frame
from tests.unit.domain.test_amender import HOUR_US, World
from tests.unit.domain.test_normalize import RULES, fresh, run
from tests.unit.domain.ticks import block, records, tick, us

CATALOG = parse("test.toml", """
    [venues.KRAKEN]
    contiguous_ids = true
    [venues.GATE]
    [venues.OKX]
    [[series]]
    venue = "ALL"
    symbol = "BTC/USD"
    of = ["KRAKEN", "GATE"]
    empty = "null"
    [[series]]
    venue = "GATE"
    symbol = "*"
    ticks = [7]
    volumes = ["20"]
    [[series]]
    venue = "OKX"
    symbol = "*"
    empty = "carry"
    clock = "ingest"
""")  # fmt: skip
SERIES = [("KRAKEN", "BTC/USD"), ("GATE", "BTC/USD"), ("OKX", "ETH/USD")]
SECOND_US = 1_000_000
LINEAGE = {"first_offset", "last_offset"}
SEEDS = (0, 24)
"""The second amends a bar kept no more, in a day of which an M5 is yet to be rolled up."""
Row = dict[str, Any]


class Item(NamedTuple):
    """A record of ticks.v1 or of ticks.raw.v1, and the clock tick behind it, if any."""

    row: Row
    appended_us: int
    clock_us: int | None = None


def instant(at_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)


def trade(rng: random.Random, name: tuple[str, str], number: int, at_us: int, now_us: int) -> Row:
    venue, symbol = name
    return tick(
        price=str(rng.randrange(90, 110)), size=str(rng.randrange(1, 9)), trade_id=str(number),
        sequence=number, venue=venue, symbol=symbol, event_time=instant(at_us),
        ingest_time=instant(now_us - rng.randrange(2 * SECOND_US)),
    )  # fmt: skip


def log(seed: int, count: int = 200) -> list[Item]:
    """Return a log of an hour or two in which everything happens that may."""
    rng = random.Random(seed)
    now_us = us("10:00:00")
    items: list[Item] = []
    next_id = dict.fromkeys(SERIES, 1)
    withheld: list[Row] = []
    while len(items) < count:
        now_us += rng.choice([0, 1, 3, 8]) * SECOND_US + rng.randrange(SECOND_US)
        now_us += 150 * SECOND_US * (rng.random() < 0.04)
        name = rng.choice(SERIES)
        made = trade(rng, name, next_id[name], now_us - _lag_us(rng), now_us)
        draw = rng.random()
        if draw < 0.05:
            row = tick("10:00:00", None, None, bid="1", ask="2", venue=name[0],
                       symbol=name[1], event_time=instant(now_us))  # fmt: skip
        elif draw < 0.10 and withheld:
            row = withheld.pop(rng.randrange(len(withheld)))
        elif draw < 0.17:
            row = _amendment(rng, name, next_id[name], now_us)
        else:
            next_id[name] += 1
            row = made
            if draw < 0.22:
                withheld.append(made)
                continue
        row["quality"] = rng.choice([0, 0, 0, 1, 2]) << REPEATS_SHIFT
        clock_us = now_us + rng.randrange(200) * SECOND_US if rng.random() < 0.05 else None
        items.append(Item(row, now_us, clock_us))
        now_us = max(now_us, clock_us or 0)
    return items


def _lag_us(rng: random.Random) -> int:
    """Within grace mostly, sometimes late."""
    return rng.choice([0, 1, 5, 20, 20, 200 * (rng.random() < 0.3)]) * SECOND_US


def _amendment(rng: random.Random, name: tuple[str, str], next_id: int, now_us: int) -> Row:
    """Return one of a trade that came, or of one that comes soon, or never."""
    trade_id = str(rng.randrange(max(1, next_id - 40), next_id + 3))
    new = ("CANCEL", None, None) if rng.random() < 0.5 else ("CORRECT", "150", "3")
    return tick("10:00:00", *new[1:], action=new[0], trade_id=trade_id, venue=name[0],
                symbol=name[1], event_time=instant(now_us))  # fmt: skip


@dataclass
class Hour(World):
    """A log with times of its own, played in any blocks and with any crashes.

    Attributes:
        cuts: Draws the blocks and the crashes; one block and no crash without.
    """

    cuts: random.Random | None = None
    late: list[Row] = field(default_factory=list)

    def ticks(self, start: int, stop: int) -> Iterator[Trades]:
        held = np.flatnonzero((self.log.offset >= start) & (self.log.offset < stop))
        for at in range(0, len(held), 40):
            yield self.log.take(held[at : at + 40])

    def follow(self, items: list[Item]) -> "Hour":
        """Play items, offset after offset unless they have their own; they are the log."""
        numbered = [item._replace(row={"offset": n, **item.row}) for n, item in enumerate(items)]
        self.log = self._trades(
            [item.row for item in numbered], [item.appended_us for item in numbered]
        )
        start = 0
        while start < len(numbered):
            stop = len(numbered) if self.cuts is None else start + self.cuts.choice([1, 2, 9, 60])
            self._block(numbered[start:stop])
            start = stop
            self.published_bars += records(self.builder.emit())
            if self.cuts is not None and self.cuts.random() < 0.3:
                self._crash()
        return self

    def _block(self, items: list[Item]) -> None:
        """As the agent: clock ticks, corrections and cancels at their places."""
        whole = self._trades([item.row for item in items], [item.appended_us for item in items])
        start = 0
        for n, item in enumerate(items):
            is_change = whole.actions[n] != 0
            if is_change:
                self._fold(whole.take(slice(start, n)))
                start = n
                if taken := self.builder.take(whole, n):
                    times_us = int(whole.at_us[n]), int(whole.appended_us[n])
                    assert self.amender.amend(*taken, *times_us)
            if item.clock_us is not None:
                self._fold(whole.take(slice(start, n + 1)))
                start = n + 1
                self.builder.clock(item.clock_us)
        self._fold(whole.take(slice(start, None)))

    def _fold(self, ticks: Trades) -> None:
        self.late += [each.record for each in self.builder.fold(ticks)]

    def _crash(self) -> None:
        for key, value in self.builder.save():
            self.saved.pop(key, None)
            if value is not None:
                self.saved[key] = value
        self.builder = BarBuilder(self.builder.plans, 0)
        self.builder.restore(self.saved.items())
        self.amender = Amender(self.builder, self, 48 * HOUR_US)

    def _trades(self, rows: list[Row], appended_us: list[int]) -> Trades:
        return of_frame(block(*rows), np.array(appended_us, np.int64))

    def history(self, *without: str) -> list[str]:
        """Return every final and every revision, byte for byte but for some fields."""
        return sorted(_text(bar, without) for bar in self.published_bars if bar["revision"])

    def newest(self, *without: str) -> dict[tuple[object, ...], str]:
        """Return each bar as it was told last, byte for byte but for some fields."""
        return {
            tuple(bar[n] for n in ("venue", "symbol", "timeframe", "open_time")): _text(
                bar, without
            )
            for bar in self.published_bars
        }


def _text(bar: Row, without: Collection[str]) -> str:
    return str({name: value for name, value in bar.items() if name not in without})


def played(items: list[Item], cuts: random.Random | None = None) -> Hour:
    return Hour(CATALOG, cuts=cuts).follow(items)


def require_same(one: Hour, other: Hour, *without: str) -> None:
    assert one.newest(*without) == other.newest(*without)
    assert one.history(*without) == other.history(*without)
    assert list(map(str, one.late)) == list(map(str, other.late))


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_and_crashes_change_nothing(seed: int) -> None:
    """Not a byte of a bar, of a revision or of a late record."""
    items = log(seed)
    whole = played(items)

    for cuts in range(2):
        require_same(played(items, random.Random(10 * seed + cuts)), whole)


def test_everything_happens_in_the_logs() -> None:
    worlds = [played(log(seed)) for seed in SEEDS]
    told = [bar for world in worlds for bar in world.published_bars]

    assert {bar["reason"] for bar in told} == {
        "live", "final", "late", "cancel", "correction", "gap", "gap_repair",
    }  # fmt: skip
    assert {bar["complete"] for bar in told} == {True, False}
    assert {bar["duplicates"] > 0 for bar in told} == {True, False}  # type: ignore[operator]
    assert all(world.late for world in worlds)
    assert any(world.builder.listing(name).early for world in worlds for name in SERIES)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tick_sent_again_changes_nothing(seed: int) -> None:
    """As a producer that retries: refused before it becomes a tick, wherever it comes.

    Bars count it, and that is all.
    """
    rng = random.Random(seed)
    once = log(seed)
    again = list(once)
    for item in rng.sample(once, 60):
        again.insert(rng.randrange(again.index(item) + 1, len(again) + 1), Item(*item[:2]))

    plain, doubled = normalized(once, rng), normalized(again, rng)
    assert len(doubled) == len(plain) < len(again)
    require_same(played(doubled, rng), played(plain), "duplicates")


def normalized(items: list[Item], rng: random.Random) -> list[Item]:
    """Return what the normalizer makes of raw ticks, in any blocks."""
    limits = replace(RULES.limits, contiguous=CATALOG.contiguous_venues)
    normalizer = fresh(limits=limits, max_future_us=HOUR_US)
    ticks: list[Item] = []
    start = 0
    while start < len(items):
        part = items[start : start + rng.choice([1, 5, 50])]
        done = run(
            normalizer, *(item.row for item in part), first_offset=start, now=part[-1].appended_us
        )
        for row, raw_offset, quality in done.accepted.iter_rows():
            noted = {"raw_offset": raw_offset, "quality": quality}
            ticks.append(part[row]._replace(row={**part[row].row, **noted}))
        start += len(part)
    return ticks


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_zombie_publishes_again_changes_nothing(seed: int) -> None:
    """The same raw offsets a second time, between the ticks of its successor."""
    rng = random.Random(seed)
    items = [
        item._replace(row={**item.row, "raw_offset": n, "offset": 1_000 * n})
        for n, item in enumerate(log(seed))
    ]
    again: list[Item] = []
    for n, item in enumerate(items):
        again.append(item)
        if rng.random() < 0.1:
            repeats = items[max(0, n - rng.randrange(1, 30)) : n + 1]
            again += [
                Item({**each.row, "offset": 1_000 * n + k}, item.appended_us + 10 * SECOND_US)
                for k, each in enumerate(repeats, 1)
            ]

    assert len(again) > len(items)
    require_same(played(again, rng), played(items))


Names = list[tuple[str, str]]
WITHOUT_IDS: Names = [("OKX", "ETH/USD"), ("OKX", "BTC/USD"), ("DESK", "BTC/USD")]


def trades(seed: int, names: Names) -> list[tuple[int, Row]]:
    """Return trades in order, with their event times."""
    rng = random.Random(seed)
    next_id = dict.fromkeys(names, 1)
    at_us = us("10:00:00")
    found = []
    for _ in range(250):
        at_us += rng.randrange(8 * SECOND_US)
        name = rng.choice(names)
        made = trade(rng, name, next_id[name], at_us, at_us)
        found.append((at_us, {**made, "ingest_time": instant(at_us)}))
        next_id[name] += 1
    return found


def amended(seed: int, names: Names, arrivals: list[tuple[int, Row]]) -> list[Item]:
    """Return trades in their order of arrival, then corrections and cancels of some."""
    rng = random.Random(seed)
    items = [Item(row, at_us) for at_us, row in sorted(arrivals, key=lambda pair: pair[0])]
    last_us = items[-1].appended_us
    told = [_amendment(rng, rng.choice(names), 60, last_us) for _ in range(8)]
    return items + [Item(row, last_us) for row in told]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("names", [WITHOUT_IDS, SERIES], ids=["without ids", "with ids"])
def test_arrival_within_grace_changes_no_bar_and_no_history(seed: int, names: Names) -> None:
    """Bars of activity are not by time, and follow the log."""
    rng = random.Random(seed)
    sent = trades(seed, names)
    shuffled = [(at_us + rng.randrange(29 * SECOND_US), row) for at_us, row in sent]
    ordered = played(amended(seed, names, sent))
    other = played(amended(seed, names, shuffled), rng)

    assert other.late == []
    for hour in (ordered, other):
        told = hour.published_bars
        hour.published_bars = [bar for bar in told if str(bar["timeframe"])[0] in "MHD"]
    require_same(other, ordered, *LINEAGE)
    assert len(ordered.newest()) > 60
