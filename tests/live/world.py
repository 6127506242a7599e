"""A world: topics, a database and keys of its own on shared servers, and real worker processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

import polars as pl
import psycopg
import redis

from app import topics
from connectors.kafka_admin import KafkaAdmin
from connectors.migrations import migrate
from connectors.producer import TickProducer
from tests.conftest import ROOT, Stack
from tests.live.feed import Feed
from tests.live.outside import Outside

READS = {
    "compute": ("ticks.raw.v1", "ticks.v1"),
    "hot": ("ticks.v1", "bars.v1", "quotes.v1"),
    "warm": ("ticks.v1", "bars.v1"),
}
"""What each role commits, in the order in which records flow."""
WORKER, MODULES = "app.worker", {"api": ("app.serve",)}
READY_WITHIN_S = 60.0
HEALED_WITHIN_S = 30.0
STOPPED_WITHIN_S = 20.0
LOG_SHOWN = 6_000
DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")
"""A test run that is killed leaves no workers behind."""
KEEPER = (
    "sh",
    "-c",
    """trap 'kill -TERM $child; wait $child; exit $?' TERM
    while :; do "$@" & child=$!; wait $child; [ $? -ne 2 ] || exit 2; sleep 0.5; done""",
    "keeper",
)
"""Starts a worker again when it ends, as its supervisor would; not with a wrong configuration."""
OUR_SETTINGS = (
    "TAPELINE_",
    "BARS_",
    "CLOCK_",
    "KAFKA_",
    "REDIS_",
    "POSTGRES_",
    "SCHEMA_REGISTRY_",
    "API_",
)


def wait_until(
    condition: Callable[[], object], within_s: float, what: str, every_s: float = 0.1
) -> float:
    """Wait until a condition holds, and return how many seconds it took."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < within_s, f"{what}: not within {within_s:g} s"
        time.sleep(every_s)
    return time.monotonic() - began


class Worker:
    """One process of ``python -m app.worker ROLE``, with a home and a log of its own.

    Args:
        role: What it does; ``api`` is the API instead.
        home: Its TAPELINE_HOME, made here.
        env: Its whole environment.
        is_kept: Whether it is started again when it ends by itself.
        program: Code to run instead of the role's module, with the role as its argument.
    """

    def __init__(
        self,
        role: str,
        home: Path,
        env: Mapping[str, str],
        *,
        is_kept: bool = False,
        program: str = "",
    ) -> None:
        self.role, self.home = role, home
        self.log = home / "worker.log"
        self._ready = home / "run" / f"worker-{role}.ready"
        home.mkdir(parents=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *DIES_WITH_US,
                    *(KEEPER if is_kept else ()),
                    sys.executable,
                    *(
                        ("-c", program, role)
                        if program
                        else ("-m", *MODULES.get(role, (WORKER, role)))
                    ),
                ],
                cwd=ROOT,
                env={**env, "TAPELINE_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it has its partitions."""
        wait_until(self._is_ready, READY_WITHIN_S, f"{self.role} is ready")

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, f"{self.role} ended: {self.tail()}"
        return self._ready.exists()

    def url(self) -> str:
        """Return where an API that is ready listens."""
        return self._ready.read_text().strip()

    def pids(self) -> list[int]:
        """Return its own pid and those of the processes it started."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]

    def kill(self) -> None:
        """End it and its children as a crash would."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.terminate()
        return self.process.wait(STOPPED_WITHIN_S)

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-LOG_SHOWN:]


