"""The systems under measure: each run is a fresh process, timed between two marks.

The clock starts when a system has taken its first block (its first tick, where it takes them one
by one) and stops with its last tick; the ticks of that first block are not counted. So start-up,
group joins and first connections are nobody's, and all are timed alike.
"""

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from app import topics
from app.engine.source import DEEP_PREFETCH, FETCH_RECORDS
from app.topics import TopicPartition
from schemas.registry import current
from tests.bench.ground import ROOT, BenchFailed, Ground, Worker
from tests.bench.ticks import Bars, check_bars
from tests.bench.watch import Watch

PEERS = Path(__file__).parent / "peers"
WITHIN_S = 600.0
POLL_FIRST_S, POLL_LAST_S = 0.01, 0.2


class Run(NamedTuple):
    """What one system did between its marks."""

    ticks: int
    seconds: float
    cpu_s: float
    peak_mb: float
    to_commit_s: float | None = None
    """Tapeline's: until all offsets were seen to be committed, which a checkpoint does each s."""

    @property
    def ticks_per_s(self) -> float:
        """Its rate."""
        return self.ticks / self.seconds

    @property
    def cpu_s_per_million(self) -> float:
        """CPU seconds of its process tree for a million ticks."""
        return self.cpu_s / self.ticks * 1e6


class Mark(NamedTuple):
    """At a moment (of `time.time`), so many ticks were done."""

    at: float
    ticks: int


def peer(here: Ground, name: str, ticks: int, run: str) -> Run:
    """Run one of the programs in `peers` over the first `ticks` of ticks.v1."""
    job = {
        "client": here.client,
        "settings": DEEP_PREFETCH,
        "at_once": FETCH_RECORDS,
        "topic": here.settings.topic(topics.TICKS),
        "partitions": here.settings.partitions,
        "group": f"{here.settings.topic_prefix}{name}-{run}".replace("_", "-"),
        "home": str(here.home),
        "ticks": ticks,
        "schema": current(topics.TICKS.schema),
    }
    log = here.home / f"{name}-{run}.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, str(PEERS / f"{name}.py"), json.dumps(job)],
            cwd=ROOT, env=here.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        watch = Watch(process.pid)
        # Faust prints a banner of its own before.
        told = (line for line in process.stdout if line.startswith(b"{"))
        lines = list(islice(told, 2))
        if len(lines) < 2:
            process.wait()
            raise BenchFailed(f"{name} ended:\n{log.read_text()[-4000:]}")
        first, last = (Mark(**json.loads(line)) for line in lines)
        time.sleep(0.1)  # one more sample beyond the last mark
        watch.stop()
        process.stdin.close()
    return between(first, last, [watch])


def tapeline(
    here: Ground, bars: Bars, run: str, module: str = "app.worker", workers: int = 1
) -> Run:
    """Run compute workers over all of ticks.v1, everything on, and check every bar they made.

    First mark: when every worker has its partitions and has applied a block, by their metrics
    (asked 100 times a second until then, and not again). Last mark: the broker's append time of
    the first base bar that holds the last tick of its partition, the latest over partitions; so
    decoding, folding, encoding, publishing and the broker's acknowledgement are inside, and the
    roll-up as far as it goes along. The run counts only if all offsets were committed afterwards
    and every bar of every timeframe equals the recompute.

    Args:
        here: The ground, with the ticks published.
        bars: What must come out.
        run: Names the consumer group.
        module: The program of the worker.
        workers: How many processes share the partitions.
    """
    admin, settings = here.admin, here.settings
    name_of_bars, name_of_ticks = settings.topic(topics.BARS), settings.topic(topics.TICKS)
    since = {at.partition: end for at, end in admin.ends([name_of_bars]).items()}
    ends = {at.partition: end for at, end in admin.ends([name_of_ticks]).items()}
    group = {"TAPELINE_GROUP": run}
    started = [here.worker("compute", module, group) for _ in range(workers)]
    first = _first_mark(started)
    _await_commit(here, started, f"{settings.topic_prefix}{run}-compute", name_of_ticks)
    committed = time.time()
    last = check_bars(here, bars, since, ends)
    watches = [worker.watch for worker in started]
    here.stop_workers()
    done = between(first, Mark(last, bars.ticks), watches)
    return done._replace(to_commit_s=committed - first.at)


def between(first: Mark, last: Mark, watches: list[Watch]) -> Run:
    """Return what was done between two marks."""
    return Run(
        last.ticks - first.ticks,
        last.at - first.at,
        sum(watch.cpu_s(first.at, last.at) for watch in watches),
        sum(watch.peak_mb for watch in watches),
    )


def _first_mark(workers: list[Worker]) -> Mark:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        time.sleep(POLL_FIRST_S)
        asked = time.time()
        done = [worker.of_agent("ticks_total", "bars") for worker in workers]
        if all(done):
            return Mark((asked + time.time()) / 2, int(sum(done)))
    raise BenchFailed("no worker took a block")


def _await_commit(here: Ground, workers: list[Worker], group: str, topic: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    wanted = set(here.admin.ends([topic]))
    while time.monotonic() < deadline:
        time.sleep(POLL_LAST_S)
        left = {
            TopicPartition(a.topic, a.partition): a.records
            for a in here.admin.lag({group: [topic]})
        }
        if set(left) == wanted and not any(left.values()):
            return
        for worker in workers:
            if worker.process.poll() is not None:
                worker.metrics()
    raise BenchFailed(f"{group} did not commit the end of {topic}")
