"""Where a bench runs: topics, groups, a database and keys of its own, removed afterwards."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis
from confluent_kafka.admin import AdminClient

from app import topics
from app.errors import TapelineError
from app.settings import Settings, load
from connectors.kafka_admin import QUIET, KafkaAdmin
from connectors.migrations import migrate
from tests.bench.watch import Watch

ROOT = Path(__file__).parents[2]
LOG_BYTES = 4000
GROUPS_GONE_WITHIN_S = 15.0


class BenchFailed(TapelineError):
    """A system did not do what it was to be measured at; nothing it did counts."""


@dataclass
class Worker:
    """One worker process.

    Attributes:
        role: What it does.
        process: The process.
        watch: Its CPU and memory.
        port: Where it serves its metrics.
        log: Its standard output and error.
    """

    role: str
    process: subprocess.Popen[bytes]
    watch: Watch
    port: int
    log: Path

    def metrics(self) -> dict[str, float]:
        """Return its metrics by name with labels, empty while it does not answer.

        Raises:
            BenchFailed: It has ended.
        """
        if self.process.poll() is not None:
            tail = self.log.read_bytes()[-LOG_BYTES:].decode(errors="replace")
            raise BenchFailed(f"worker {self.role} ended with {self.process.returncode}:\n{tail}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as got:
                text = got.read().decode()
        except OSError:
            return {}
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def of_agent(self, metric: str, agent: str) -> float:
        """Return one metric of one agent, 0 while there is none."""
        name = f'tapeline_{metric}{{agent="{agent}",role="{self.role}"}}'
        return self.metrics().get(name, 0.0)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(25)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.watch.stop()


@dataclass
class Ground:
    """Topics with a prefix, and the environment of workers on them.

    Attributes:
        settings: Of all that runs here.
        env: The same as an environment.
        home: A data directory of its own.
        admin: Of the prefixed topics.
        workers: What was started.
    """

    settings: Settings
    env: dict[str, str]
    home: Path
    admin: KafkaAdmin
    workers: list[Worker] = field(default_factory=list)

    @property
    def client(self) -> dict[str, str]:
        """Settings of librdkafka that reach the broker."""
        return self.settings.kafka_client_config()

    def worker(
        self, role: str, module: str = "app.worker", extra: Mapping[str, str] | None = None
    ) -> Worker:
        """Start a worker; it is watched from its first moment."""
        return self.program(role, module, role, extra=extra)

    def program(
        self, role: str, module: str, *arguments: str, extra: Mapping[str, str] | None = None
    ) -> Worker:
        """Start any program of ours as a worker."""
        port = free_port()
        log = self.home / f"worker-{len(self.workers)}-{role.replace(' ', '-')}.log"
        env = {**self.env, "METRICS_PORT": str(port), **(extra or {})}
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip
        started = Worker(role, process, Watch(process.pid), port, log)
        self.workers.append(started)
        return started

    def stop_workers(self) -> None:
        """End every worker, all at once."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.stop()
        self.workers.clear()


@contextmanager
def ground(name: str, *, stores: bool = False) -> Iterator[Ground]:
    """Yield a ground of its own; `stores` with a migrated database and Redis keys."""
    base = load(needs=("kafka", "redis", "postgres") if stores else ("kafka",))
    prefix = f"bench-{name}-{os.getpid()}-{time.time_ns() // 1_000_000_000}-"
    with tempfile.TemporaryDirectory(prefix="tapeline-bench-") as folder:
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("BARS_")},
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": base.kafka_bootstrap_servers,
            "REDIS_URL": base.redis_url,
            "POSTGRES_URL": base.postgres_url,
            "TAPELINE_HOME": folder,
            "TAPELINE_TOPIC_PREFIX": prefix,
            "TAPELINE_PARTITIONS": str(base.partitions),
            "LOG_LEVEL": "WARNING",
        }
        database = ""
        if stores:
            database = prefix.replace("-", "_").rstrip("_")
            _sql(base.postgres_url, f"CREATE DATABASE {database}")
            env["POSTGRES_URL"] = f"{base.postgres_url.rpartition('/')[0]}/{database}"
            migrate(env["POSTGRES_URL"])
        settings = load(env, needs=("kafka",))
        admin = KafkaAdmin(settings.kafka_client_config(), prefix)
        here = Ground(settings, env, Path(folder), admin)
        try:
            admin.apply(topics.ALL, settings.partitions, settings.replication)
            yield here
        finally:
            here.stop_workers()
            _forget(admin, settings)
            if stores:
                _sql(base.postgres_url, f"DROP DATABASE {database} WITH (FORCE)")
                _delete_keys(base.redis_url, settings.redis_prefix)


def _forget(admin: KafkaAdmin, settings: Settings) -> None:
    admin.delete(list(admin.partitions()))
    client = AdminClient({**settings.kafka_client_config(), **QUIET})
    deadline = time.monotonic() + GROUPS_GONE_WITHIN_S
    # A peer that ended without a word is still a member until its session ends.
    while groups := _groups(client, settings.topic_prefix):
        answers = client.delete_consumer_groups(groups).values()
        failed = [future for future in answers if future.exception(15) is not None]
        if not failed or time.monotonic() > deadline:
            return
        time.sleep(0.5)


def _groups(client: AdminClient, prefix: str) -> list[str]:
    found = client.list_consumer_groups().result(15).valid
    return [each.group_id for each in found if each.group_id.startswith(prefix)]


def _sql(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _delete_keys(url: str, prefix: str) -> None:
    with redis.Redis.from_url(url) as client:
        keys = list(client.scan_iter(f"{prefix}:*", count=1000))
        if keys:
            client.delete(*keys)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
