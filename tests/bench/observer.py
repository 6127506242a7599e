"""Everything that watches the probes, in one process: ``python -m tests.bench.observer``.

Its wish is a line of JSON on standard input. It says ``connected``, then ``ready`` once every
place has shown a probe of each symbol, and what it has seen, as one line, when the input closes.
"""

import asyncio
import gc
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any, NamedTuple

import psycopg
import uvloop
from confluent_kafka import Consumer, KafkaException
from confluent_kafka import TopicPartition as Position
from playwright.async_api import Page
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets.asyncio.client import ClientConnection, connect

from app import topics
from connectors.hot_keys import Keys
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.bench import shown
from tests.bench.probes import VENUE, Sighting, number_of

POLL_S = 0.005
"""Between two questions to Postgres."""
FETCH_MS = 10
"""Longest wait of the broker for a record; one that is there is sent at once."""
WIDTH = "M1"
READY_WITHIN_S = 90.0
PLACES = (
    "Kafka quotes", "Redis quotes", "WebSocket quotes",
    "Kafka bars", "Redis bars", "WebSocket bars", "Postgres",
)  # fmt: skip
_NEWEST = """
    SELECT newest.value FROM unnest(%s::text[]) AS series (symbol) CROSS JOIN LATERAL (
        SELECT coalesce(price, bid) FROM ticks
        WHERE symbol = series.symbol AND venue = %s AND event_time >= to_timestamp(%s)
        ORDER BY event_time DESC, tick_offset DESC LIMIT 1
    ) AS newest (value)"""


class Wish(NamedTuple):
    """What is watched: the servers, by their addresses, and the probes' symbols."""

    kafka: dict[str, str]
    topic_prefix: str
    partitions: int
    redis_url: str
    redis_prefix: str
    postgres_url: str
    websocket_url: str
    symbols: list[str]
    page: bool

    @property
    def page_url(self) -> str:
        """The page of the same API."""
        return self.websocket_url.replace("ws://", "http://").removesuffix("ws")


