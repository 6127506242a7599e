"""F17: workers whose clocks are ten minutes off, either way, and jump while ticks flow."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fault.conftest import MakeTrial
from tests.fault.trial import RATE, WORKERS
from tests.live.world import Worker, World

pytestmark = [pytest.mark.fault, pytest.mark.timeout(300)]

SKEW_S = 600
FLOW_S = 8
BETWEEN_JUMPS_S = 2


class WrongClock:
    """What time it is for one worker, told by libfaketime.

    Args:
        folder: For the file that says how much its clock is off.
        name: Of the file.
        off_s: At first.
        libraries: What tells the time.
    """

    def __init__(self, folder: Path, name: str, off_s: int, libraries: list[Path]) -> None:
        self._file = folder / f"{name}.clock"
        self._libraries = libraries
        self.jump(off_s)

    def jump(self, off_s: int) -> None:
        """Be off by so many seconds from now on."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{off_s:+d}\n")
        partial.replace(self._file)

    def settings(self) -> dict[str, str]:
        """Return the environment of a process that has this clock."""
        return {
            "LD_PRELOAD": ":".join(map(str, self._libraries)),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            # Real clocks that jump leave the monotonic one alone.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def libraries(tmp_path: Path) -> list[Path]:
    """Return libfaketime, and what it does not know of."""
    assert shutil.which("faketime"), "a wrong clock takes Debian's package faketime"
    assert shutil.which("cc"), "a wrong clock takes Debian's packages gcc and libc6-dev"
    waits = tmp_path / "c11_waits.so"
    source = Path(__file__).with_name("c11_waits.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(waits), str(source)], check=True)
    return [waits, next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))]


def started(world: World, clocks: dict[str, WrongClock]) -> list[Worker]:
    workers = [world.start(role, **clocks[role].settings()) for role in WORKERS]
    for worker in workers:
        worker.wait_ready()
    return workers


def test_clocks_that_are_wrong_and_jump_change_nothing(
    make_trial: MakeTrial, libraries: list[Path], tmp_path: Path
) -> None:
    """Compute goes from +10 to -10 minutes and back, hot the other way, warm in and out."""
    trial = make_trial()
    offs = {"compute": SKEW_S, "hot": -SKEW_S, "warm": 0}
    clocks = {role: WrongClock(tmp_path, role, off_s, libraries) for role, off_s in offs.items()}
    workers = started(trial.world, clocks)
    pairs = trial.ticks(FLOW_S * RATE)
    with trial.flow(pairs) as flow:
        for jump in range(1, FLOW_S // BETWEEN_JUMPS_S):
            flow.wait(jump * BETWEEN_JUMPS_S * RATE)
            for role, off_s in offs.items():
                clocks[role].jump(off_s - (jump % 2) * (2 * off_s or SKEW_S))
    trial.line.note(skew_s=SKEW_S, jumps=FLOW_S // BETWEEN_JUMPS_S - 1)
    trial.judge(replay=False)

    assert [worker.process.poll() for worker in workers] == [None] * len(workers)
