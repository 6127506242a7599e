"""What a fault test leaves behind: one JSON line with the numbers of I1 to I7.

    {"fault": "F5", "case": "...", "seed": 1, "passed": true,
     "I1": {"faults": 0, "published": 41210, ...}, ..., "recovery_s": 3.1, "seconds": 17.0}

`recovery_s` is how long it took, after the fault was healed and the last tick was sent, until all
groups had committed their logs' ends. An invariant that a test does not judge is not in its line.
"""

import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.live.verifier import Verdict

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7")
LOG = "TAPELINE_FAULT_LOG"
"""Environment variable: a file to which every line is appended."""

written: list[str] = []
"""The lines of this run, in order."""


class Line:
    """The line of one test.

    Args:
        fault: Its name, such as ``F5``.
        case: Which of the fault's tests.
        seed: Of all that was random.
    """

    def __init__(self, fault: str, case: str, seed: int) -> None:
        self._began = time.monotonic()
        self._names = {"fault": fault, "case": case, "seed": seed}
        self._numbers: dict[str, dict[str, Any]] = {}
        self._more: dict[str, Any] = {}
        self.recovery_s: float | None = None

    def recovered(self, seconds: float) -> None:
        """Note I5: all groups were at the logs' ends after so long; the longest time counts."""
        self.recovery_s = max(self.recovery_s or 0.0, seconds)
        self.judged("I5", ())

    def take(self, verdict: Verdict) -> None:
        """Note what the verifier found; I3 takes a replay, and is not its to judge."""
        for name, numbers in verdict.numbers.items():
            if name in INVARIANTS and name != "I3":
                self.judged(name, (f for f in verdict.faults if f.startswith(name)), **numbers)

    def judged(self, invariant: str, faults: Iterable[str], **numbers: object) -> None:
        """Note what a check of one invariant found; faults of several checks add up."""
        assert invariant in INVARIANTS, invariant
        known = self._numbers.get(invariant, {"faults": 0})
        count = known["faults"] + len(list(faults))
        self._numbers[invariant] = {**known, **numbers, "faults": count}

    def note(self, **more: object) -> None:
        """Note other figures."""
        self._more.update(more)

    def write(self, *, passed: bool) -> None:
        """End the test's time, and put the line where it is read."""
        recovery_s = None if self.recovery_s is None else round(self.recovery_s, 2)
        text = json.dumps(
            {
                **self._names,
                "passed": passed,
                **{name: self._numbers[name] for name in INVARIANTS if name in self._numbers},
                "recovery_s": recovery_s,
                "seconds": round(time.monotonic() - self._began, 1),
                **self._more,
            }
        )
        written.append(text)
        if os.environ.get(LOG):
            with Path(os.environ[LOG]).open("a") as log:
                log.write(text + "\n")


def fault_of(file: str) -> str:
    """Return the fault that a test file is about: ``test_f07_cut_off.py`` is F7."""
    found = re.fullmatch(r"test_f(\d+)_\w+", Path(file).stem)
    assert found, f"a file of the fault suite must be test_fNN_NAME.py, was {file}"
    return f"F{int(found[1])}"
