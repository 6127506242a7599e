"""The composition root of the workers: which agents run in a role, wired to what.

    role      reads                          writes
    compute   ticks.raw.v1, ticks.v1         ticks.v1, bars.v1, quotes.v1, gaps, late, dead letters
    hot       ticks.v1, bars.v1, quotes.v1   Redis
    warm      ticks.v1, bars.v1              Postgres or TimescaleDB

Each role is a consumer group and a process of its own, so a store that is away delays nobody else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from agents.bars import Bars
from agents.hot import HotRecords, HotTicks, Kind
from agents.normalize import Normalize
from agents.quotes import Quotes
from agents.warm import WarmBars, WarmTicks, keep_house
from app import topics
from app.domain.amender import Amender
from app.domain.builder import BarBuilder
from app.domain.catalog_file import load_catalog
from app.domain.normalize import Normalizer, Rules
from app.domain.plan import Plans
from app.domain.quotes import QuoteBook
from app.domain.watch import Limits
from app.engine.block import Reading
from app.engine.broker_clock import BrokerClock
from app.engine.cadence import Cadence
from app.engine.engine import Engine
from app.engine.lease import HEARTBEAT_S, SESSION_S, Lease
from app.engine.publisher import Publisher
from app.engine.rows import StateTable
from app.engine.sink import Sink
from app.engine.source import Source
from app.engine.transport import BlockApp
from app.log_reader import LogReader
from app.metrics import Metrics
from app.outlets import Outlets
from app.partitions import partition_of
from app.refusals import Refusals
from app.settings import Settings
from app.tail import Tail
from app.tick_log import TickLog
from app.topics import Topic
from connectors.hot_redis import RedisHotStore
from connectors.registry import open_registry
from connectors.warm_postgres import PostgresWarmStore
from schemas.record import RecordCodec
from schemas.registry import Registry

MAX_POLL_S = 600.0
"""A worker that takes nothing for so long leaves its group."""

FETCHES: Mapping[str, Mapping[str, object]] = {
    # A transaction of Postgres costs as much for ten rows as for a thousand.
    "warm": {"fetch.min.bytes": 256 << 10, "fetch.wait.max.ms": 300},
}
"""How long a role waits for more records, where that is not as short as can be."""

Role = Literal["compute", "hot", "warm"]
ROLES: tuple[Role, ...] = ("compute", "hot", "warm")

READS: dict[Role, tuple[Topic, ...]] = {
    "compute": (topics.RAW, topics.TICKS),
    "hot": (topics.TICKS, topics.BARS, topics.QUOTES),
    "warm": (topics.TICKS, topics.BARS),
}
WRITES: dict[Role, tuple[Topic, ...]] = {
    "compute": (
        topics.TICKS, topics.BARS, topics.QUOTES, topics.GAPS, topics.LATE, topics.CLOCK,
        topics.DEAD_LETTERS,
    ),
    "hot": (topics.DEAD_LETTERS,),
    "warm": (topics.DEAD_LETTERS,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """What the agents of a role are wired to."""

    settings: Settings
    engine: Engine
    outlets: Outlets
    reader: LogReader
    metrics: Metrics
    registry: Registry

    @property
    def tail(self) -> Tail:
        """Reads the ends of the topics."""
        return Tail(self.reader, self.registry)

    def refusals(self, by: str, topic: Topic, partition: int) -> Refusals:
        """Return where an agent's dead letters of a partition go, each once."""
        return Refusals(by, topic, partition, self.outlets, self.tail)

    def add(
        self, name: str, topic: Topic, stage: Callable[[int], object], *, stateful: bool
    ) -> None:
        """Add an agent on one topic of the flow."""
        self.engine.add(name, self.settings.topic(topic), stage, stateful=stateful)  # type: ignore[arg-type]


def worker(role: Role, settings: Settings, on_ready: Callable[[], None]) -> BlockApp:
    """Return the Faust app of a role, ready to be run by a worker.

    Args:
        role: What it does.
        settings: Where everything is.
        on_ready: Called whenever partitions were assigned and their state restored.
    """
    metrics = Metrics(role)
    metrics.serve(settings.metrics_port)
    registry = open_registry(
        settings.schema_registry_url,
        settings.home / "state" / "schemas.json",
        lambda state: metrics.breaker("registry", state.value),
    )
    client = settings.kafka_client_config()
    app = faust_app(role, settings)
    lease, clock = Lease(), BrokerClock()
    publisher = Publisher(client, lease, clock)
    source = Source(client, readings(role, settings, registry), FETCHES.get(role, {}))
    cadence = Cadence(
        settings.emit_every_s, settings.checkpoint_every_s, clock_every_s=settings.clock_every_s
    )
    engine = Engine(app, source, publisher, lease, clock, cadence, metrics, on_ready)
    outlets = Outlets(
        publisher, registry, metrics,
        partitions=settings.partitions, prefix=settings.topic_prefix,
    )  # fmt: skip
    reader = LogReader(client, settings.topic_prefix)
    _WIRING[role](Parts(settings, engine, outlets, reader, metrics, registry))
    engine.start_pulse()
    return app


