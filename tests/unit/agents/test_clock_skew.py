"""F17: a worker's clock ten minutes off, or jumping; the clocks are the tests' own."""

import ast
from pathlib import Path
from typing import Any, cast

import pytest

from agents.bars import Bars
from app.domain.amender import Amender
from app.domain.bars import BarRow
from app.domain.builder import BarBuilder
from app.domain.normalize import Normalizer
from app.engine.block import Block
from app.outlets import Outlets
from app.tail import Tail
from app.tick_log import ClockTick, TickLog
from tests.unit.agents.test_bars import block
from tests.unit.domain.test_normalize import NOW, RULES, run
from tests.unit.domain.test_quote_builder import plans
from tests.unit.domain.ticks import records, tick, us

ROOT = Path(__file__).parents[3]
SKEW_US = 600_000_000
READ_WHERE = {
    "app/worker.py": "when a role got ready, for people",
    "app/engine/transport.py": "when a block was handed over, for Faust's monitor",
    "app/engine/broker_clock.py": "once, to begin with, until records tell the broker's time",
    "connectors/producer.py": "a tick's ingest_time, by its producer",
}
"""Every place in the flow that asks what time it is, and what for."""
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"}


def test_the_wall_clock_is_read_where_it_is_known_to_be_harmless_and_nowhere_else() -> None:
    """Waits, leases, retries and breakers are timed by a clock that does not jump."""
    found = set()
    for room in ("agents", "app", "connectors", "schemas"):
        for path in (ROOT / room).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name.startswith(("app/cli/", "app/audit/", "app/api/", "app/client/")):
                continue  # beside the flow: a person's time, and when credentials end
            nodes = ast.walk(ast.parse(path.read_text()))
            if any(isinstance(n, ast.Attribute) and ast.unparse(n) in WALL_CLOCKS for n in nodes):
                found.add(name)

    assert found == set(READ_WHERE)


class Servers:
    """What the agent writes to and reads from, in memory."""

    def __init__(self) -> None:
        self.broker_us = us("10:00:12")
        """What time it is at the broker."""
        self.ticked: list[ClockTick] = []
        self.told: list[dict[str, Any]] = []
        self.late_ones: list[Any] = []

    def late_through(self, _partition: int) -> int:
        return -1

    def clocks(self, _after: int) -> list[ClockTick]:
        return list(self.ticked)

    def clock(self, _now_us: int, _partition: int, tick_offset: int) -> int:
        self.ticked.append(ClockTick(self.broker_us, tick_offset))
        return self.broker_us

    def late(self, ticks: list[Any], _partition: int) -> None:
        self.late_ones += ticks

    def bars(self, bars: list[BarRow], _partition: int) -> None:
        self.told += records(bars)

    def newest(self, timeframe: str = "M1") -> dict[str, Any]:
        return [bar for bar in self.told if bar["timeframe"] == timeframe][-1]


async def started(servers: Servers) -> Bars:
    """Return an agent that has taken a trade of 10:00:10."""
    stage = Bars(
        BarBuilder(plans(), 0), cast("Outlets", servers), cast("Tail", servers),
        cast("TickLog", servers), cast("Amender", None),
    )  # fmt: skip
    await stage.begin()
    await take(stage, block(tick("10:00:10", price="1")))
    return stage


async def take(stage: Bars, taken: Block) -> None:
    """Do with a block as the engine does."""
    await stage.apply(taken)
    stage.offset = taken.last_offset


async def test_a_clock_ahead_closes_nothing_before_its_time() -> None:
    """What comes on time is not late, though the worker thought it was ten minutes later."""
    servers = Servers()
    stage = await started(servers)
    await stage.idle(us("10:00:12") + SKEW_US)
    assert [each.at_us for each in servers.ticked] == [us("10:00:12")]
    stage.emit(full=True)
    assert not servers.newest()["is_final"]

    await take(stage, block(tick("10:00:20", price="2"), first_offset=1))
    servers.broker_us = us("10:01:31")
    await stage.idle(servers.broker_us)
    stage.emit(full=True)

    newest = servers.newest()
    assert (newest["revision"], newest["reason"], newest["trades"]) == (1, "final", 2)
    assert servers.late_ones == []


async def test_a_clock_behind_closes_nothing_before_its_time() -> None:
    servers = Servers()
    stage = await started(servers)
    await stage.idle(us("10:02:00") - SKEW_US)
    stage.emit(full=True)
    assert not servers.newest()["is_final"]

    servers.broker_us = us("10:02:00")
    await stage.idle(us("10:02:00"))
    stage.emit(full=True)
    assert servers.newest()["is_final"]


@pytest.mark.parametrize("jumps_s", [(600, -600), (-600, 600), (600, 0, 600), (86_400, -86_400)])
async def test_a_clock_that_jumps_never_takes_a_final_bar_back(jumps_s: tuple[int, ...]) -> None:
    servers = Servers()
    stage = await started(servers)
    for jump_s in (*jumps_s, 0):
        servers.broker_us += 30_000_000
        await stage.idle(us("10:02:00") + jump_s * 1_000_000)
        stage.emit(full=True)

    revisions = [bar["revision"] for bar in servers.told if bar["timeframe"] == "M1"]
    assert revisions == sorted(revisions)
    assert servers.newest()["revision"] == 1
    assert servers.newest()["is_final"]


async def test_a_replay_tells_the_same() -> None:
    """When the clock ticked is in the log, with its place: the trade of 10:00:20 was late."""
    first = Servers()
    stage = await started(first)
    first.broker_us = us("10:01:31")
    await stage.idle(us("10:01:31"))
    later = block(tick("10:00:20", price="2"), first_offset=1)
    await take(stage, later)
    stage.emit(full=True)

    second = Servers()
    second.ticked = first.ticked
    again = await started(second)
    await take(again, later)
    again.emit(full=True)

    assert second.newest() == first.newest()
    assert second.newest()["reason"] == "late"


def test_the_future_is_judged_by_the_brokers_clock_whatever_the_workers_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judged() -> list[str]:
        core = Normalizer(RULES, 0)
        ahead_us = NOW + RULES.max_future_us
        rows = [tick(event_time=at) for at in (ahead_us, ahead_us + 1)]
        return [reason for _, reason, _ in run(core, *rows, now=NOW).refused]

    right = judged()
    monkeypatch.setattr("time.time", lambda: (NOW + SKEW_US) / 1e6)
    monkeypatch.setattr("time.time_ns", lambda: (NOW + SKEW_US) * 1000)

    assert judged() == right == ["future_event_time"]
