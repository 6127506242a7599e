"""The composition root of the API: ``python -m app.serve``."""

import asyncio
import gc
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI

from app import topics
from app.api.access.gate import Access
from app.api.application import application
from app.api.background import Background
from app.api.codec import MOST_BYTES
from app.api.edge import Edge
from app.api.feed import Feed
from app.api.freshness import Freshness, Place
from app.api.hub import Batch, Hub
from app.api.metrics import ApiMetrics
from app.api.past import Past
from app.api.reading import Reading
from app.api.services import Services
from app.api.wire import DirectProtocol
from app.compose import READS, ROLES
from app.errors import BrokerUnavailable
from app.exits import in_words
from app.log_reader import LogReader
from app.logs import configure
from app.settings import Settings, load
from app.topics import TopicPartition
from app.worker import ready_file
from connectors.access_postgres import PostgresAuditLog, PostgresKeyStore
from connectors.hot_redis import RedisHotStore
from connectors.kafka_admin import KafkaAdmin
from connectors.registry import open_registry
from connectors.warm_postgres import PostgresWarmStore

NEWEST = (topics.BARS, topics.QUOTES)
MOST_AT_START = 100_000
"""Records of a partition that are read at the start, at most."""
ANOMALIES_AT_START = 1_000
HOT_SHARE = 0.4
"""Of a request's time, for Redis; the rest is for Postgres, which is asked after it."""

_log = structlog.get_logger(__name__)


def serve() -> None:
    """Run the API until it is told to stop."""
    settings = load()
    configure(settings.log_level)
    app = compose(settings)
    app.state.services.metrics.serve(settings.metrics_port)
    mark = ready_file(settings.home, "api")
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            ssl_certfile=settings.api_tls_cert or None,
            ssl_keyfile=settings.api_tls_key or None,
            loop="uvloop",
            ws=DirectProtocol,
            ws_max_size=MOST_BYTES,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            ws_per_message_deflate=False,
            log_config=None,
            log_level="warning",  # its lines of handshakes hold tokens
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=10,
        ),
        access=app.state.access,
        on_ready=partial(say, mark, f"{url(settings)}\n"),
    )
    # What start-up made stays, and a client is many objects: collections walk what came since.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # uvicorn sends itself again the signal that stopped it: then as the end of this process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        server.run()
    finally:
        mark.unlink(missing_ok=True)


def say(file: Path, text: str) -> None:
    """Write a file that is there whole or not at all: others wait for it."""
    part = file.with_suffix(".part")
    part.write_text(text)
    part.replace(file)


def url(settings: Settings) -> str:
    """Return where the page is."""
    scheme = "https" if settings.api_tls_cert else "http"
    host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
    return f"{scheme}://{host}:{settings.api_port}/"


