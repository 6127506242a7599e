"""``tapeline bench stages``: where a tick's time goes, stage by stage.

The real agents of every role, in one process, one after the other: nothing overlaps, so the rows
add up. librdkafka sends and fetches in threads of its own, whose CPU counts where it is used.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import agents.bars
import agents.normalize
import app.domain.builder
import app.domain.normalize
import schemas.block
import schemas.reading
from app import compose, topics
from app.cli.terminal import json_line, note, table
from app.compose import Role
from app.domain.builder import BarBuilder
from app.domain.dedupe import Seen
from app.domain.normalize import Normalizer
from app.domain.quotes import QuoteBook
from app.domain.watch import Watch
from app.engine import checkpoint
from app.engine.block import Block
from app.engine.publisher import Publisher
from app.engine.source import Source
from app.engine.stage import Stage
from app.log_reader import LogReader
from app.metrics import Metrics
from app.outlets import Outlets
from connectors import warm_postgres
from connectors.hot_redis import RedisHotStore
from connectors.warm_postgres import PostgresWarmStore
from schemas.registry import built_in
from tests.bench.figures import machine
from tests.bench.ground import Ground, ground
from tests.bench.stopwatch import Stopwatch, Timed
from tests.bench.ticks import publish

PARTS = (
    Timed("decode: join", schemas.reading.Reading, "join"),
    Timed("decode: walk", schemas.block, "walk"),
    Timed("decode: polars", schemas.reading.Reading, "read"),
    Timed("decode: rest", Block, "decoded"),
    Timed("places: rest", Block, "columns"),
    Timed("records, one by one", Block, "records"),
    Timed("refusals", app.domain.normalize, "refusals"),
    Timed("whose series", Normalizer, "_ours"),
    Timed("dedupe: identities", app.domain.normalize, "identities"),
    Timed("dedupe: seen before", Seen, "unseen"),
    Timed("dedupe: ids", Watch, "proven"),
    Timed("quality", Watch, "quality"),
    Timed("gaps", Watch, "gaps"),
    Timed("normalize: rest", Normalizer, "apply"),
    Timed("stamp", agents.normalize, "stamp"),
    Timed("publish ticks", Outlets, "ticks"),
    Timed("fold: places", agents.bars, "of_columns"),
    Timed("fold: partials", app.domain.builder, "fold"),
    Timed("fold: rest", BarBuilder, "fold"),
    Timed("emit bars", BarBuilder, "emit"),
    Timed("encode and queue bars", Outlets, "bars"),
    Timed("fold quotes", QuoteBook, "fold"),
    Timed("put_ticks", RedisHotStore, "put_ticks"),
    Timed("put_bars", RedisHotStore, "put_bars"),
    Timed("ticks as CSV", warm_postgres, "ticks_csv"),
    Timed("COPY ticks, transaction", PostgresWarmStore, "apply_ticks"),
    Timed("apply_bars", PostgresWarmStore, "apply_bars"),
)
"""Every function that is a row; private ones where a part of a tick's price hides in them."""


IN_ORDER: tuple[tuple[Role, str], ...] = (
    ("compute", "normalize"),
    ("compute", "bars"),
    ("compute", "quotes"),
    ("hot", "hot-ticks"),
    ("hot", "hot-bars"),
    ("warm", "warm-ticks"),
    ("warm", "warm-bars"),
)
"""Agents, each after those whose output it reads; the ticks hold no quotes."""


class StageTime(NamedTuple):
    """One row: microseconds for each tick that was put in, whatever the row works on."""

    agent: str
    stage: str
    us_per_tick: float
    cpu_us_per_tick: float


@dataclass
class _Agents:
    """What `app.compose` wires, instead of the engine: agents to be driven by hand."""

    made: list[tuple[str, str, Callable[[int], Stage]]] = field(default_factory=list)

    @property
    def app(self) -> "_Agents":
        return self

    def add(self, name: str, topic: str, stage: Callable[[int], Stage], **_: bool) -> None:
        """Take an agent."""
        self.made.append((name, topic, stage))

    def task(self, _function: object) -> None:
        """Run no housekeeping."""