def readings(role: Role, settings: Settings, registry: Registry) -> dict[str, Reading]:
    """Return how a role reads the topics of its agents, by their names on the broker."""
    return {
        settings.topic(topic): Reading(
            topic.schema,
            registry,
            columnar=topic.schema == "tick",
            walked=(role, topic) == ("compute", topics.TICKS),
        )
        for topic in READS[role]
    }


def faust_app(role: Role, settings: Settings) -> BlockApp:
    """Return the Faust app of a role, without agents."""
    return BlockApp(
        settings.group_of(role),
        broker=[f"kafka://{host}" for host in settings.kafka_bootstrap_servers.split(",")],
        broker_credentials=settings.faust_credentials(),
        Table=StateTable,
        datadir=str(settings.home / "state" / role),
        topic_partitions=settings.partitions,
        topic_disable_leader=True,
        topic_replication_factor=settings.replication,
        table_standby_replicas=0,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 << 20,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_commit_interval=60.0,
        broker_max_poll_interval=MAX_POLL_S,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        worker_redirect_stdouts=False,
    )


def _compute(parts: Parts) -> None:
    settings = parts.settings
    catalog = load_catalog(Path(settings.catalog) if settings.catalog else None)
    plans = Plans(catalog, settings.ladder)
    if settings.catalog:  # the one that ships is tested, and its calendars take seconds to load
        plans.require()
    rules = Rules(
        partition_of=partial(partition_of, partitions=settings.partitions),
        canonical=catalog.canonical,
        limits=Limits(
            contiguous=catalog.contiguous_venues,
            stale_after_us=round(settings.stale_after_s * 1e6),
            patience_us=plans.base.grace_us,
            jump_limit=settings.price_jump_limit,
        ),
        max_future_us=round(settings.max_future_s * 1e6),
        quarantine_jumps=settings.price_jump_quarantine,
        dedupe_window=settings.dedupe_window,
        max_series=settings.max_series,
    )
    outlets, tail = parts.outlets, parts.tail
    codec = RecordCodec(topics.RAW.schema, parts.registry)
    parts.add(
        "normalize", topics.RAW,
        lambda p: Normalize(Normalizer(rules, p), outlets, tail, codec), stateful=True,
    )  # fmt: skip
    parts.add("bars", topics.TICKS, partial(_bars, parts, plans), stateful=True)
    parts.add("quotes", topics.TICKS, lambda p: Quotes(QuoteBook(p), outlets), stateful=False)


def _bars(parts: Parts, plans: Plans, partition: int) -> Bars:
    builder = BarBuilder(plans, partition)
    log = TickLog(parts.reader, parts.registry, partition)
    amender = Amender(builder, log, round(parts.settings.correct_for_s * 1e6))
    return Bars(builder, parts.outlets, parts.tail, log, amender)


def _hot(parts: Parts) -> None:
    settings, metrics = parts.settings, parts.metrics
    store = RedisHotStore(settings.redis_url, prefix=settings.redis_prefix)
    sink, tail = Sink("redis", metrics), parts.tail
    ticks = Kind("tick", topics.TICKS, store, sink, metrics, tail)
    parts.add(
        "hot-ticks", topics.TICKS,
        lambda p: HotTicks(ticks, p, parts.refusals("hot", topics.TICKS, p), settings.hot_ticks),
        stateful=False,
    )  # fmt: skip
    bars = Kind("bar", topics.BARS, store, sink, metrics, tail)
    quotes = Kind("quote", topics.QUOTES, store, sink, metrics, tail)
    for name, kind, put in (
        ("hot-bars", bars, store.put_bars),
        ("hot-quotes", quotes, store.put_quotes),
    ):
        parts.add(name, kind.topic, partial(_hot_records, parts, kind, put), stateful=False)


def _hot_records(
    parts: Parts, kind: Kind, put: Callable[[list[dict[str, Any]]], int], partition: int
) -> HotRecords:
    return HotRecords(kind, partition, parts.refusals("hot", kind.topic, partition), put)


def _warm(parts: Parts) -> None:
    store = PostgresWarmStore(parts.settings.postgres_url)
    sink = Sink("postgres", parts.metrics)
    parts.engine.app.task(partial(keep_house, store, sink))
    for name, topic, kind in (
        ("warm-ticks", topics.TICKS, WarmTicks),
        ("warm-bars", topics.BARS, WarmBars),
    ):
        parts.add(
            name, topic, partial(_warm_stage, parts, kind, topic, store, sink), stateful=False
        )


def _warm_stage(  # noqa: PLR0913 - what a stage is wired to
    parts: Parts,
    kind: type[WarmTicks] | type[WarmBars],
    topic: Topic,
    store: PostgresWarmStore,
    sink: Sink,
    partition: int,
) -> WarmTicks | WarmBars:
    refusals = parts.refusals("warm", topic, partition)
    return kind(parts.settings.topic(topic), partition, store, sink, refusals)


_WIRING: dict[Role, Callable[[Parts], None]] = {
    "compute": _compute,
    "hot": _hot,
    "warm": _warm,
}
