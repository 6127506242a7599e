"""Quotes in the bars agent: they see the clock where trades do, and cost nothing where none ask."""

from typing import Any, cast

import numpy as np
import pytest

from agents.bars import Bars
from app.domain.amender import Amender
from app.domain.bars import BarRow
from app.domain.builder import BarBuilder
from app.domain.catalog import SeriesEntry
from app.engine.block import Block, Reading
from app.outlets import Outlets
from app.tail import Tail
from app.tick_log import ClockTick, TickLog
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.domain.test_quote_builder import ALL, plans, quote
from tests.unit.domain.ticks import records, tick, us

Row = dict[str, Any]
SECOND_US = 1_000_000
READING = Reading("tick", built_in(), columnar=True, walked=True)
CODEC = RecordCodec("tick", built_in())


class Servers:
    """What the agent writes to and reads from, in memory: no bars, and the clock's ticks."""

    def __init__(self, *clocks: ClockTick) -> None:
        self.ticked = list(clocks)
        self.bars_told: list[Row] = []

    def late_through(self, _partition: int) -> int:
        return -1

    def clocks(self, _after: int) -> list[ClockTick]:
        return self.ticked

    def late(self, _ticks: list[Row], _partition: int) -> None:
        pass

    def bars(self, bars: list[BarRow], _partition: int) -> None:
        self.bars_told += records(bars)


def agent(core: BarBuilder, servers: Servers) -> Bars:
    return Bars(
        core, cast("Outlets", servers), cast("Tail", servers), cast("TickLog", servers),
        cast("Amender", None),
    )  # fmt: skip


def block(*rows: Row, first_offset: int = 0) -> Block:
    """Return a block that Kafka appended a second after each tick happened."""
    encoded = [CODEC.encode(row) for row in rows]
    offsets = np.arange(first_offset, first_offset + len(rows))
    appended_us = [round(row["event_time"].timestamp() * 1e6) + SECOND_US for row in rows]
    return Block("ticks.v1", 0, pack(encoded), pack([b"k"] * len(rows)), offsets,
                 np.array(appended_us), READING)  # fmt: skip


async def test_a_clock_tick_inside_a_block_counts_between_its_quotes() -> None:
    """A replay reads in one block what came before and after the clock; quote 1 is late."""
    #  quote 0: 10:00:10     clock: M1 10:00 is final     quote 1: 10:00:20     quote 2: 10:00:30
    servers = Servers(ClockTick(us("10:01:31"), 0))
    stage = agent(BarBuilder(ALL, 0), servers)
    await stage.begin()
    await stage.apply(block(quote("10:00:10"), quote("10:00:20", "9"), quote("10:00:30", "8")))
    stage.emit(full=True)

    told = [bar for bar in servers.bars_told if bar["timeframe"] == "M1.bid"]
    fields = ("revision", "close", "quotes", "late", "last_offset")
    assert [tuple(bar[name] for name in fields) for bar in told] == [
        (1, 1, 1, 0, 0), (2, 9, 2, 1, 1), (3, 8, 3, 2, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "asks", "is_decoded"),
    [
        (tick("10:00:10", venue="FX"), True, False),
        (quote("10:00:10", ask=None), True, True),
        (quote("10:00:10", bid=None), True, True),
        (quote("10:00:10", venue="X"), True, False),
        (quote("10:00:10"), False, False),
    ],
    ids=["trade", "bid", "ask", "of another venue", "nobody asks"],
)
async def test_only_quotes_that_somebody_asks_for_are_decoded(
    row: Row, asks: bool, is_decoded: bool
) -> None:
    followed = ALL if asks else plans(SeriesEntry("FX", "*"))
    servers = Servers()
    stage, taken = agent(BarBuilder(followed, 0), servers), block(row)
    await stage.apply(taken)
    stage.emit(full=True)

    assert (taken._decoded is not None) == is_decoded
    has_quotes = any("." in bar["timeframe"] for bar in servers.bars_told)
    assert has_quotes == is_decoded