class World:
    """Everything of one test module, apart from everybody else's.

    Args:
        stack: The servers.
        folder: For the workers' homes.
        settings: More environment for the workers.
        replication: Copies of each topic's partitions.
        is_broker_shared: Whether others use the broker, too, and topics must be taken away.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        settings: Mapping[str, str],
        *,
        replication: int = 1,
        is_broker_shared: bool = True,
    ) -> None:
        name = uuid4().hex[:10]
        self.stack, self._folder = stack, folder
        self._settings = {"TAPELINE_REPLICATION": str(replication), **settings}
        self._replication, self._is_broker_shared = replication, is_broker_shared
        self.prefix = f"live-{name}."
        self._database = f"live_{name}"
        server = stack.postgres.rpartition("/")[0]
        url = f"{server}/{self._database}"
        self.outside = Outside(stack.kafka, stack.redis, url, self.prefix, settings=settings)
        self._admin = KafkaAdmin({"bootstrap.servers": stack.kafka}, prefix=self.prefix)
        self.workers: list[Worker] = []

    def open(self) -> None:
        """Make the topics and the database."""
        with psycopg.connect(self.stack.postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self._database}".encode())
        migrate(self.outside.postgres_url)
        self._admin.apply(topics.ALL, self.outside.partitions, self._replication)

    def close(self) -> None:
        """End the workers and take everything away."""
        for worker in self.workers:
            worker.kill()
        if self._is_broker_shared:
            self._admin.delete(list(self._admin.partitions()))
        with psycopg.connect(self.stack.postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self._database} WITH (FORCE)".encode())
        with redis.Redis.from_url(self.stack.redis) as client:
            for key in client.scan_iter(f"{self.prefix}*", count=1000):
                client.delete(key)

    def move(self, *, redis_url: str, postgres_url: str) -> None:
        """Use other stores from now on: an empty Redis, and a migrated database."""
        self.outside = replace(self.outside, redis_url=redis_url, postgres_url=postgres_url)

    def start(
        self, role: str, *, is_kept: bool = False, program: str = "", **settings: str
    ) -> Worker:
        """Start a worker, with more environment of its own; it is not ready yet."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(OUR_SETTINGS)}
        env |= {
            "KAFKA_BOOTSTRAP_SERVERS": self.stack.kafka,
            "REDIS_URL": self.outside.redis_url,
            "POSTGRES_URL": self.outside.postgres_url,
            "TAPELINE_TOPIC_PREFIX": self.prefix,
            # A world that has settled stays as it is: the clock would go on closing bars.
            "CLOCK_EVERY": "1h",
            **self._settings,
            **settings,
        }
        home = self._folder / f"{len(self.workers)}-{role}"
        worker = Worker(role, home, env, is_kept=is_kept, program=program)
        self.workers.append(worker)
        return worker

    def started(self, *roles: str) -> list[Worker]:
        """Start workers and wait until all are ready."""
        workers = [self.start(role) for role in roles]
        for worker in workers:
            worker.wait_ready()
        return workers

    def retire(self) -> None:
        """Ask every worker that runs to stop; each must end well."""
        for worker in self.workers:
            if worker.process.poll() is None:
                assert worker.terminate() == 0, worker.tail()

    def publish(self, frame: pl.DataFrame) -> int:
        """Publish ticks as our own producer does."""
        with TickProducer(self.stack.kafka, topic=f"{self.prefix}ticks.raw.v1") as producer:
            return producer.send_frame(frame)

    def feed(self, partitioner: str = "murmur2_random") -> Feed:
        """Return a producer that is not ours."""
        return Feed(self.stack.kafka, f"{self.prefix}ticks.raw.v1", partitioner)

    def settle(self, *roles: str, within_s: float = HEALED_WITHIN_S) -> float:
        """Wait until the groups have committed the logs' ends (I5); return how long it took.

        In the order of the flow: a log whose writer has committed its own input's end is whole.
        """
        took = 0.0
        for role in roles or READS:
            for topic in READS[role]:
                took += wait_until(
                    partial(self._is_done, role, topic),
                    within_s - took,
                    f"{role} has committed the end of {topic}",
                )
        return took

    def _is_done(self, role: str, topic: str) -> bool:
        return self.outside.lag(f"tapeline-{role}", topic) == 0

    def logs(self) -> list[tuple[str, str]]:
        """Return the ends of the workers' logs, each with a title."""
        return [(f"log of {w.home.name} (pid {w.process.pid})", w.tail()) for w in self.workers]
