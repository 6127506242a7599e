"""F20: hours of ticks at twice the nominal rate: ``python -m tests.fault.soak --minutes 60``.

Watches each worker from outside, by /proc and its metrics, and prints one JSON object: slope of
the resident memory after warm-up, open files, threads, asyncio tasks, and the largest lag. Old
ticks are taken away as they would be by retention, so that the disk is not what ends it.
Exit status 0 only when memory, files, threads and tasks are flat and the workers kept up.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from app.cli.pace import Pace
from app.domain.simulator import Market
from app.domain.simulator import feed as simulated
from connectors.kafka_admin import QUIET
from connectors.producer import TickProducer
from infra.local.__main__ import main as local
from infra.local.home import Home
from tests.conftest import Stack
from tests.fault.stores import Watched
from tests.fault.trial import WORKERS
from tests.live.world import READS, World

NOMINAL_RATE = 20_000
SYMBOLS = 50
SENDS_A_SECOND = 8
"""Encoding costs 10 ms a call, and 5 us a tick."""
EVERY_S = 5.0
LAG_EVERY = 6
"""Samples between two looks at the lag, which cost a consumer each."""
WARM_UP_SHARE, LEAST_WARM_UP_S = 0.3, 120.0
"""The dedupe window and the stores' caches fill first."""
WINDOW_S = 30.0
"""Of each window the least counts: what is held between two collections is no leak."""
SLOPE_ALLOWED_MB_PER_MIN = 1.0
MORE_ALLOWED = {"files": 3, "threads": 2, "tasks": 5}
LAG_ALLOWED_S = 15.0
KEEP_S = 120.0
"""How long ticks stay, in topics and in Postgres."""


