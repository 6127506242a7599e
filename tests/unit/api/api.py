"""The whole API over stores in memory: a test feeds it, and asks it what a client would.

    api = Api()                              everyone is admin; Api(None): nobody is known
    api.publish(Noun.QUOTES, quote())        as the topics bring it: to the log and the hub
    api.keep(bars=[bar()], quotes=[quote()], ticks=[tick()])       as the workers wrote them
    async with api.client() as client: ...   over ASGI, without a socket
    with api.served() as url: ...            over a real one, from a thread

Rows are those of `tests.contract.records`; their symbol here is BTC/USD.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import httpx
import uvicorn
from confluent_kafka import Message
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from app import topics
from app.api.access.roles import Principal, Role
from app.api.application import application
from app.api.edge import Edge
from app.api.freshness import CHAIN, Freshness, Place
from app.api.hub import Batch, Hub
from app.api.metrics import ApiMetrics
from app.api.past import Past
from app.api.problems import Problem
from app.api.reading import Reading
from app.api.services import Services
from app.api.streams import Noun, Token, Update
from app.api.wire import DirectProtocol
from app.domain.ports import OFFSET, Row
from app.errors import StoreUnavailable
from app.settings import load
from app.topics import Topic, TopicPartition
from connectors.memory import MemoryHotStore, MemoryWarmStore
from schemas.json_form import fields, jsonable
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.contract import records

SECRET_PLACE = "db.internal:6379"  # noqa: S105 - not one, but nobody's business
EVERYONE = Principal("everyone", Role.ADMIN, "open", "127.0.0.1")
FAR_S = 1e6
SERIES = {"symbol": "BTC/USD", "venue": "KRAKEN"}


def principal(role: str = "viewer", **limits: tuple[str, ...]) -> Principal:
    """Return who has a role; `symbols` and `streams` limit it."""
    return Principal("desk", Role(role), "key", "k1", **limits)


def bar(**values: Any) -> Row:
    """Return a bar of BTC/USD@KRAKEN."""
    return records.bar(**{**SERIES, **values})


def quote(**values: Any) -> Row:
    """Return a quote of BTC/USD@KRAKEN."""
    return records.quote(**{**SERIES, **values})


def tick(**values: Any) -> Row:
    """Return a trade of BTC/USD@KRAKEN."""
    [row] = records.ticks({**SERIES, **values}).iter_rows(named=True)
    return {**row, "raw_offset": values.get("raw_offset", row["offset"])}


def anomaly(**values: Any) -> Row:
    """Return an anomaly of BTC/USD@KRAKEN."""
    row = {
        **SERIES, "event_time": records.at("10:00"), "kind": "price_jump", "severity": "warning",
        "value": 0.12, "threshold": 0.1, "detail": "12 % within one tick", "source_partition": 2,
        "tick_offset": 7,
    }  # fmt: skip
    return {**row, **values}


def gap(**values: Any) -> Row:
    """Return an open gap of BTC/USD@KRAKEN."""
    row = {
        **SERIES, "from_id": 101, "to_id": 105, "after_time": records.at("10:00"),
        "before_time": records.at("10:01"), "detected_at": records.at("10:02"),
        "repaired_at": None, "repaired_by": None, "source_partition": 2, "raw_offset": 7,
    }  # fmt: skip
    return {**row, **values}


class Log:
    """Topics in memory, read as `app.log_reader.LogReader` reads a broker's."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, int], list[Message]] = {}

    def append(self, topic: Topic, partition: int, key: bytes, value: bytes) -> Message:
        """Write a record."""
        held = self._messages.setdefault((topic.name, partition), [])
        stamp = (2, time.time_ns() // 1_000_000)
        message = Message(
            topic=topic.name, partition=partition, offset=len(held), key=key, value=value,
            timestamp=stamp,
        )  # fmt: skip
        held.append(message)
        return message

    def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        return 0, len(self._messages.get((topic.name, partition), []))

    def records(
        self, topic: Topic, partition: int, start: int, stop: int
    ) -> Iterator[list[Message]]:
        found = self._messages.get((topic.name, partition), [])[start:stop]
        if found:
            yield found


class Severed(Edge):
    """The way to a store, which a test can cut: then nothing behind it answers."""

    is_away = False

    async def call(self, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def gone(*_: Any, **__: Any) -> None:
            raise StoreUnavailable(f"{self.name} at {SECRET_PLACE} does not answer")

        return await super().call(gone if self.is_away else ask, *args, **kwargs)


class Door:
    """Access control of a test: everybody is `who`, as long as its role is high enough."""

    def __init__(self, who: Principal | None) -> None:
        self.who = who
        self.asked: list[Mapping[str, str]] = []
        self.problem: Problem | None = None

    def install(self, app: FastAPI) -> None:
        app.state.access = self

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def admit(
        self,
        connection: HTTPConnection,
        role: Role,
        *,
        query_token: bool = False,  # noqa: ARG002 - as it is called
    ) -> Principal:
        self.asked.append(dict(connection.headers))
        if self.problem is not None:
            raise self.problem
        if self.who is None:
            raise Problem(401, "Unauthorized", headers={"WWW-Authenticate": "Bearer"})
        if not self.who.role.includes(role):
            raise Problem(403, "Role too low", f"This call needs the role {role.value}")
        return self.who

    async def is_still_good(self, who: Principal) -> bool:
        return who == self.who


class Api:
    """See above; attributes are the parts, to be fed and looked at.

    Args:
        who: Whom everybody who calls is taken for.
        settings: Environment variables.
    """

    def __init__(self, who: Principal | None = EVERYONE, **settings: str) -> None:
        self.settings = load({"TAPELINE_HOME": "/nowhere", **settings}, needs=())
        self.hub, self.door, self.log = Hub(), Door(who), Log()
        self.hot, self.warm = MemoryHotStore(), MemoryWarmStore()
        self.hot_edge, self.warm_edge = Severed("redis", 2.0), Severed("postgres", 2.0)
        self.past_edge = Severed("kafka", 2.0)
        self._reading = Reading(built_in())
        partitions = range(self.settings.partitions)
        self.services = Services(
            settings=self.settings, hub=self.hub,
            past=Past(self.log, self._reading),  # type: ignore[arg-type] - reads as one
            past_edge=self.past_edge, hot=self.hot, hot_edge=self.hot_edge, warm=self.warm,
            warm_edge=self.warm_edge, freshness=Freshness(5.0, 0.0), metrics=ApiMetrics(),
        )  # fmt: skip
        served = [*(noun.topic for noun in Noun), topics.GAPS]
        begun = {TopicPartition(each.name, n): 0 for each in served for n in partitions}
        self.hub.take(Batch((), begun, {}))
        self.is_fresh()
        self.is_filled()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.app = application(self.services, self.door, self._started)  # type: ignore[arg-type]

    async def _started(self, stack: AsyncExitStack) -> None:
        self.loop = asyncio.get_running_loop()
        granting = asyncio.create_task(self._grant(), name="feed")
        stack.callback(granting.cancel)

    async def _grant(self) -> None:
        """Pick ticks by the wish, as the feed does."""
        while True:
            self.hub.take(Batch((), {}, {}, self.hub.wish.version))
            await asyncio.sleep(0.01)

    def is_fresh(self) -> None:
        """Let every worker have taken everything, for as long as the test lasts."""
        self.is_behind()

    def is_behind(self, *roles: str) -> None:
        """Let these workers' roles have committed nothing, and all others have taken everything."""
        self.services.freshness = freshness = Freshness(5.0, 0.0)
        places = [
            Place(role, topics.TICKS.name, 0, -1 if role in roles else 10, 10)
            for chain in CHAIN.values() for role in chain
        ]  # fmt: skip
        freshness.observe(time.monotonic() + FAR_S, places)

    def is_filled(self, *, filled: bool = True) -> None:
        """Let the hot store be marked as whole, or as one that may have lost something."""
        era = self.hot.era() if filled else "another"
        for topic in (topics.BARS, topics.QUOTES, topics.TICKS):
            for partition in range(self.settings.partitions):
                self.hot.mark_whole(f"{topic.name}:{partition}", era)

    def is_stale(self) -> None:
        """Let nothing be known of the workers for an hour."""
        self.services.freshness = Freshness(5.0, time.monotonic() - 3600)

    def publish(self, noun: Noun, *rows: Row) -> list[Update]:
        """Append records to the log of their topic, and give them to the hub."""
        codec = RecordCodec(noun.topic.schema, built_in())
        updates = []
        for row in rows:
            value = codec.encode(_only(noun.topic.schema, row))
            partition = self.services.place(noun.topic, row["symbol"]).partition
            message = self.log.append(noun.topic, partition, row["symbol"].encode(), value)
            token = Token(partition, message.offset() or 0)
            stamp_ms = message.timestamp()[1]
            updates.append(self._reading.update(noun, value, token, stamp_ms))
        positions = {
            TopicPartition(noun.topic.name, each.token.partition): each.token.offset + 1
            for each in updates
        }
        self._take(Batch(updates, positions, {}))
        self._know(rows)
        return updates

    def open_gap(self, *rows: Row) -> None:
        """Give the hub records of the gap ledger."""
        found = {f"{n}".encode(): jsonable("gap", row) for n, row in enumerate(rows)}
        self._take(Batch((), {}, found))
        self._know(rows)

    def keep(
        self,
        *,
        bars: Sequence[Row] = (),
        quotes: Sequence[Row] = (),
        ticks: Sequence[Row] = (),
        older: Sequence[Row] = (),
    ) -> None:
        """Put rows into the hot store; bars into both, `older` ones into the warm one alone."""
        self.hot.put_bars(bars)
        self.hot.put_quotes(quotes)
        if ticks:
            self.hot.put_ticks(records.ticks(*ticks))
        for n, row in enumerate((*older, *bars), self._next_row()):
            self.warm.apply_bars(topics.BARS.name, 0, n, n, [{**row, OFFSET: n}])
        self._know((*bars, *quotes, *ticks, *older))

    def keep_warm_ticks(self, *rows: Row) -> None:
        """Put ticks into the warm store alone."""
        first, last = rows[0]["offset"], rows[-1]["offset"]
        self.warm.apply_ticks(topics.TICKS.name, 0, first, last, records.ticks(*rows))
        self._know(rows)

    def _next_row(self) -> int:
        return self.warm.positions([topics.BARS.name]).get((topics.BARS.name, 0), 0)

    def _know(self, rows: Sequence[Row]) -> None:
        self.services.series |= {(row["symbol"], row["venue"]) for row in rows}

    def _take(self, batch: Batch) -> None:
        if self.loop is None or self.loop is _running():
            self.hub.take(batch)
            return

        async def take() -> None:
            self.hub.take(batch)

        asyncio.run_coroutine_threadsafe(take(), self.loop).result(5)

    def client(self, **kwargs: Any) -> httpx.AsyncClient:
        """Return a client of the application, without a socket."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", **kwargs)

    @contextmanager
    def served(self, port: int = 0) -> Iterator[str]:
        """Serve it from a thread, on a free port; give its URL."""
        config = uvicorn.Config(
            self.app, host="127.0.0.1", port=port, ws=DirectProtocol, log_config=None,
            access_log=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, name="api", daemon=True)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the API did not start"
                time.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(10)
            self.loop = None
            assert not thread.is_alive(), "the API did not end"


def _only(record: str, row: Row) -> Row:
    return {name: row[name] for name in fields(record) if name in row}


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
