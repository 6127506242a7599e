"""The hot sink on stores in memory: what is refused, and what a store that lost it gets again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from typing_extensions import override

from agents.hot import HotRecords, HotTicks, Kind
from app.domain.ports import Row
from app.errors import StoreRejected, StoreUnavailable
from connectors.memory import MemoryHotStore
from tests.contract.records import bar, ticks
from tests.unit.agents.sinks import BARS, PARTITION, TICKS, Bench, block, plain
from tests.unit.schemas.records import tick

KEEP = 5


class Picky(MemoryHotStore):
    """A store that refuses some symbols, and can be away or lose everything."""

    def __init__(self, *refused: str) -> None:
        super().__init__()
        self.refused = refused
        self.is_away = False
        self.life = 0

    @override
    def era(self) -> str:
        return str(self.life)

    @override
    def is_whole(self, part: str) -> bool:
        if self.is_away:
            raise StoreUnavailable("away")
        return super().is_whole(part)

    @override
    def put_bars(self, rows: Sequence[Row]) -> int:
        self._judge({row["symbol"] for row in rows})
        return super().put_bars(rows)

    @override
    def put_ticks(self, frame: pl.DataFrame, keep: int = 1000) -> int:
        self._judge(set(frame["symbol"]))
        return super().put_ticks(frame, keep)

    def _judge(self, symbols: set[str]) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        if symbols & set(self.refused):
            raise StoreRejected("WRONGTYPE")

    def lose(self) -> None:
        """Restart without what it held."""
        self._bars.clear()
        self._ticks.clear()
        self.life += 1


def hot_bars(bench: Bench, store: Picky) -> HotRecords:
    kind = Kind("bar", BARS, store, bench.sink("redis"), bench.metrics, bench.tail)
    return HotRecords(kind, PARTITION, bench.refusals("hot", BARS), store.put_bars)


def hot_ticks(bench: Bench, store: Picky) -> HotTicks:
    kind = Kind("tick", TICKS, store, bench.sink("redis"), bench.metrics, bench.tail)
    return HotTicks(kind, PARTITION, bench.refusals("hot", TICKS), KEEP)


async def looked(stage: HotRecords | HotTicks) -> None:
    """Let a look at the store be over."""
    stage.emit(full=True)
    assert stage._look is not None
    await stage._look


async def test_refused_bars_are_dead_letters_in_the_order_of_their_offsets() -> None:
    bench = Bench()
    good, bad = plain(bar()), plain(bar(symbol="BAD"))
    stage = hot_bars(bench, store := Picky("BAD"))

    await stage.apply(block(BARS, good, bad, b"no bar", bad))

    assert bench.log.places() == [(f"bars.v1|2|{n}|hot", n) for n in (11, 12, 13)]
    reasons = [letter["reason"] for _, letter in bench.log.letters]
    assert reasons == ["store_rejected", "wrong_magic", "store_rejected"]
    assert store.latest_bar(good["symbol"], good["venue"], good["timeframe"])


async def test_ticks_of_a_refused_series_are_dead_letters_and_its_neighbours_are_kept() -> None:
    bench = Bench()
    good, bad = tick(), tick(symbol="BAD")
    stage = hot_ticks(bench, store := Picky("BAD"))

    await stage.apply(block(TICKS, bad, good, bad))

    assert bench.log.places() == [(f"ticks.v1|2|{n}|hot", n) for n in (10, 12)]
    assert len(store.ticks(good["symbol"], good["venue"], 10)) == 1


async def test_what_a_crash_makes_it_read_again_is_refused_once() -> None:
    """Killed after its letters went out and before its offset was committed."""
    bench = Bench()
    blocks = [block(BARS, plain(bar(symbol="BAD")), plain(bar(symbol="BAD")))]
    blocks.append(block(BARS, plain(bar(symbol="BAD")), first=12))
    await hot_bars(bench, Picky("BAD")).apply(blocks[0])

    again = hot_bars(bench.restarted(), Picky("BAD"))
    for each in blocks:
        await again.apply(each)

    assert [offset for _, offset in bench.log.places()] == [10, 11, 12]


async def test_letters_of_another_agent_about_the_same_records_are_not_its_own() -> None:
    bench = Bench()
    refused = block(BARS, plain(bar(symbol="BAD")))
    await bench.refusals("warm", BARS).refuse(refused, refused.records().bad)
    await hot_bars(bench, Picky("BAD")).apply(refused)
    other = bench.restarted()
    await other.refusals("warm", BARS).refuse(refused, [])

    assert [key for key, _ in bench.log.places()] == ["bars.v1|2|10|hot"]


async def test_a_store_that_lost_bars_gets_them_again_from_the_topic() -> None:
    bench = Bench()
    bench.records = [bar(), bar(symbol="BAD"), bar(symbol="ETH-USD")]
    stage = hot_bars(bench, store := Picky("BAD"))
    store.mark_whole("bars.v1:2", store.era())
    store.lose()

    await looked(stage)

    assert store.latest_bar("BTC-USD", "KRAKEN", "M1")
    assert store.latest_bar("ETH-USD", "KRAKEN", "M1")
    assert store.is_whole("bars.v1:2")
    assert bench.log.letters == []


async def test_a_store_that_lost_ticks_gets_the_newest_of_each_series_again() -> None:
    bench = Bench()
    bench.ticks = ticks(*({"symbol": "ETH-USD"} for _ in range(8)), {}).with_row_index("row")
    stage = hot_ticks(bench, store := Picky())

    await looked(stage)

    kept = [len(store.ticks(symbol, "KRAKEN", 10)) for symbol in ("ETH-USD", "BTC-USD")]
    assert kept == [KEEP, 1]
    read = {"role": "hot", "noun": "tick"}
    assert bench.metrics.registry.get_sample_value("tapeline_refilled_records_total", read) == 9


async def test_a_whole_store_is_left_alone() -> None:
    bench = Bench()
    bench.records = [bar()]
    stage = hot_bars(bench, store := Picky())
    store.mark_whole("bars.v1:2", store.era())

    await looked(stage)

    assert store.latest_bar("BTC-USD", "KRAKEN", "M1") is None


async def test_a_store_that_loses_while_it_is_filled_is_filled_again() -> None:
    bench = Bench()
    bench.records = [bar()]
    store = Picky()
    stage = hot_bars(bench, store)
    put = stage._put_in

    def put_and_lose(records: list[dict[str, Any]]) -> int:
        applied = put(records)
        stage._put_in = put
        store.lose()
        return applied

    stage._put_in = put_and_lose
    await looked(stage)
    assert not store.is_whole("bars.v1:2")
    stage._rested_at = 0.0
    await looked(stage)

    assert store.is_whole("bars.v1:2")
    assert store.latest_bar("BTC-USD", "KRAKEN", "M1")


async def test_a_store_that_keeps_losing_is_not_filled_without_rest() -> None:
    bench = Bench()
    bench.records = [bar()]
    stage = hot_bars(bench, store := Picky())
    for _ in range(5):
        await looked(stage)
        store.lose()

    read = {"role": "hot", "noun": "bar"}
    assert bench.metrics.registry.get_sample_value("tapeline_refilled_records_total", read) == 1


async def test_partitions_are_taken_over_while_the_store_is_away() -> None:
    bench = Bench()
    store = Picky()
    store.is_away = True
    stage = hot_bars(bench, store)

    await asyncio.wait_for(stage.begin(), 0.2)
    assert stage._look is not None
    await stage._look


async def test_a_look_that_breaks_an_invariant_is_not_passed_over() -> None:
    """The engine ends the process for what `emit` raises."""
    bench = Bench()
    bench.records = [{"symbol": "no bar"}]
    stage = hot_bars(bench, Picky())
    with pytest.raises(KeyError):
        await looked(stage)

    with pytest.raises(KeyError):
        stage.emit(full=True)
