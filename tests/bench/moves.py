"""``tapeline bench moves``: how long partitions stand still when the worker that had them ends.

Two compute workers share a steady flow. One is told to stop, started again, and killed. Of each
partition the longest pause between two records that came out, by the broker's clock, is what its
readers wait; with a kill the group's session (10 s) is most of it.
"""

import threading
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Position

from app import topics
from app.cli.pace import Pace
from app.cli.terminal import json_line, line, table
from tests.bench.engine import about
from tests.bench.ground import BenchFailed, Ground, Worker, ground
from tests.bench.ticks import publish

SEEN_FOR_S = 25.0
"""After each end of a worker: a session, and what the rest may take."""
WITHIN_S = 120.0


def moves(symbols: int, rate: float, warm_s: float, *, as_json: bool) -> None:
    """Measure, then print.

    Args:
        symbols: How many; the state grows with them.
        rate: Raw ticks a second.
        warm_s: How long the flow goes before the first worker ends.
        as_json: Whether a last line holds everything.
    """
    with ground("moves") as here:
        found = _measured(here, symbols, rate, warm_s)
        described = about(here, round(rate), symbols, 0)
    line("seconds in which a partition gave nothing, the longest\n")
    table(
        ("told to stop", "started", "killed"),
        [(found["stopped_s"], found["started_s"], found["killed_s"])],
    )
    if as_json:
        json_line({"moves": found, **described})


def _measured(here: Ground, symbols: int, rate: float, warm_s: float) -> dict[str, Any]:
    first, second = (here.worker("compute") for _ in range(2))
    _await_ready(first, second)
    count = round(rate * (warm_s + 4 * SEEN_FOR_S))
    flow = threading.Thread(
        target=publish, args=(here, count, symbols, topics.RAW, Pace(rate)), daemon=True
    )
    flow.start()
    time.sleep(warm_s)
    moments = {"stopped_s": time.time()}
    second.process.terminate()
    time.sleep(SEEN_FOR_S)
    moments["started_s"] = time.time()
    second = here.worker("compute")
    time.sleep(SEEN_FOR_S)
    moments["killed_s"] = time.time()
    second.process.kill()
    time.sleep(SEEN_FOR_S)
    moments["end"] = time.time()
    flow.join()
    appended = _appended_s(here)
    bounds = list(moments.values())
    return {
        name: max(_longest_pause_s(each, begin, end) for each in appended.values())
        for (name, begin), end in zip(moments.items(), bounds[1:], strict=False)
    }


def _await_ready(*workers: Worker) -> None:
    deadline = time.monotonic() + WITHIN_S
    gauge = 'tapeline_assigned_partitions{role="compute"}'
    while not all(worker.metrics().get(gauge) for worker in workers):
        if time.monotonic() > deadline:
            raise BenchFailed("the workers did not share the partitions")
        time.sleep(0.1)


def _longest_pause_s(appended_s: list[float], begin: float, end: float) -> float:
    times = [begin, *(at for at in appended_s if begin <= at < end), end]
    return round(max(b - a for a, b in pairwise(times)), 2)


def _appended_s(here: Ground) -> dict[int, list[float]]:
    """Return when each record of ticks.v1 was appended, by partition, in order."""
    ends = here.admin.ends([here.settings.topic(topics.TICKS)])
    reader = Consumer({**here.client, "group.id": "bench-moves", "enable.auto.commit": False})
    reader.assign([Position(at.topic, at.partition, 0) for at in ends])
    left, times = sum(ends.values()), defaultdict(list)
    while left > 0:
        for message in reader.consume(10_000, 5):
            times[message.partition()].append(message.timestamp()[1] / 1000)
            left -= 1
    reader.close()
    return times