@dataclass
class Course:
    """What was seen of one worker: seconds since the start, and a figure, by what it is of."""

    samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, at_s: float, **figures: float) -> None:
        """Note figures."""
        for name, value in figures.items():
            self.samples.setdefault(name, []).append((at_s, value))

    def after(self, warm_up_s: float, name: str) -> list[tuple[float, float]]:
        """Return the samples behind the warm-up."""
        return [(at_s, value) for at_s, value in self.samples[name] if at_s >= warm_up_s]

    def slope_per_min(self, warm_up_s: float, name: str) -> float:
        """Return the median slope between the least values of all windows (Theil and Sen)."""
        windows: dict[int, tuple[float, float]] = {}
        for at_s, value in self.after(warm_up_s, name):
            window = int(at_s / WINDOW_S)
            if window not in windows or value < windows[window][1]:
                windows[window] = at_s, value
        points = [windows[window] for window in sorted(windows)]
        slopes = [
            (y2 - y1) / (x2 - x1) * 60
            for n, (x1, y1) in enumerate(points)
            for x2, y2 in points[n + 1 :]
        ]
        assert slopes, "the soak was too short for a slope"
        return median(slopes)

    def grown(self, warm_up_s: float, name: str) -> float:
        """Return how much more there was in the last fifth than in the first, by the medians."""
        values = [value for _, value in self.after(warm_up_s, name)]
        part = max(1, len(values) // 5)
        return median(values[-part:]) - median(values[:part])


class Soak:
    """A world under steady load.

    Args:
        world: Opened, without workers.
        rate: Ticks a second.
        minutes: How long.
    """

    def __init__(self, world: World, rate: float, minutes: float) -> None:
        self._world, self._rate, self._length_s = world, rate, minutes * 60
        self._stopped = threading.Event()
        self._failed: list[BaseException] = []
        self._courses = {role: Course() for role in WORKERS}
        self._lags = dict.fromkeys(WORKERS, 0)
        self._sent = 0

    def run(self) -> dict[str, Any]:
        """Return what was found."""
        self._forget_soon()
        workers = [Watched(self._world, role, CLOCK_EVERY="1s") for role in WORKERS]
        for worker in workers:
            worker.worker.wait_ready()
        threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._produce, self._clean)
        ]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        while (at_s := time.monotonic() - began) < self._length_s and not self._failed:
            for worker in workers:
                self._look(worker, at_s)
            if len(self._courses["compute"].samples["files"]) % LAG_EVERY == 0:
                self._look_at_lags()
            time.sleep(EVERY_S)
        self._stopped.set()
        for thread in threads:
            thread.join()
        if self._failed:
            raise self._failed[0]
        return self._report(at_s)

    def _look(self, worker: Watched, at_s: float) -> None:
        role, pid = worker.worker.role, worker.worker.process.pid
        assert worker.is_the_same(), f"{role} has ended: {worker.worker.tail()}"
        process = Path(f"/proc/{pid}")
        self._courses[role].add(
            at_s,
            resident_mb=worker.resident_mb(),
            files=len(list((process / "fd").iterdir())),
            threads=len(list((process / "task").iterdir())),
            tasks=worker.metric("tapeline_asyncio_tasks"),
        )

    def _look_at_lags(self) -> None:
        for role in WORKERS:
            lags = [self._world.outside.lag(f"tapeline-{role}", topic) for topic in READS[role]]
            self._lags[role] = max(self._lags[role], *lags)

    def _produce(self) -> None:
        pace = Pace(self._rate)
        step = max(1, round(self._rate / SENDS_A_SECOND))
        market = Market(
            seed=1, symbols=SYMBOLS, start_us=time.time_ns() // 1000, step_us=1e6 / self._rate
        )
        topic = f"{self._world.prefix}ticks.raw.v1"
        with TickProducer(self._world.stack.kafka, topic=topic) as producer:
            for frame in simulated(market):
                for part in frame.drop("poison").iter_slices(step):
                    pace.wait(self._sent)
                    self._sent += producer.send_frame(part)
                    if self._stopped.is_set():
                        return

    def _clean(self) -> None:
        """Do what retention does in days."""
        while not self._stopped.wait(KEEP_S):
            with psycopg.connect(self._world.outside.postgres_url) as connection:
                connection.execute("SET lock_timeout = '20s'")
                connection.execute("TRUNCATE ticks")

    def _forget_soon(self) -> None:
        settings = {"retention.ms": str(int(KEEP_S * 1000)), "segment.bytes": str(64 << 20)}
        admin = AdminClient({"bootstrap.servers": self._world.stack.kafka, **QUIET})
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        for topic in ("ticks.raw.v1", "ticks.v1"):
            resource = ConfigResource(
                "topic", self._world.prefix + topic, incremental_configs=list(entries)
            )
            for future in admin.incremental_alter_configs([resource]).values():
                future.result(15)

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised where the soak ends
            self._failed.append(error)

    def _report(self, length_s: float) -> dict[str, Any]:
        warm_up_s = max(LEAST_WARM_UP_S, WARM_UP_SHARE * length_s)
        report: dict[str, Any] = {
            "minutes": round(length_s / 60, 1),
            "rate": self._rate,
            "ticks_per_s": round(self._sent / length_s),
            "warm_up_s": round(warm_up_s),
            "workers": {},
        }
        faults = []
        if self._sent / length_s < 0.98 * self._rate:
            faults.append(f"only {self._sent / length_s:.0f} ticks/s were sent")
        for role, course in self._courses.items():
            slope = course.slope_per_min(warm_up_s, "resident_mb")
            grown = {name: course.grown(warm_up_s, name) for name in MORE_ALLOWED}
            mb = [value for _, value in course.after(warm_up_s, "resident_mb")]
            report["workers"][role] = {
                "resident_mb": [round(mb[0]), round(max(mb)), round(mb[-1])],
                "slope_mb_per_min": round(slope, 3),
                **{f"{name}_grown": round(value, 1) for name, value in grown.items()},
                "largest_lag_s": round(self._lags[role] / self._rate, 1),
            }
            if slope >= SLOPE_ALLOWED_MB_PER_MIN:
                faults.append(f"{role} grows by {slope:.2f} MB a minute")
            faults += [
                f"{role} has {value:.0f} more {name}"
                for name, value in grown.items()
                if value > MORE_ALLOWED[name]
            ]
            if self._lags[role] > LAG_ALLOWED_S * self._rate:
                faults.append(f"{role} was {self._lags[role] / self._rate:.0f} s behind")
        return {**report, "faults": faults}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a soak on the local stack, print its report, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2.0 * NOMINAL_RATE, help="ticks a second")
    options = parser.parse_args(arguments)
    if local(["up"]):
        return 1
    addresses = Home.from_env().addresses()
    stack = Stack(addresses["kafka"], addresses["redis"], addresses["postgres"])
    with tempfile.TemporaryDirectory(prefix="tapeline-soak-") as folder:
        world = World(stack, Path(folder), {})
        world.open()
        try:
            report = Soak(world, options.rate, options.minutes).run()
        finally:
            world.close()
    sys.stdout.write(json.dumps(report) + "\n")
    return 1 if report["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
