"""The warm sink on stores in memory: what is refused, and when the store's offset moves."""

from collections.abc import Sequence

import polars as pl
import pytest
from typing_extensions import override

from agents.warm import WarmBars, WarmTicks
from app.domain.ports import Applied, Row
from app.errors import StoreRejected
from connectors.memory import MemoryWarmStore
from schemas.block import Bad
from tests.contract.records import bar
from tests.unit.agents.sinks import BARS, PARTITION, TICKS, Bench, Log, block, plain
from tests.unit.schemas.records import tick

EVER = (None, None, 1000)


class Picky(MemoryWarmStore):
    """A store that refuses a symbol, and notes what was acknowledged when its offset moved."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self.moved: list[tuple[int, int]] = []
        """Last offset, and dead letters that were acknowledged by then."""

    @override
    def apply_bars(
        self, topic: str, partition: int, first_offset: int, last_offset: int, rows: Sequence[Row]
    ) -> Applied:
        self._judge({row["symbol"] for row in rows})
        self.moved.append((last_offset, self._log.acknowledged))
        return super().apply_bars(topic, partition, first_offset, last_offset, rows)

    @override
    def apply_ticks(
        self, topic: str, partition: int, first_offset: int, last_offset: int, frame: pl.DataFrame
    ) -> Applied:
        self._judge(set(frame["symbol"]))
        self.moved.append((last_offset, self._log.acknowledged))
        return super().apply_ticks(topic, partition, first_offset, last_offset, frame)

    def _judge(self, symbols: set[str]) -> None:
        if "BAD" in symbols:
            raise StoreRejected("22P02")


def warm_bars(bench: Bench, store: Picky) -> WarmBars:
    refusals = bench.refusals("warm", BARS)
    return WarmBars("bars.v1", PARTITION, store, bench.sink("postgres"), refusals)


def warm_ticks(bench: Bench, store: Picky) -> WarmTicks:
    refusals = bench.refusals("warm", TICKS)
    return WarmTicks("ticks.v1", PARTITION, store, bench.sink("postgres"), refusals)


async def test_a_letter_is_acknowledged_before_the_stores_offset_moves_past_its_record() -> None:
    """Or a crash between the two would lose it: the next worker begins behind it."""
    bench = Bench()
    store = Picky(bench.log)
    bars = [plain(bar()), plain(bar(symbol="BAD")), plain(bar()), b"no bar"]

    await warm_bars(bench, store).apply(block(BARS, *bars))

    assert [offset for _, offset in bench.log.places()] == [11, 13]
    assert store.moved == [(10, 0), (11, 1), (12, 1), (13, 2)]
    assert store.positions(["bars.v1"]) == {("bars.v1", PARTITION): 14}


async def test_a_refused_tick_is_a_dead_letter_and_its_neighbours_are_stored() -> None:
    bench = Bench()
    store = Picky(bench.log)
    good = tick()

    await warm_ticks(bench, store).apply(block(TICKS, good, tick(symbol="BAD"), good))

    assert bench.log.places() == [("ticks.v1|2|11|warm", 11)]
    stored = store.ticks(good["symbol"], good["venue"], *EVER)
    assert [row["offset"] for row in stored] == [10, 12]


async def test_it_goes_on_where_the_store_stands() -> None:
    bench = Bench()
    store = Picky(bench.log)
    await warm_bars(bench, store).apply(block(BARS, plain(bar()), plain(bar())))

    stage = warm_bars(bench.restarted(), store)
    await stage.begin()
    assert stage.offset == 11


@pytest.mark.parametrize("crash_after", [1, 2])
async def test_what_a_crash_makes_it_read_again_is_refused_once(crash_after: int) -> None:
    """The letter is out and the store's offset has not moved."""
    bench = Bench()
    refused = block(BARS, *[plain(bar(symbol="BAD"))] * 2)
    earlier = bench.refusals("warm", BARS)
    await earlier.refuse(
        refused, [Bad(row, "store_rejected", "22P02") for row in range(crash_after)]
    )

    await warm_bars(bench.restarted(), Picky(bench.log)).apply(refused)

    assert [offset for _, offset in bench.log.places()] == [10, 11]
