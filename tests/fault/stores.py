"""A Redis and a Postgres of a test's own, to be stopped, killed, paused, starved and filled up."""

import os
import shutil
import signal
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import redis as client
from prometheus_client.parser import text_string_to_metric_families

from connectors.migrations import migrate
from infra.local import postgres, process, redis
from infra.local.home import HOST, Home
from infra.local.process import Service
from tests.fault.cluster import free_port
from tests.fault.disk import mounted
from tests.live.world import Worker, World, wait_until

DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
STAGES_OF_HOT = 3
"""Topics that the hot store keeps the newest of."""
REBUILT_WITHIN_S = 30.0


class OwnServer(ABC):
    """A server in a temporary folder, on a free port; a context that takes all of it away.

    Args:
        name: Names the folder and the port.
        disk_mb: Size of a small disk that holds its data; 0 puts it on the machine's.

    Attributes:
        disk: The small one, to be filled up.
    """

    def __init__(self, name: str, disk_mb: int = 0) -> None:
        # Not in pytest's folder: Postgres, which is no root, must reach it.
        self.folder = Path(tempfile.mkdtemp(prefix=f"tapeline-{name}-"))
        self.folder.chmod(0o711)
        self.home = Home(self.folder, {name: free_port()})
        self.data = self.home.data / name
        for folder in (self.home.run, self.home.logs, self.home.data):
            folder.mkdir(parents=True)
        self._disks = ExitStack()
        self.disk = self._disks.enter_context(mounted(self.data, disk_mb)) if disk_mb else None

    @abstractmethod
    def service(self) -> Service:
        """Return how it is started."""

    def start(self) -> None:
        """Start it, and wait until it answers."""
        service = self.service()
        process.start(replace(service, argv=[*DIES_WITH_US, *service.argv]))

    def stop(self) -> None:
        """Ask it to stop, and wait until it has."""
        process.stop(self.service())

    def kill(self) -> None:
        """End it as a crash would: Redis by SIGKILL, Postgres as ``pg_ctl stop -m immediate``."""
        process.stop(self.service(), hard=True)

    def is_running(self) -> bool:
        """Return whether its process is there."""
        return process.find(self.service().pidfile) is not None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop it and what it started, as a machine that hangs; go on afterwards."""
        pid = process.find(self.service().pidfile)
        assert pid is not None, "it must run to be paused"
        os.kill(pid, signal.SIGSTOP)  # first: it starts no more
        # Not its group: each backend of Postgres has one of its own.
        stopped = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        for each in stopped:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in stopped:
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGCONT)

    def log(self) -> str:
        """Return the end of its log."""
        log = self.service().log
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def close(self) -> None:
        """End it, and take its folder away."""
        self.kill()
        self._disks.close()
        shutil.rmtree(self.folder)


class OwnRedis(OwnServer):
    """A Redis; a restart of it is empty."""

    def __init__(self) -> None:
        super().__init__("redis")
        self.url = f"redis://{HOST}:{self.home.port('redis')}/0"
        redis.prepare(self.home)
        self.start()

    def service(self) -> Service:
        return redis.service(self.home)

    def ask(self, *words: str | int) -> Any:
        """Return its answer to a command."""
        with client.Redis.from_url(self.url, decode_responses=True) as connection:
            return connection.execute_command(*words)

    def stat(self, name: str) -> Any:
        """Return a figure of its statistics."""
        with client.Redis.from_url(self.url, decode_responses=True) as connection:
            return connection.info("stats")[name]

    def refused(self, code: str) -> int:
        """Return how many commands were answered by an error of this code."""
        with client.Redis.from_url(self.url, decode_responses=True) as connection:
            found: dict[str, Any] = connection.info("errorstats").get(f"errorstat_{code}", {})
        return int(found.get("count", 0))

    def members(self, pattern: str) -> dict[str, list[str]]:
        """Return the members of every sorted set whose key fits, by key."""
        with client.Redis.from_url(self.url, decode_responses=True) as connection:
            keys = sorted(connection.scan_iter(pattern, count=1000))
            return {key: connection.zrange(key, 0, -1) for key in keys}

    def is_rebuilt(self, world: World) -> bool:
        """Return whether the worker says that this life of the server holds everything."""
        with client.Redis.from_url(self.url, decode_responses=True) as connection:
            era = (
                f"{connection.info('server')['run_id']}:{connection.info('stats')['evicted_keys']}"
            )
            keys = list(connection.scan_iter(f"{world.prefix}tl:whole:*", count=1000))
            marks = connection.mget(keys) if keys else []
        return marks.count(era) == STAGES_OF_HOT * world.outside.partitions

    def wait_rebuilt(self, world: World) -> float:
        """Wait for it; return how long it took."""
        return wait_until(lambda: self.is_rebuilt(world), REBUILT_WITHIN_S, "Redis is rebuilt")


class OwnPostgres(OwnServer):
    """A Postgres with a database that was migrated."""

    def __init__(self, disk_mb: int = 0) -> None:
        super().__init__("postgres", disk_mb)
        self.url = f"postgresql://{postgres.DATABASE}@{HOST}:{self.home.port('postgres')}/tapeline"
        postgres.prepare(self.home)
        self.start()
        postgres.complete(self.home)
        migrate(self.url)

    def service(self) -> Service:
        return postgres.service(self.home)

    def connect(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """Return a connection in autocommit."""
        return psycopg.connect(self.url, autocommit=True)

    def ask(self, query: str, *arguments: object) -> Any:
        """Return the first value of the first row, None when there is none."""
        with self.connect() as connection:
            cursor = connection.execute(query.encode(), arguments or None)
            found = cursor.fetchone() if cursor.description else None
        return found[0] if found else None

    def end_backends(self) -> int:
        """End the workers' connections, as `pg_terminate_backend` does; return how many."""
        return int(
            self.ask(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'tapeline'"
            )
        )

    def waiting(self) -> int:
        """Return how many of the workers' transactions wait for a lock."""
        return int(
            self.ask(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tapeline'"
                " AND wait_event_type = 'Lock' AND xact_start IS NOT NULL"
            )
        )


