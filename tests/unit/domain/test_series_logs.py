"""What a series tells depends on its log alone: not on blocks, nor on crashes (S13).

Logs of everything that may come to a series: trades in and out of order, late ones, corrections
and cancels, gaps found and repaired, the clock. What is left at the end is held against bars made
from the trades that are left, by plain loops.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

import pytest

from app.domain.bars import Bar, bar_row
from app.domain.empties import Empties
from app.domain.exchange_sessions import profile
from app.domain.series import Series
from app.domain.timeframes import Ladder
from tests.unit.domain.tape import MINUTE_US, SECOND_US, part, rungs
from tests.unit.domain.ticks import us

LADDERS = {
    "24x7": rungs("M1", "M5", "M15", "H1", revise_for_s=1800),
    "XHKG": rungs("M1", "M5", "M30", "H4", "D1", revise_for_s=1800, profile=profile("XHKG")),
    "anchored": rungs("M5", "H1", "D1", revise_for_s=1800, profile=profile("XHKG"), anchored=True),
}
START_US = us("03:20:00")
"""Forty minutes before lunch in Hong Kong."""


class Event(NamedTuple):
    """One record: a trade, cancel, correction, gap, repair or clock."""

    kind: str
    at_us: int
    other: int = 0


def log(seed: int, count: int = 400) -> list[Event]:
    """Return a log of trades up to ten minutes late, and all else that happens."""
    rng = random.Random(seed)
    events = []
    now_us, holes = START_US, []
    for n in range(count):
        now_us += rng.choice([1, 5, 20, 20, 70, 400 if rng.random() < 0.2 else 30]) * SECOND_US
        delay_us = rng.choice([0, 0, 0, 10, 25, 90, 700]) * SECOND_US
        events.append(Event("trade", max(now_us - delay_us, START_US), rng.randrange(90, 110)))
        match rng.randrange(12):
            case 0:
                events.append(Event("cancel", rng.randrange(max(0, n - 60), n + 1)))
            case 1:
                target = rng.randrange(max(0, n - 60), n + 1)
                events.append(Event("correct", target, rng.randrange(90, 110)))
            case 2:
                holes.append((now_us - rng.randrange(600) * SECOND_US, now_us))
                events.append(Event("gap", *holes[-1]))
            case 3 if holes:
                events.append(Event("repair", *holes.pop(rng.randrange(len(holes)))))
            case 4:
                now_us += rng.randrange(300) * SECOND_US
                events.append(Event("clock", now_us))
    return events


@dataclass
class Player:
    """Feeds a series block by block, as the bar builder does, and keeps what it tells."""

    ladder: Ladder
    empties: Empties
    series: Series = field(init=False)
    rows: dict[tuple[int, int], str] = field(default_factory=dict)
    trades: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Event time and price by number, of those that were used and not cancelled."""
    newest: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    last_us: int = START_US
    count: int = 0

    def __post_init__(self) -> None:
        self.series = Series(self.ladder, self.empties)

    def play(self, events: list[Event], offset: int) -> None:
        """Feed a block: trades on time first, then all else in its order, then time."""
        base = self.ladder.base
        width_us = base.timeframe.width_us
        stream_us = self.series.stream_us
        queue = []
        for n, (kind, at_us, other) in enumerate(events, offset):
            self.last_us = max(self.last_us, at_us if kind in {"trade", "clock"} else 0)
            if kind == "trade":
                bar = part(at_us, other, offset=n)
                bar.open_us = at_us - at_us % width_us
                number, self.count = self.count, self.count + 1
                self.trades[number] = (at_us, other)
                if bar.open_us + width_us + base.grace_us <= stream_us:
                    queue.append((kind, number, bar, stream_us, n))
                    continue
                self.series.fold(bar)
                stream_us = max(stream_us, at_us)
            else:
                queue.append((kind, at_us, other, stream_us, n))
        for kind, one, other, before_us, n in queue:
            self._do(kind, one, other, before_us, n)
        self.series.advance(stream_us, self.last_us)

    def _do(self, kind: str, one: int, other: Any, before_us: int, n: int) -> None:
        if kind == "trade" and not self.series.revise(other, before_us):
            del self.trades[one]
        elif kind == "gap":
            self.series.gap_opened(one, other, stream_us=before_us, offset=n)
        elif kind == "repair":
            self.series.gap_closed(one, other, stream_us=before_us, offset=n)
        elif kind == "clock":
            self.series.clock(one)
        elif kind in {"cancel", "correct"} and one in self.trades:
            self._amend(kind, one, other, n)

    def _amend(self, kind: str, number: int, price: int, n: int) -> None:
        width_us = self.ladder.base.timeframe.width_us
        open_us = self.trades[number][0] // width_us * width_us
        if not self.series.holds(open_us):
            return
        if kind == "cancel":
            del self.trades[number]
        else:
            self.trades[number] = self.trades[number][0], price
        known = [
            (at_us, p, m)
            for m, (at_us, p) in self.trades.items()
            if at_us // width_us == open_us // width_us
        ]
        bar = None
        for at_us, p, m in known:
            made = part(at_us, p, offset=OFFSETS[m])
            made.open_us = open_us
            if bar is None:
                bar = made
            else:
                bar.add(made)
        assert self.series.replace(
            open_us, bar, kind if kind == "cancel" else "correction", offset=n
        )

    def take(self) -> None:
        """Keep what was told; a bar that is another has another rank, a higher one."""
        for e in self.series.emissions():
            name = self.ladder.rungs[e.rung].timeframe.name
            row = bar_row(
                e.bar, "S", "V", name, 0, partition=0, partial=e.partial, close_us=e.close_us,
                complete=e.complete,
            ).record()  # fmt: skip
            key = e.rung, e.bar.open_us
            known = self.newest.get(key)
            if known is not None:
                ranks = [(bar["revision"], bar["last_offset"]) for bar in (known, row)]
                assert ranks[0] <= ranks[1]
                assert ranks[0] != ranks[1] or known == row
            self.newest[key] = row
            if e.bar.revision:
                self.history.append(str(row))

    def crash(self) -> None:
        """Save, and go on with a new series that has nothing but what was saved."""
        for rung, open_us, bar in self.series.save():
            self.rows.pop((rung, open_us), None)
            if bar is not None:
                self.rows[rung, open_us] = json.dumps(astuple(bar))
        state = json.dumps(self.series.state())
        self.series = Series(self.ladder, self.empties)
        self.series.restore_state(json.loads(state))
        for (rung, _), row in sorted(self.rows.items()):
            open_us, opened, closed, *rest = json.loads(row)
            ranks = (None if rank is None else tuple(rank) for rank in (opened, closed))
            self.series.restore(rung, Bar(open_us, *ranks, *rest))  # type: ignore[arg-type]


