"""One worker process: ``python -m app.worker ROLE``; ``all`` supervises one process a role.

A role that ends is started again, later each time it ends soon after a start. SIGTERM and SIGINT
stop everything within 20 s. When a role has its partitions, ``run/worker-ROLE.ready`` appears
under TAPELINE_HOME.
"""

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType

import structlog
from faust import Worker

from app import preflight, topic_watch
from app import settings as configuration
from app.compose import READS, ROLES, WRITES, Role, worker
from app.errors import ConfigError
from app.exits import EXIT_CONFIG, in_words
from app.logs import configure
from app.warm_up import warm_up
from connectors.kafka_admin import KafkaAdmin

STOP_WITHIN_S = 20.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
STEADY_AFTER_S = 30.0
"""One that ran for so long is started again soon."""
M_ARENA_MAX = -8
"""glibc's mallopt(3): two heaps, instead of one for each thread that keeps what it freed."""
_log = structlog.get_logger(__name__)


def ready_file(home: Path, role: str) -> Path:
    """Return the file that says that a role has its partitions."""
    return home / "run" / f"worker-{role}.ready"


def run(role: Role) -> None:
    """Run one role in this process until it is told to stop."""
    settings = configuration.load()
    configure(settings.log_level)
    mark = ready_file(settings.home, role)
    for folder in (mark.parent, settings.home / "state"):
        folder.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    preflight.require((role,), settings)
    uses = sorted({settings.topic(topic) for topic in (*READS[role], *WRITES[role])})
    look = KafkaAdmin(settings.kafka_client_config()).partitions
    # Faust would wait for them without a word.
    topic_watch.require(uses, settings.partitions, look())
    warm_up()
    app = worker(role, settings, on_ready=partial(_mark, mark))
    app.task(partial(topic_watch.watch, uses, settings.partitions, look, _refuse))
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    # What start-up made stays; collections walk only what came after.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        Worker(app, loglevel="WARN", quiet=True, redirect_stdouts=False).execute_from_commandline()
    finally:
        mark.unlink(missing_ok=True)


def _mark(file: Path) -> None:
    try:
        file.write_text(f"{time.time():.3f}\n")
    except OSError as error:  # a full disk: it does not need the file to work
        _log.warning("ready file not written", error=str(error))


def _refuse(error: ConfigError) -> None:
    """End at once, nothing acked: no restart mends it."""
    _log.error("topics changed", error=str(error))
    os._exit(EXIT_CONFIG)


class Supervisor:
    """Keeps one child process a role."""

    def __init__(self, home: Path, metrics_port: int) -> None:
        self._home = home
        self._metrics_port = metrics_port
        self._children: dict[Role, subprocess.Popen[bytes]] = {}
        self._started: dict[Role, float] = {}
        self._pause: dict[Role, float] = dict.fromkeys(ROLES, FIRST_PAUSE_S)
        self._due: dict[Role, float] = {}
        self._stopping = False

    def run(self) -> int:
        """Start the roles, start again what ends, stop all on SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        mark = ready_file(self._home, "all")
        mark.unlink(missing_ok=True)
        for role in ROLES:
            self._start(role)
        while not self._stopping:
            time.sleep(0.1)
            for role, child in list(self._children.items()):
                if child.poll() is not None and role not in self._due:
                    if child.returncode == EXIT_CONFIG:
                        self._stopping = True
                    self._put_off(role, child.returncode)
            for role in [r for r, due in self._due.items() if due <= time.monotonic()]:
                if not self._stopping:
                    del self._due[role]
                    self._start(role)
            if not mark.exists() and all(ready_file(self._home, r).exists() for r in ROLES):
                mark.write_text(f"{time.time():.3f}\n")
        mark.unlink(missing_ok=True)
        return self._end()

    def _start(self, role: Role) -> None:
        self._started[role] = time.monotonic()
        # One port a role: the first is compute's, the next ones are the others' in order.
        port = self._metrics_port and self._metrics_port + ROLES.index(role)
        self._children[role] = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "app.worker", role],
            env={**os.environ, "METRICS_PORT": str(port)},
        )
        _log.info("role started", role=role, pid=self._children[role].pid)

    def _put_off(self, role: Role, status: int) -> None:
        if time.monotonic() - self._started[role] > STEADY_AFTER_S:
            self._pause[role] = FIRST_PAUSE_S
        _log.error("role ended", role=role, status=status, again_in_s=self._pause[role])
        self._due[role] = time.monotonic() + self._pause[role]
        self._pause[role] = min(2 * self._pause[role], LONGEST_PAUSE_S)

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _end(self) -> int:
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        for role, child in self._children.items():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.error("role did not stop", role=role, within_s=STOP_WITHIN_S)
                child.kill()
        ended = [child.returncode for child in self._children.values()]
        return EXIT_CONFIG if EXIT_CONFIG in ended else 0


def main() -> None:
    """Run the role named on the command line."""
    roles = (*ROLES, "all")
    if len(sys.argv) != 2 or sys.argv[1] not in roles:  # noqa: PLR2004
        sys.exit(f"usage: python -m app.worker {{{'|'.join(roles)}}}")
    with in_words():
        if sys.argv[1] == "all":
            settings = configuration.load()
            configure(settings.log_level)
            preflight.require(ROLES, settings)
            sys.exit(Supervisor(settings.home, settings.metrics_port).run())
        run(next(role for role in ROLES if role == sys.argv[1]))


if __name__ == "__main__":
    main()
