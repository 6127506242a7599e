"""Workers in the background: started, found again and stopped by their pidfiles.

A pidfile holds the process's start time beside its pid, so a pid that the kernel has given to
another process is never signalled. A worker leads a session of its own; what it started is
stopped with it, also when the worker itself is gone already. Linux only.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import TapelineError

ROOT = Path(__file__).parents[2]
POLL_S = 0.05
LOG_LINES = 15

# Held, because an interpreter warns of children it forgets while they run, which is the point.
_children: list[subprocess.Popen[bytes]] = []


class WorkerFailed(TapelineError):
    """A worker ended, or was not ready in time; the message ends with its log's last lines."""


@dataclass(frozen=True)
class Background:
    """One worker process.

    Attributes:
        role: What it runs: ``compute``, ``hot``, ``warm``, ``all`` or ``api``.
        home: The data directory.
        argv: The whole command, for tests.
    """

    role: str
    home: Path
    argv: tuple[str, ...] = ()

    @property
    def pidfile(self) -> Path:
        """Who runs."""
        return self.home / "run" / f"worker-{self.role}.json"

    @property
    def ready_file(self) -> Path:
        """Written by the worker once its partitions are assigned."""
        return self.home / "run" / f"worker-{self.role}.ready"

    @property
    def log(self) -> Path:
        """Its standard output and error."""
        return self.home / "logs" / f"worker-{self.role}.log"

    def pid(self) -> int | None:
        """Return its pid if it runs."""
        pid, identity = self._recorded()
        return pid if pid and _identity(pid) == identity else None

    def start(self, env: Mapping[str, str], ready_within_s: float = 60.0) -> int:
        """Start it unless it runs, wait until it is ready, and return its pid.

        Raises:
            WorkerFailed: It ended or did not get ready.
        """
        running = self.pid()
        if running is not None:
            return self._await_ready(running, ready_within_s, 0, lambda: self.pid() is None)
        self.stop()  # what a worker that was killed has left behind
        for folder in (self.pidfile.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            begin = log.tell()
            child = subprocess.Popen(  # noqa: S603 - our own program
                self.argv or (sys.executable, "-m", *_module(self.role)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**env, "PYTHONPATH": _path_with_root(env)},
                start_new_session=True,
            )
        _children.append(child)
        record = {"pid": child.pid, "identity": _identity(child.pid)}
        self.pidfile.write_text(json.dumps(record))
        return self._await_ready(child.pid, ready_within_s, begin, lambda: child.poll() is not None)

    def stop(self, within_s: float = 20.0) -> bool:
        """Ask it to end, kill what is left after `within_s`; return whether anything ran."""
        group, _ = self._recorded()
        pid = self.pid()
        members = _members(group)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
        else:
            for member in members:
                os.kill(member, signal.SIGTERM)
        if not _until(lambda: not _members(group), within_s):
            for member in _members(group):
                os.kill(member, signal.SIGKILL)
            _until(lambda: not _members(group), 5.0)
        self.pidfile.unlink(missing_ok=True)
        self.ready_file.unlink(missing_ok=True)
        return bool(members)

    def _await_ready(
        self, pid: int, within_s: float, log_begin: int, has_ended: Callable[[], bool]
    ) -> int:
        if _until(lambda: self.ready_file.exists() or has_ended(), within_s) and not has_ended():
            return pid
        cause = "ended" if has_ended() else f"was not ready within {within_s:g} s"
        self.stop()
        raise WorkerFailed(
            f"worker {self.role} {cause}; its log {self.log} ends with:\n"
            f"{_tail(self.log, log_begin)}"
        )

    def _recorded(self) -> tuple[int, str]:
        try:
            record = json.loads(self.pidfile.read_text())
            return int(record["pid"]), str(record["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""


def _module(role: str) -> tuple[str, ...]:
    return ("app.serve",) if role == "api" else ("app.worker", role)


def running(home: Path) -> list[Background]:
    """Return the workers whose pidfiles are there, whether or not they still run."""
    names = sorted((home / "run").glob("worker-*.json"))
    return [Background(path.stem.removeprefix("worker-"), home) for path in names]


def _members(group: int) -> list[int]:
    """Return the live processes of a worker's process group.

    A group's number is no other process's pid while one of its members lives, and a group that
    took the number later is known by its not being a worker's.
    """
    if not group:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields and int(fields[2]) == group and fields[0] not in {"Z", "X"}:
                found.append(int(entry.name))
    return found if any(_is_ours(pid) for pid in found) else []


def _is_ours(pid: int) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"PYTHONPATH={ROOT}".encode() in environment


def _stat(pid: int) -> list[str]:
    """Return ``/proc/PID/stat`` from the state on (proc(5), field 3), empty if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The command's name, in parentheses, may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def _identity(pid: int) -> str | None:
    fields = _stat(pid)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return None if not fields or fields[0] in {"Z", "X"} else f"{boot}/{fields[19]}"


def _path_with_root(env: Mapping[str, str]) -> str:
    """Return a PYTHONPATH that begins with this source tree: it runs uninstalled, too."""
    return os.pathsep.join(part for part in (str(ROOT), env.get("PYTHONPATH", "")) if part)


def _until(claim: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not (answer := claim()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return answer


def _tail(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(max(begin, log.stat().st_size - 8192))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LOG_LINES:])