OFFSETS: dict[int, int] = {}
"""Offset of each trade of the log that is played."""


def played(
    events: list[Event], ladder: Ladder, empties: Empties, cuts: random.Random | None
) -> Player:
    """Return what a log came to; in blocks of one event without `cuts`, and no crash."""
    OFFSETS.clear()
    trades = [n for n, event in enumerate(events) if event.kind == "trade"]
    OFFSETS.update(enumerate(trades))
    player = Player(ladder, empties)
    for start, block in _blocks(events, cuts):
        player.play(block, start)
        if cuts is None or cuts.random() < 0.5:
            player.take()
        if cuts is not None and cuts.random() < 0.2:
            player.take()
            player.crash()
    player.take()
    player.history.sort()
    return player


def _blocks(events: list[Event], cuts: random.Random | None) -> Iterator[tuple[int, list[Event]]]:
    """Yield blocks; amendments and clocks stand alone, as the builder takes them."""
    start = 0
    while start < len(events):
        size = 1 if cuts is None else cuts.choice([1, 3, 40, 100])
        end = start + 1
        alone = {"cancel", "correct", "clock"}
        while (
            end < min(start + size, len(events))
            and events[end].kind not in alone
            and events[start].kind not in alone
        ):
            end += 1
        yield start, events[start:end]
        start = end


