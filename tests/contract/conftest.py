"""The stores under contract: in memory, and on the real servers of the environment or the stack.

A server that does not answer is a failure: skipping would say that the contract holds.
"""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest
import redis

from app.domain.ports import HotStore, WarmStore
from connectors.hot_redis import RedisHotStore
from connectors.memory import MemoryHotStore, MemoryWarmStore
from connectors.migrations import migrate
from connectors.warm_postgres import PostgresWarmStore
from tests.conftest import Stack

KEEP_BARS = 50
TEST_DATABASE = "9"


def _stack(request: pytest.FixtureRequest) -> Stack:
    """Return the shared servers, started only if a test has none of its own to use."""
    stack: Stack = request.getfixturevalue("stack")
    return stack


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    url = os.environ.get("REDIS_URL") or _stack(request).redis
    return f"{url.rpartition('/')[0]}/{TEST_DATABASE}" if url.endswith("/0") else url


@pytest.fixture(scope="session")
def make_database(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty database and returns its URL."""
    url, made = os.environ.get("POSTGRES_URL") or _stack(request).postgres, []

    def make() -> str:
        name = f"contract_{uuid4().hex[:12]}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        made.append(name)
        return f"{url.rpartition('/')[0]}/{name}"

    yield make
    with psycopg.connect(url, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(scope="session")
def migrated_url(make_database: Callable[[], str]) -> str:
    url = make_database()
    migrate(url)
    return url


@pytest.fixture
def postgres_url(migrated_url: str) -> str:
    """Return a migrated database without rows."""
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute("TRUNCATE bars, bar_revisions, ticks, sink_offsets")
    return migrated_url


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[PostgresWarmStore]:
    with closing(PostgresWarmStore(postgres_url)) as store:
        yield store


@pytest.fixture
def redis_store(redis_url: str) -> Iterator[RedisHotStore]:
    store = RedisHotStore(redis_url, prefix=f"test-{uuid4().hex}", keep_bars=KEEP_BARS)
    with closing(store), redis.Redis.from_url(redis_url) as client:
        yield store
        for key in client.scan_iter(f"{store.prefix}:*"):
            client.delete(key)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.live)])
def hot(request: pytest.FixtureRequest) -> HotStore:
    if request.param == "memory":
        return MemoryHotStore(keep_bars=KEEP_BARS)
    store: HotStore = request.getfixturevalue("redis_store")
    return store


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.live)])
def warm(request: pytest.FixtureRequest) -> WarmStore:
    if request.param == "memory":
        return MemoryWarmStore()
    store: WarmStore = request.getfixturevalue("postgres")
    return store


class PrivateRedis:
    """A server of the test's own, to be ended and starved."""

    def __init__(self) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, on its port."""
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            ["redis-server", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return
        pytest.fail("redis-server did not start")

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def ask(self, *words: str) -> object:
        """Return its answer to a command."""
        with redis.Redis.from_url(self.url) as client:
            return client.execute_command(*words)


@pytest.fixture
def private_redis() -> Iterator[PrivateRedis]:
    private = PrivateRedis()
    private.start()
    yield private
    private.kill()
