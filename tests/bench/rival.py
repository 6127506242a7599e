"""Another system at the same job: how it is installed and started, and one run of it."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from app import topics
from app.cli.recompute import Values
from app.engine.source import DEEP_PREFETCH, FETCH_RECORDS
from connectors.kafka_admin import QUIET
from infra.local.home import Home
from schemas.registry import current
from tests.bench.ground import BenchFailed, Ground
from tests.bench.peer_bars import Checked, Key, check, closed, written
from tests.bench.systems import Mark, Run, between
from tests.bench.watch import Watch

WITHIN_S = 900.0
ENDS_WITHIN_S = 20.0
SETTLES_S = 3.0
"""After the last tick: as long as the last closed bars may be on their way."""
WHOLE_WITHIN_S = 30.0
SHOWN_LINES = 15


@dataclass(frozen=True)
class Rival:
    """A system to be measured.

    Attributes:
        key: Names it on the command line.
        name: Names it in the table.
        command: Installs it, if it is not yet, and returns how it is started; its job, as JSON,
            is the last argument.
        ticks: It is given at most so many, because it is slow; None: all.
        job: What its job says beside what all are told.
        writes_bars: Whether there are bars to check.
        sends_open: Whether it writes bars before they are closed, too.
    """

    key: str
    name: str
    command: Callable[[Home], list[str]]
    ticks: int | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    writes_bars: bool = True
    sends_open: bool = False


class Task(NamedTuple):
    """What all are given.

    Attributes:
        ticks: So many are in the topic.
        expected: The bars that they make.
        registry: URL of a registry that knows their schema.
    """

    ticks: int
    expected: dict[Key, Values]
    registry: str


class Outcome(NamedTuple):
    """What one run gave: the whole, its second half where it was told, and the bars."""

    run: Run
    second_half: Run | None = None
    checked: Checked | None = None


def compete(here: Ground, rival: Rival, command: list[str], task: Task, run: str) -> Outcome:
    """Run a system once, in a process of its own, and check its bars.

    Raises:
        BenchFailed: It ended, or was ended after `WITHIN_S`, before its last tick.
    """
    group = f"{here.settings.topic_prefix}{rival.key}-{run}"
    bars = f"{group}-out"
    if rival.writes_bars:
        _make_topic(here, bars)
    ticks = min(task.ticks, rival.ticks or task.ticks)
    job = {
        "broker": here.settings.kafka_bootstrap_servers,
        "client": here.client,
        "settings": DEEP_PREFETCH,
        "at_once": FETCH_RECORDS,
        "topic": here.settings.topic(topics.TICKS),
        "bars": bars,
        "partitions": here.settings.partitions,
        "group": group,
        "home": str(here.home),
        "ticks": ticks,
        "schema": current(topics.TICKS.schema),
        "registry": task.registry,
        **rival.job,
    }
    log = here.home / f"{rival.key}-{run}.log"
    checked = None
    with _started(here, [*command, json.dumps(job)], log) as (output, watch):
        told = list(marks(output, ticks))
        time.sleep(0.1)  # one more sample beyond the last mark
        watch.stop()
        if not told or told[-1].ticks < ticks:
            raise BenchFailed(
                f"{rival.name} ended, or was after {WITHIN_S:g} s, before its last tick: "
                f"{_last_words(log)}"
            )
        if told[0].ticks == told[-1].ticks:
            raise BenchFailed(f"{rival.name} took {ticks:,} ticks at once: it needs more")
        if rival.writes_bars:
            is_whole = ticks == task.ticks
            checked = _settled(here, rival, bars, task.expected, is_whole=is_whole)
    half = told[1] if len(told) > 2 and told[1].ticks < told[-1].ticks else None
    return Outcome(
        between(told[0], told[-1], [watch]),
        between(half, told[-1], [watch]) if half else None,
        checked,
    )


@contextmanager
def _started(here: Ground, command: list[str], log: Path) -> Iterator[tuple[IO[bytes], Watch]]:
    """Yield a program's output and its watch, for `WITHIN_S`; end it."""
    # What is installed for another system must not find our modules.
    env = {name: value for name, value in here.env.items() if name != "PYTHONPATH"}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            command, cwd=here.home, env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        ) as process,
    ):  # fmt: skip
        assert process.stdin
        assert process.stdout
        limit = threading.Timer(WITHIN_S, process.kill)
        limit.start()
        watch = Watch(process.pid)
        try:
            yield process.stdout, watch
        finally:
            limit.cancel()
            watch.stop()
            process.stdin.close()
            _end(process)


def marks(lines: Iterable[bytes], ticks: int) -> Iterator[Mark]:
    """Yield the marks that a program prints, up to the one at which `ticks` are done."""
    for line in lines:
        # Some print banners and logs beside.
        if line.startswith(b'{"at"'):
            mark = Mark(**json.loads(line))
            yield mark
            if mark.ticks >= ticks:
                return


def forget_topics(here: Ground) -> None:
    """Delete topics that some systems make for themselves, named otherwise than the ground's."""
    client = AdminClient({**here.client, **QUIET})
    prefix = here.settings.topic_prefix
    others = [n for n in client.list_topics(timeout=15).topics if prefix in n]
    others = [name for name in others if not name.startswith(prefix)]
    for future in client.delete_topics(others).values() if others else ():
        future.exception(15)


def _make_topic(here: Ground, name: str) -> None:
    client = AdminClient({**here.client, **QUIET})
    wanted = NewTopic(name, here.settings.partitions, here.settings.replication)
    for future in client.create_topics([wanted]).values():
        future.result(15)
    deadline = time.monotonic() + WHOLE_WITHIN_S
    while time.monotonic() < deadline:
        found = client.list_topics(name, timeout=15).topics[name]
        if len(found.partitions) == here.settings.partitions:
            return
        time.sleep(0.05)


def _settled(
    here: Ground, rival: Rival, topic: str, expected: dict[Key, Values], *, is_whole: bool
) -> Checked:
    """Return what was found as soon as all is there, or once there is no more hope."""
    deadline = time.monotonic() + (WHOLE_WITHIN_S if is_whole else SETTLES_S)
    while True:
        time.sleep(SETTLES_S)
        found = written(here.client, topic)
        certain = closed(expected, found, is_whole=is_whole, sends_open=rival.sends_open)
        checked = check(expected, found, certain)
        if not checked.wrong or time.monotonic() > deadline:
            return checked


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it: by now its standard input has ended, which should do."""
    for harder in (process.terminate, process.kill):
        try:
            process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            harder()
        else:
            return
    process.wait()


def _last_words(log: Path) -> str:
    """Return the line that says why, and below it what was said last."""
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in said if "Error" in line or "Exception" in line]
    reason = (errors or said or ["it said nothing"])[-1].strip()
    return "\n".join([reason, *said[-SHOWN_LINES:]])