class Observer:
    """What was seen, by place."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.seen: dict[str, list[Sighting]] = defaultdict(list)
        self.ended = threading.Event()

    def see(self, place: str, price: Any, at: float) -> None:
        """Note the bid or price of a probe; a bar without a trade has none."""
        if price is not None:
            self.seen[place].append((number_of(price), at))

    def see_record(self, where: str, record: Mapping[str, Any], at: float) -> None:
        """Note a quote or a bar."""
        if "bid" in record:
            self.see(f"{where} quotes", record["bid"], at)
        else:
            self.see(f"{where} bars", record["close"], at)

    def missing(self, places: Sequence[str]) -> list[str]:
        """Return the places that have not shown a probe of each symbol yet."""
        count = len(self.wish.symbols)
        return [p for p in places if len({n % count for n, _ in self.seen[p]}) < count]

    def kafka(self) -> None:
        """Watch quotes.v1 and bars.v1, in a thread, until the end."""
        wish, ends = self.wish, {topics.QUOTES: "", topics.BARS: f"|{WIDTH}|"}
        settings = {
            **wish.kafka, "group.id": "bench-latency", "enable.auto.commit": False,
            "fetch.wait.max.ms": FETCH_MS, "fetch.queue.backoff.ms": 1,
        }  # fmt: skip
        codecs = {wish.topic_prefix + t.name: RecordCodec(t.schema, built_in()) for t in ends}
        keys = tuple(f"{s}@{VENUE}{end}".encode() for s in wish.symbols for end in ends.values())
        with closing(Consumer(settings)) as consumer:
            consumer.assign([Position(t, n, 0) for t in codecs for n in range(wish.partitions)])
            while not self.ended.is_set():
                first = consumer.poll(0.1)
                messages = [] if first is None else [first, *consumer.consume(1_000, 0)]
                at = time.time()
                for message in messages:
                    if message.error() is not None:
                        raise KafkaException(message.error())
                    if message.key().startswith(keys):
                        self.see_record(
                            "Kafka", codecs[message.topic()].decode(message.value()), at
                        )

    async def redis(self, channels: PubSub) -> None:
        """Watch what the hot store announces."""
        async for message in channels.listen():
            self.see_record("Redis", json.loads(message["data"]), time.time())

    async def websocket(self, client: ClientConnection) -> None:
        """Watch the streams; the newest value with which one begins is seen as well."""
        async for text in client:
            at = time.time()
            message = json.loads(text)
            if message["type"] == "error":
                raise RuntimeError(message["problem"])
            data = message.get("data", [])
            for record in data if isinstance(data, list) else [data]:
                self.see_record("WebSocket", record, at)

    async def postgres(self, connection: psycopg.AsyncConnection) -> None:
        """Ask for the newest tick of each symbol, again and again."""
        asked = (self.wish.symbols, VENUE, time.time() - 1)
        known: set[Any] = set()
        while True:
            cursor = await connection.execute(_NEWEST, asked, prepare=True)
            rows = set(await cursor.fetchall())
            at = time.time()
            for (value,) in rows - known:
                self.see("Postgres", value, at)
            known = rows
            await asyncio.sleep(POLL_S)

    async def page(self, page: Page) -> None:
        """Note what the page has shown since it was asked last."""
        for each in await shown.shown(page):
            self.see(*each)

    async def until_all(self, page: Page | None = None) -> None:
        """Wait until each place, or the page, has shown a probe of each symbol.

        Raises:
            TimeoutError: They have not, for too long.
        """
        places = PLACES if page is None else shown.PLACES
        deadline_s = time.monotonic() + READY_WITHIN_S
        while missing := self.missing(places):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no probe of each symbol was seen at {', '.join(missing)}")
            await asyncio.sleep(0.05)
            if page is not None:
                await self.page(page)


async def run() -> None:
    """Connect, watch, and tell at the end."""
    lines = await _standard_input()
    wish = Wish(**json.loads(await lines.readline()))
    observer = Observer(wish)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        stack.callback(observer.ended.set)
        channels = await enter(_subscribed(wish))
        client = await enter(_following(wish))
        connect_ = psycopg.AsyncConnection.connect(wish.postgres_url, autocommit=True)
        connection = await enter(await connect_)
        async with asyncio.TaskGroup() as group:
            watching = [
                group.create_task(asyncio.to_thread(observer.kafka)),
                group.create_task(observer.redis(channels)),
                group.create_task(observer.websocket(client)),
                group.create_task(observer.postgres(connection)),
            ]
            _say("connected")
            await observer.until_all()
            page = await enter(shown.opened(wish.page_url)) if wish.page else None
            if page:
                await observer.until_all(page)
            gc.freeze()
            gc.disable()
            _say("ready")
            await lines.read()
            for each in watching:
                each.cancel()
        if page:
            await observer.page(page)
        _say(json.dumps(observer.seen))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    return reader


@asynccontextmanager
async def _subscribed(wish: Wish) -> AsyncIterator[PubSub]:
    keys = Keys(wish.redis_prefix)
    names = [keys.quotes(symbol, VENUE) for symbol in wish.symbols]
    names += [keys.bars(symbol, VENUE, WIDTH) for symbol in wish.symbols]
    async with (
        Redis.from_url(wish.redis_url) as redis,
        redis.pubsub(ignore_subscribe_messages=True) as channels,
    ):
        await channels.subscribe(*names)
        yield channels


@asynccontextmanager
async def _following(wish: Wish) -> AsyncIterator[ClientConnection]:
    streams = [f"quotes:{symbol}@{VENUE}" for symbol in wish.symbols]
    streams += [f"bars:{symbol}@{VENUE}:{WIDTH}" for symbol in wish.symbols]
    asked = {"op": "subscribe", "streams": streams, "throttle": 0, "rate": 1_000}
    async with connect(wish.websocket_url, compression=None) as client:
        await client.send(json.dumps(asked))
        yield client


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)  # s; two threads, of which each must see at once
    uvloop.run(run())