EVERY = [
    (seed, ladder, empties)
    for seed, ladder in enumerate(LADDERS)
    for empties in Empties
]  # fmt: skip


@pytest.mark.parametrize(("seed", "ladder", "empties"), EVERY)
def test_blocks_and_crashes_change_neither_bars_nor_histories(
    seed: int, ladder: str, empties: Empties
) -> None:
    for more in range(4):
        events = log(10 * seed + more)
        whole = played(events, LADDERS[ladder], empties, None)
        cut = played(events, LADDERS[ladder], empties, random.Random(seed + more))

        assert cut.newest == whole.newest
        assert cut.history == whole.history
        reasons = {bar["reason"] for bar in whole.newest.values()}
        assert {"late", "correction", "cancel", "gap"} <= reasons


@pytest.mark.parametrize(("seed", "ladder", "empties"), EVERY)
def test_what_is_left_is_what_the_trades_left_make(
    seed: int, ladder: str, empties: Empties
) -> None:
    """Every bar above the base from the trades themselves: the roll-up loses nothing (S12)."""
    for more in range(4):
        player = played(log(10 * seed + more), LADDERS[ladder], empties, random.Random(more))
        expected = made(player)
        told = {
            key: tuple(bar[name] for name in ("open", "high", "low", "close", "trades"))
            for key, bar in player.newest.items()
            if bar["trades"]
        }

        assert {
            k: tuple(int(v.scaleb(12)) for v in bar[:4]) + bar[4:] for k, bar in told.items()
        } == expected
        _check_empties(player, expected)


def made(player: Player) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return open, high, low, close and count of each bar that has trades."""
    bars: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    for number, (at_us, price) in player.trades.items():
        for n, rung in enumerate(player.ladder.rungs):
            span = rung.span(at_us)
            if span is not None:
                bars.setdefault((n, span.open_us), []).append((at_us, OFFSETS[number], price))
    found = {}
    for key, trades in bars.items():
        trades.sort()
        values = [price for _, _, price in trades]
        found[key] = (values[0], max(values), min(values), values[-1], len(values))
    return found


def _check_empties(player: Player, expected: dict[tuple[int, int], tuple[int, ...]]) -> None:
    """Every interval of a session has a bar, and carries the close of the bar before it."""
    told = player.newest
    for n, rung in enumerate(player.ladder.rungs):
        ends = [open_us for (m, open_us), bar in told.items() if m == n and bar["is_final"]]
        close: int | None = None
        for open_us in sorted(o for m, o in told if m == n):
            bar = told[n, open_us]
            if bar["trades"]:
                close = expected[n, open_us][3]
                continue
            carried = [bar[name] for name in ("open", "high", "low", "close")]
            if player.empties is Empties.CARRY and bar["is_final"]:
                assert carried == [None if close is None else record_price(close)] * 4
            elif player.empties is not Empties.CARRY:
                assert carried == [None] * 4
            assert bar["volume"] == 0
        if player.empties is not Empties.OMIT:
            opens = (o for m, o in told if m == n)
            at_us = min(o for o in opens if rung.close_of(o) > player.series.first_us)
            while ends and at_us <= max(ends):
                span = player.ladder.next_span(n, at_us)
                assert span is not None
                assert (n, span.open_us) in told or span.open_us > max(ends)
                at_us = span.close_us


def record_price(unscaled: int) -> Any:
    bar = part(0, unscaled)
    return bar_row(bar, "S", "V", "M1", MINUTE_US, partition=0, partial=False).record()["close"]
