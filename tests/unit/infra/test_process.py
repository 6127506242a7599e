"""Servers are started once, found again, and nothing else is ever killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local import process
from infra.local.process import (
    Service,
    StackError,
    find,
    process_identity,
    start,
    stop,
    wait_until,
)

SLEEP = ("sleep", "60")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services of one pidfile, and leave none of them running."""

    def make(
        *argv: str, is_ready: Callable[[], bool] = lambda: True, stop_timeout_s: float = 5
    ) -> Service:
        return Service(
            name="sleeper",
            argv=argv or SLEEP,
            pidfile=tmp_path / "run" / "sleeper.json",
            log=tmp_path / "logs" / "sleeper.log",
            is_ready=is_ready,
            ready_timeout_s=5,
            silent_timeout_s=0.1,
            stop_timeout_s=stop_timeout_s,
        )

    yield make
    stop(make(), hard=True)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that is none of ours."""
    with subprocess.Popen(SLEEP) as process:
        yield process
        process.kill()


def has_ended(pid: int) -> bool:
    return wait_until(lambda: process_identity(pid) is None, timeout_s=5)


def test_a_started_server_is_found_by_its_pidfile(service: Callable[..., Service]) -> None:
    """The next command, another process, knows it by the file alone."""
    pid = start(service())

    assert find(service().pidfile) == pid


def test_starting_a_healthy_server_again_leaves_it_alone(service: Callable[..., Service]) -> None:
    """`up` is idempotent."""
    assert start(service()) == start(service())


def test_stopping_ends_the_process_and_removes_the_pidfile(
    service: Callable[..., Service],
) -> None:
    """A second stop finds nothing to do."""
    pid = start(service())

    assert stop(service())
    assert has_ended(pid)
    assert not service().pidfile.exists()
    assert not stop(service())


@pytest.mark.parametrize(("hard", "by"), [(False, signal.SIGTERM), (True, signal.SIGKILL)])
def test_a_hard_stop_kills(service: Callable[..., Service], *, hard: bool, by: int) -> None:
    """The status of our own child tells which signal ended it."""
    start(service())
    child = process._children[-1]

    stop(service(), hard=hard)

    assert child.returncode == -by
    assert child not in process._children


def test_a_server_deaf_to_sigterm_is_killed(service: Callable[..., Service]) -> None:
    """After `stop_timeout_s`, not never."""
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    stubborn = service(sys.executable, "-c", deaf, stop_timeout_s=0.2)
    pid = start(stubborn)
    # It prints once it is deaf.
    wait_until(lambda: bool(stubborn.log.read_text()), timeout_s=5)

    assert stop(stubborn)
    assert has_ended(pid)


def test_a_recycled_pid_is_not_killed(
    service: Callable[..., Service], stranger: subprocess.Popen[bytes]
) -> None:
    """The pid in the file lives, but its former holder started a tick earlier."""
    boot, _, ticks = (process_identity(stranger.pid) or "").rpartition("/")
    service().pidfile.parent.mkdir()
    former = {"pid": stranger.pid, "identity": f"{boot}/{int(ticks) - 1}"}
    service().pidfile.write_text(json.dumps(former))

    assert find(service().pidfile) is None
    assert not stop(service())
    assert stranger.poll() is None


def test_a_pid_of_an_earlier_boot_is_not_killed(
    service: Callable[..., Service], stranger: subprocess.Popen[bytes]
) -> None:
    """Same pid and same ticks since boot, but of another boot."""
    identity = process_identity(stranger.pid)
    assert identity
    earlier = "00000000-0000-0000-0000-000000000000/" + identity.rpartition("/")[2]
    service().pidfile.parent.mkdir()
    service().pidfile.write_text(json.dumps({"pid": stranger.pid, "identity": earlier}))

    assert not stop(service())
    assert stranger.poll() is None


def test_a_silent_survivor_is_replaced(service: Callable[..., Service]) -> None:
    """Left over from a crash: it runs, but does not answer."""
    survivor = start(service())

    pid = start(service(is_ready=lambda: process_identity(survivor) is None))

    assert pid != survivor
    assert find(service().pidfile) == pid


def test_a_dead_server_is_started_again(service: Callable[..., Service]) -> None:
    """A zombie counts as dead: nobody may be there to reap it."""
    first = start(service())
    os.kill(first, signal.SIGKILL)
    assert has_ended(first)

    assert start(service()) != first


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_damaged_pidfile_names_nothing(service: Callable[..., Service], text: str) -> None:
    """A crash, or a full disk, may leave half a file."""
    service().pidfile.parent.mkdir()
    service().pidfile.write_text(text)

    assert find(service().pidfile) is None


def test_a_server_that_exits_is_reported_with_its_last_words(
    service: Callable[..., Service],
) -> None:
    """The message must be enough to know what to do."""
    failing = service("sh", "-c", "echo no such disk >&2; exit 3", is_ready=lambda: False)

    with pytest.raises(StackError, match=r"(?s)sleeper exited with status 3.*no such disk"):
        start(failing)
    assert not failing.pidfile.exists()


def test_the_last_words_of_an_earlier_start_are_not_repeated(
    service: Callable[..., Service],
) -> None:
    """A log is kept between starts; only this start's part explains its end."""
    failing = service("sh", "-c", "exit 3", is_ready=lambda: False)
    failing.log.parent.mkdir()
    failing.log.write_text("an old grievance")

    with pytest.raises(StackError) as caught:
        start(failing)
    assert "grievance" not in str(caught.value)


def test_a_program_that_is_not_there_is_reported(service: Callable[..., Service]) -> None:
    """By name, not by traceback."""
    with pytest.raises(StackError, match="sleeper cannot be started"):
        start(service("no-such-program-anywhere"))


def test_the_identity_of_a_process_does_not_change() -> None:
    """And a pid that nobody has, has none."""
    assert process_identity(os.getpid()) == process_identity(os.getpid())
    assert process_identity(2**22 + 1) is None
