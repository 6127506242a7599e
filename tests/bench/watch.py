"""CPU and memory of a process and its children, from /proc, while it runs."""

import os
import threading
import time
from pathlib import Path

import numpy as np

EVERY_S = 0.05
_HERTZ = os.sysconf("SC_CLK_TCK")


class Watch:
    """Samples a process tree until it is stopped.

    Args:
        pid: The root of the tree.

    Attributes:
        peak_mb: Largest sum of the tree's own peaks of resident memory, MB.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._pid = pid
        self._samples: list[tuple[float, float]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cpu_s(self, start: float, end: float) -> float:
        """Return the CPU seconds used between two moments of `time.time`."""
        at, used = zip(*self._samples, strict=True)
        low, high = np.interp([start, end], at, used)
        return float(high - low)

    def stop(self) -> None:
        """Stop sampling."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            pids = tree(self._pid)
            # A tree that lost a member would seem to have given its time back.
            used = sum(_cpu_s(pid) for pid in pids)
            if pids and used >= (self._samples[-1][1] if self._samples else 0.0):
                self._samples.append((time.time(), used))
                self.peak_mb = max(self.peak_mb, sum(_peak_mb(pid) for pid in pids))
            self._done.wait(EVERY_S)


def tree(pid: int) -> list[int]:
    """Return a process and all below it, those that still run."""
    found = [pid] if Path(f"/proc/{pid}").exists() else []
    for parent in found:
        for task in _listed(Path(f"/proc/{parent}/task")):
            found += [int(child) for child in _text(task / "children").split()]
    return found


def cpu_s_of(command: str) -> float:
    """Return the CPU seconds so far of every process on this machine with that command name."""
    total = 0.0
    for entry in _listed(Path("/proc")):
        if entry.name.isdecimal() and _text(entry / "comm").strip() == command:
            total += _cpu_s(int(entry.name))
    return total


def machine_cpu_s() -> tuple[float, float]:
    """Return the CPU seconds that this machine was busy so far, and those of all its cores."""
    fields = [int(n) / _HERTZ for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    idle = fields[3] + fields[4]
    return sum(fields[:8]) - idle, sum(fields[:8])


def _cpu_s(pid: int) -> float:
    # The command's name, in parentheses, may itself hold spaces and parentheses.
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(int(n) for n in fields[11:15]) / _HERTZ if fields else 0.0


def _peak_mb(pid: int) -> float:
    for line in _text(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