class _Server(uvicorn.Server):
    """A server that is refused a wrong configuration before it listens, and says when it does."""

    def __init__(
        self, config: uvicorn.Config, access: Access, on_ready: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._access, self._on_ready = access, on_ready

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await self._access.start()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()


def compose(settings: Settings) -> FastAPI:
    """Return the application, wired to everything; it connects when it starts."""
    client = settings.kafka_client_config()
    registry = open_registry(settings.schema_registry_url, settings.home / "state/schemas.json")
    reading, hub, metrics = Reading(registry), Hub(), ApiMetrics()
    reader = LogReader(client, settings.topic_prefix)
    timeout_s = settings.api_timeout_s
    services = Services(
        settings=settings,
        hub=hub,
        past=Past(reader, reading),
        past_edge=Edge("kafka", timeout_s),
        hot=RedisHotStore(
            settings.redis_url, prefix=settings.redis_prefix, timeout_s=HOT_SHARE * timeout_s
        ),
        hot_edge=Edge("redis", HOT_SHARE * timeout_s, partial(metrics.breaker, "redis")),
        warm=PostgresWarmStore(
            settings.postgres_url,
            connect_timeout_s=2,
            statement_timeout_s=timeout_s,
            silence_s=1.0,
        ),
        warm_edge=Edge(
            "postgres", (1 - HOT_SHARE) * timeout_s, partial(metrics.breaker, "postgres")
        ),
        freshness=Freshness(settings.api_stale_after_s, time.monotonic()),
        metrics=metrics,
    )
    access = Access.of(
        settings,
        PostgresKeyStore(settings.postgres_url),
        PostgresAuditLog(settings.postgres_url),
        metrics.registry,
    )
    admin = KafkaAdmin(client, settings.topic_prefix, timeout_s=timeout_s)

    async def start(stack: AsyncExitStack) -> None:
        background = Background(services, partial(progress, admin, settings))
        background.start()
        stack.push_async_callback(background.stop)
        task = asyncio.create_task(read_topics(services, reading, admin), name="topics")

        async def ended() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        stack.push_async_callback(ended)

    return application(services, access, start)


async def read_topics(services: Services, reading: Reading, admin: KafkaAdmin) -> None:
    """Keep the hub up to date until cancelled; a broker that is away at first is waited for."""
    settings, hub = services.settings, services.hub
    while True:
        try:
            start = await asyncio.to_thread(beginnings, admin, settings)
            break
        except BrokerUnavailable as error:
            _log.warning("topics not reached", error=str(error))
            await asyncio.sleep(1)
    loop = asyncio.get_running_loop()

    def take(batch: Batch, done: Callable[[], None]) -> None:
        try:
            hub.take(batch)
            for update in batch.updates:
                noun = update.stream.partition(":")[0]
                services.metrics.arrived(noun, update.append_ms)
        finally:
            done()

    def hand_over(batch: Batch, done: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(take, batch, done)

    client = settings.kafka_client_config()
    with Feed(client, settings.topic_prefix, reading, start, lambda: hub.wish, hand_over):
        await asyncio.Event().wait()


def beginnings(admin: KafkaAdmin, settings: Settings) -> dict[TopicPartition, int]:
    """Return where each partition's reading begins.

    Bars and quotes: where the hot store's worker has committed, so that what it has not put there
    yet is read here. Anomalies: the last ones. Gaps: all.
    """
    names = {settings.topic(topic) for topic in (*NEWEST, topics.ANOMALIES, topics.GAPS)}
    ends, begins = admin.ends(names), admin.ends(names, first=True)
    newest = {settings.group_of("hot"): [*map(settings.topic, NEWEST)]}
    committed = {
        TopicPartition(each.topic, each.partition): each.committed
        for each in admin.lag(newest, ends=ends)
    }
    start = {}
    for at, end in ends.items():
        least = end - MOST_AT_START
        if at.topic == settings.topic(topics.ANOMALIES):
            least = end - ANOMALIES_AT_START
        elif at.topic == settings.topic(topics.GAPS):
            least = 0
        start[at] = min(end, max(begins[at], least, committed.get(at, 0)))
    return start


def progress(admin: KafkaAdmin, settings: Settings) -> tuple[Sequence[Place], Mapping[str, int]]:
    """Return how far the workers are, and how many records each topic ever took."""
    by_group = {settings.group_of(role): role for role in ROLES}
    reads = {settings.group_of(role): [*map(settings.topic, READS[role])] for role in ROLES}
    names = {settings.topic(topic): topic.name for topic in topics.ALL}
    ends = admin.ends(names)
    places = [
        Place(by_group[each.group], names[each.topic], each.partition, each.committed, each.end)
        for each in admin.lag(reads, ends=ends)
    ]
    counts = Counter[str]()
    for at, end in ends.items():
        counts[names[at.topic]] += end
    return places, counts


def main() -> None:
    """Run the API; a wrong configuration ends it with status 2."""
    with in_words():
        serve()


if __name__ == "__main__":
    main()
