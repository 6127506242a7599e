"""F9, F10: Redis away and Postgres killed in mid-stream, on servers of the test's own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from connectors.migrations import migrate
from tests.conftest import ROOT
from tests.live.conftest import MakeWorld
from tests.live.feed import Pair, market
from tests.live.verifier import verify
from tests.live.world import World, wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]

SEED = 910
RATE = 5_000
AWAY_S = 5.0
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD")


class PrivatePostgres:
    """A Postgres of the test's own, to be killed."""

    def __init__(self, home: Path) -> None:
        given = {k: v for k, v in os.environ.items() if not k.startswith("TAPELINE_")}
        self._env = {**given, "TAPELINE_HOME": str(home), "TAPELINE_POSTGRES_PORT": "0"}
        self._home = home

    def run(self, *arguments: str) -> None:
        """Run a command of the local stack on it."""
        command = [sys.executable, "-m", "infra.local", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    @property
    def url(self) -> str:
        """Where it is."""
        return str(json.loads((self._home / "run" / "stack.json").read_text())["postgres"])


class PrivateRedis:
    """A Redis of the test's own, to be ended; what it was told is on its disk."""

    def __init__(self, folder: Path) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, empty: bool = False) -> None:
        """Start it where it was, with what it had or without."""
        if empty:
            shutil.rmtree(self._folder)
        self._folder.mkdir(exist_ok=True)
        options = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        where = ("--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder))
        self._process = subprocess.Popen(
            ["redis-server", *where, *options], stdout=subprocess.DEVNULL
        )
        wait_until(self._answers, 10, "redis-server answers")

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


@pytest.fixture
def private_postgres(tmp_path: Path) -> Iterator[PrivatePostgres]:
    server = PrivatePostgres(tmp_path / "postgres")
    try:
        server.run("start", "postgres")
        yield server
    finally:
        server.run("stop", "postgres", "--hard")


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path / "redis")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def world(
    make_world: MakeWorld, private_redis: PrivateRedis, private_postgres: PrivatePostgres
) -> Iterator[World]:
    world = make_world()
    world.move(redis_url=private_redis.url, postgres_url=private_postgres.url)
    migrate(world.outside.postgres_url)
    world.started("all")
    yield world
    for worker in world.workers:
        worker.kill()


def test_bars_go_on_while_redis_is_away_and_postgres_is_killed(
    world: World, private_redis: PrivateRedis, private_postgres: PrivatePostgres
) -> None:
    """bars.v1 never waits for a store; both catch up exactly when they are back."""
    pairs = market(SEED, 100_000, venue="TEST", symbols=SYMBOLS)
    third = len(pairs) // 3
    _publish(world, pairs[:third])
    private_redis.kill()
    without_redis = _bars_made_during(world, pairs[third : 2 * third])
    private_redis.start()
    private_postgres.run("stop", "postgres", "--hard")
    without_postgres = _bars_made_during(world, pairs[2 * third :])
    private_postgres.run("start", "postgres")
    healed_s = world.settle()

    verify(world.outside).require(
        test="stores",
        seed=SEED,
        healed_s=round(healed_s, 1),
        bars_without_redis=without_redis,
        bars_without_postgres=without_postgres,
    )
    assert all(worker.process.poll() is None for worker in world.workers)


def test_a_redis_that_comes_back_empty_is_filled_again(
    world: World, private_redis: PrivateRedis
) -> None:
    """F9: the local stack's Redis keeps nothing on disk, so each of its restarts is this."""
    _publish(world, market(SEED, 20_000, venue="TEST", symbols=SYMBOLS))
    world.settle()
    private_redis.kill()
    private_redis.start(empty=True)
    _publish(world, market(SEED + 1, 1_000, venue="TEST", symbols=("LTC/USD",)))
    world.settle()

    wait_until(lambda: not verify(world.outside).faults, 15, "Redis is filled again", every_s=1)
    verify(world.outside).require(test="redis empty", seed=SEED)


def _publish(world: World, pairs: list[Pair]) -> None:
    with world.feed() as feed:
        for _ in feed.send_at(RATE, pairs):
            pass


def _bars_made_during(world: World, pairs: list[Pair]) -> int:
    """Publish for longer than `AWAY_S`, wait until compute has done it, and count the bars."""
    before = sum(world.outside.ends("bars.v1").values())
    began = time.monotonic()
    _publish(world, pairs)
    world.settle("compute")
    assert time.monotonic() - began > AWAY_S, "the store was not away for long enough"
    made = sum(world.outside.ends("bars.v1").values()) - before
    assert made, "no bar was made while a store was away"
    return made
