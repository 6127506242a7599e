"""Start, find and stop one server process, surviving crashes of either side.

A pidfile holds the process's start time beside its pid, and signals go through a pidfd
checked against it: a pid that the kernel gave to another process is never touched.
Linux only (``/proc``, pidfd).
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOG_LIMIT_BYTES = 16 * 2**20
"""A log longer than this is set aside at the next start; one older log is kept."""

POLL_S = 0.05

# Held, because an interpreter warns of children it forgets while they run, which is the point.
_children: list[subprocess.Popen[bytes]] = []


class StackError(Exception):
    """The local stack cannot do what was asked; the message says what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """One server: how it is started, asked for its health, and stopped."""

    name: str
    argv: Sequence[str]
    pidfile: Path
    log: Path
    is_ready: Callable[[], bool]
    """Whether it answers now; takes at most a second or two, raises nothing."""
    env: Mapping[str, str] | None = None
    user: str | None = None
    """System user to run as; None keeps ours."""
    stop_signal: signal.Signals = signal.SIGTERM
    hard_signal: signal.Signals = signal.SIGKILL
    ready_timeout_s: float = 60.0
    silent_timeout_s: float = 10.0
    """How long one that runs already may stay silent before it is replaced."""
    stop_timeout_s: float = 20.0


def start(service: Service) -> int:
    """Start `service` unless it is healthy already, and return its pid once it answers.

    One that runs but stays silent for `silent_timeout_s` is replaced.

    Raises:
        StackError: It exited, or did not answer within `ready_timeout_s`; the message ends
            with the last lines of its log.
    """
    pid = find(service.pidfile)
    if pid is not None:
        if wait_until(service.is_ready, timeout_s=service.silent_timeout_s):
            return pid
        stop(service, hard=True)
    service.log.parent.mkdir(parents=True, exist_ok=True)
    service.pidfile.parent.mkdir(parents=True, exist_ok=True)
    _rotate(service.log)
    log_start = service.log.stat().st_size if service.log.exists() else 0
    child = _spawn(service)
    ready = wait_until(
        lambda: service.is_ready() or child.poll() is not None, timeout_s=service.ready_timeout_s
    )
    if ready and child.poll() is None:
        return child.pid
    cause = f"exited with status {child.returncode}"
    if child.poll() is None:
        cause = f"did not answer within {service.ready_timeout_s:g} s"
        stop(service, hard=True)
    service.pidfile.unlink(missing_ok=True)
    raise StackError(
        f"{service.name} {cause}; its log {service.log} ends with:\n{_tail(service.log, log_start)}"
    )


def stop(service: Service, *, hard: bool = False) -> bool:
    """Stop what the pidfile names, and return whether anything had to be stopped.

    Asks with `stop_signal` (`hard_signal` if `hard`), and kills what has not gone after
    `stop_timeout_s`.

    Raises:
        StackError: It survives SIGKILL, or belongs to another user.
    """
    pidfd = _open(service.pidfile)
    if pidfd is None:
        service.pidfile.unlink(missing_ok=True)
        return False
    first = service.hard_signal if hard else service.stop_signal
    try:
        for number in (first, signal.SIGKILL):
            signal.pidfd_send_signal(pidfd, number)
            if _has_gone(pidfd, service.stop_timeout_s):
                break
        else:
            raise StackError(f"{service.name} survives SIGKILL")
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise StackError(f"{service.name} belongs to another user: stop it as that user") from error
    finally:
        os.close(pidfd)
    service.pidfile.unlink(missing_ok=True)
    _children[:] = [child for child in _children if child.poll() is None]
    return True


def find(pidfile: Path) -> int | None:
    """Return the pid of the live process that `pidfile` names, or None."""
    try:
        recorded = json.loads(pidfile.read_text())
        pid, identity = int(recorded["pid"]), recorded["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if identity == process_identity(pid) else None


def process_identity(pid: int) -> str | None:
    """Return what names the process `pid` for all time, or None if it is gone or a zombie.

    Boot id and start time in clock ticks since boot (proc(5), ``/proc/PID/stat`` field 22).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The command's name, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else f"{boot}/{fields[19]}"


def wait_until(claim: Callable[[], bool], *, timeout_s: float) -> bool:
    """Ask `claim` until it holds or the time is up; return its last answer."""
    deadline = time.monotonic() + timeout_s
    while not (answer := claim()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return answer


def _spawn(service: Service) -> subprocess.Popen[bytes]:
    with service.log.open("ab") as log:
        try:
            child = subprocess.Popen(
                service.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=service.env,
                user=service.user,
                group=service.user,
                extra_groups=[] if service.user else None,
                # Its own session: Ctrl-C in the terminal that started it must not reach it.
                start_new_session=True,
            )
        except OSError as error:
            raise StackError(f"{service.name} cannot be started: {error}") from error
    _children.append(child)
    record = {"pid": child.pid, "identity": process_identity(child.pid)}
    partial = service.pidfile.with_suffix(".partial")
    partial.write_text(json.dumps(record))
    partial.replace(service.pidfile)
    return child


def _open(pidfile: Path) -> int | None:
    """Return a pidfd of the process that `pidfile` names, or None if it is gone."""
    pid = find(pidfile)
    if pid is None:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # The pid may have been given away between the look and the open; from here it cannot.
    if find(pidfile) != pid:
        os.close(pidfd)
        return None
    return pidfd


def _has_gone(pidfd: int, timeout_s: float) -> bool:
    # A pidfd becomes readable when its process ends, child or not.
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(".old.log"))


def _tail(log: Path, start: int, lines: int = 12) -> str:
    """Return the last lines that were written to `log` from byte `start` on."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