def run(ticks: int, symbols: int) -> list[StageTime]:
    """Return the rows, on a ground of their own."""
    with ground("stages", stores=True) as here:
        note(f"timing the stages over {ticks:,} ticks, one after the other")
        publish(here, ticks, symbols, topics.RAW)
        rows = []
        for role, name in IN_ORDER:
            watch = Stopwatch()
            with watch.watching(PARTS):
                asyncio.run(_drive(here, role, name, watch))
            rows += [
                StageTime(
                    name,
                    label,
                    round(wall_s / ticks * 1e6, 3),
                    round(watch.cpu_s[label] / ticks * 1e6, 3),
                )
                for label, wall_s in watch.wall_s.items()
            ]
        return rows


async def _drive(here: Ground, role: Role, name: str, watch: Stopwatch) -> None:
    """Read the agent's topic to its end through the real source, and let the agent work."""
    settings = here.settings
    publisher = Publisher(here.client)
    found = _Agents()
    metrics = Metrics(role)
    outlets = Outlets(
        publisher, built_in(), metrics,
        partitions=settings.partitions, prefix=settings.topic_prefix,
    )  # fmt: skip
    reader = LogReader(here.client, settings.topic_prefix)
    parts = compose.Parts(settings, found, outlets, reader, metrics, built_in())  # type: ignore[arg-type]
    compose._WIRING[role](parts)
    topic, make = next((topic, make) for own, topic, make in found.made if own == name)
    ends = {at: end for at, end in here.admin.ends([topic]).items() if end}
    stages = {at.partition: make(at.partition) for at in ends}
    for stage in stages.values():
        await stage.begin()
    source = Source(here.client, compose.readings(role, settings, built_in()))
    source.assign(dict.fromkeys(ends, 0)).result()
    emitted = saved = time.monotonic()
    numbers = dict.fromkeys(stages, 0)
    with watch.timing("loop"):
        while any(ends[at] > stages[at.partition].offset + 1 for at in ends):
            with watch.timing("fetch"):
                blocks = source.fetch().result()
            for block in blocks:
                stage = stages[block.partition]
                with watch.timing("agent"):
                    await stage.apply(block)
                stage.offset = block.last_offset
            now = time.monotonic()
            if now - emitted >= settings.emit_every_s:
                emitted = now
                for stage in stages.values():
                    stage.emit(full=False)
            if now - saved >= settings.checkpoint_every_s:
                saved = now
                for partition, stage in stages.items():
                    numbers[partition] += 1
                    stage.emit(full=True)
                    with watch.timing("checkpoint rows"):
                        rows = list(stage.save())
                        list(checkpoint.records(partition, numbers[partition], rows))
        for stage in stages.values():
            stage.emit(full=True)
        with watch.timing("flush"):
            publisher.flush()
    source.close()


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the table for people, with a sum for each agent."""
    shown: list[tuple[object, ...]] = []
    for agent in dict.fromkeys(row["agent"] for row in rows):
        own = [row for row in rows if row["agent"] == agent]
        sums = (sum(row[name] for row in own) for name in ("us_per_tick", "cpu_us_per_tick"))
        shown.append((agent, "", *(f"{value:.3f}" for value in sums)))
        shown += [
            ("", row["stage"], f"{row['us_per_tick']:.3f}", f"{row['cpu_us_per_tick']:.3f}")
            for row in sorted(own, key=lambda row: -row["cpu_us_per_tick"])
        ]
    table(("agent", "stage", "us / tick", "CPU us / tick"), shown)


def stages(ticks: int, symbols: int, *, as_json: bool) -> None:
    """Measure, then print."""
    rows = [row._asdict() for row in run(ticks, symbols)]
    show(rows)
    if as_json:
        json_line({"ticks": ticks, "symbols": symbols, "machine": machine(), "stages": rows})
