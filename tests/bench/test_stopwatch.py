"""What the benches' figures rest on: exclusive times, and rows that name what is there."""

import subprocess
import sys
import time

import pytest

from tests.bench.ground import BenchFailed
from tests.bench.stages import PARTS
from tests.bench.stopwatch import Stopwatch, Timed, missing_of
from tests.bench.watch import Watch


class Work:
    """An outer function that calls an inner one."""

    def outer(self, clock: list[float]) -> None:
        """Take 3 s and what the inner one takes."""
        clock[0] += 1.0
        self.inner(clock)
        clock[0] += 2.0

    def inner(self, clock: list[float]) -> None:
        """Take 10 s."""
        clock[0] += 10.0


def test_every_row_of_the_stages_names_a_function() -> None:
    assert missing_of(PARTS) == []


def test_a_row_that_names_nothing_is_refused() -> None:
    with (
        pytest.raises(BenchFailed, match=r"Work\.gone"),
        Stopwatch().watching([Timed("gone", Work, "gone")]),
    ):
        pass


def test_the_time_of_an_inner_function_is_not_in_the_outer_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    #  clock:  0   1          11   13
    #  outer:  [---           -----)
    #  inner:      [----------)
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    watch = Stopwatch()
    was = Work.outer

    with watch.watching([Timed("outer", Work, "outer"), Timed("inner", Work, "inner")]):
        Work().outer(clock)

    assert watch.wall_s == {"outer": 3.0, "inner": 10.0}
    assert Work.outer is was


def test_the_cpu_of_a_child_process_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        began = time.time()
        watch = Watch(process.pid)
        process.stdout.readline()
        while watch.cpu_s(began, time.time()) < 0.4 and time.time() - began < 30:
            time.sleep(0.05)
        watch.stop()

        assert 0.4 <= watch.cpu_s(began, time.time()) < 2
        assert watch.peak_mb > 5
        process.stdin.close()