@contextmanager
def own_redis(world: World) -> Iterator[OwnRedis]:
    """Give a world an empty Redis of its own, before its workers start."""
    with closing(OwnRedis()) as server:
        world.move(redis_url=server.url, postgres_url=world.outside.postgres_url)
        yield server


@contextmanager
def own_postgres(world: World, disk_mb: int = 0) -> Iterator[OwnPostgres]:
    """Give a world a Postgres of its own, before its workers start."""
    with closing(OwnPostgres(disk_mb)) as server:
        world.move(redis_url=world.outside.redis_url, postgres_url=server.url)
        yield server


class Watched:
    """A worker whose metrics are read.

    Args:
        world: Where it runs.
        role: What it does.
        settings: More environment of its own.
    """

    def __init__(self, world: World, role: str, **settings: str) -> None:
        port = free_port()
        self.worker: Worker = world.start(role, METRICS_PORT=str(port), **settings)
        self._url = f"http://{HOST}:{port}/metrics"

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(httpx.get(self._url, timeout=5.0).text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def resident_mb(self) -> float:
        """Return how much memory it holds."""
        status = Path(f"/proc/{self.worker.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def is_the_same(self) -> bool:
        """Return whether the process that was started still runs."""
        return self.worker.process.poll() is None


def largest_lags(world: World, seconds: float, *read: tuple[str, str]) -> dict[str, int]:
    """Watch (role, topic) for so long; return the largest lag of each."""
    found = {f"{role} {topic}": 0 for role, topic in read}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for role, topic in read:
            name = f"{role} {topic}"
            found[name] = max(found[name], world.outside.lag(f"tapeline-{role}", topic))
        time.sleep(0.2)
    return found
