"""Workers in the background, with small programs of our own in their place."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.background import Background, WorkerFailed, running

READY = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('now');"
SLEEP = "import time; time.sleep(60)"


def worker(home: Path, program: str) -> Background:
    ready = Background("all", home).ready_file
    return Background("all", home, (sys.executable, "-c", program, str(ready)))


def wait_for(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_worker_is_started_once_and_stopped(tmp_path: Path) -> None:
    ours = worker(tmp_path, READY + SLEEP)
    pid = ours.start(os.environ)
    try:
        assert ours.start(os.environ) == pid
        assert [(each.role, each.pid()) for each in running(tmp_path)] == [("all", pid)]
    finally:
        assert ours.stop()

    assert not is_alive(pid)
    assert running(tmp_path) == []
    assert not ours.ready_file.exists()
    assert not ours.stop()


def test_a_worker_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match=r"worker all ended; (.|\n)*no partition for you"):
        worker(tmp_path, "raise SystemExit('no partition for you')").start(os.environ)

    assert running(tmp_path) == []


def test_a_worker_that_does_not_get_ready_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(WorkerFailed, match=r"was not ready within 0\.5 s"):
        worker(tmp_path, SLEEP).start(os.environ, ready_within_s=0.5)

    assert running(tmp_path) == []


def test_a_worker_that_will_not_end_is_killed(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    ours = worker(tmp_path, deaf + READY + SLEEP)
    pid = ours.start(os.environ)

    assert ours.stop(within_s=0.3)
    assert not is_alive(pid)


def test_what_a_killed_worker_started_is_stopped_too(tmp_path: Path) -> None:
    child = f"import subprocess; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]);"
    ours = worker(tmp_path, "import sys;" + child + READY + SLEEP)
    pid = ours.start(os.environ)
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    orphan = int(listed[0])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ours.pid() is None)

    assert ours.stop()
    wait_for(lambda: not is_alive(orphan))  # its memory is gone a moment before it is


def test_a_pid_that_was_given_to_another_process_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True) as stranger:
        try:
            ours = Background("hot", tmp_path)
            ours.pidfile.parent.mkdir()
            ours.pidfile.write_text(f'{{"pid": {stranger.pid}, "identity": "another boot/1"}}')

            assert ours.pid() is None
            assert not ours.stop()
            assert stranger.poll() is None
        finally:
            stranger.kill()
