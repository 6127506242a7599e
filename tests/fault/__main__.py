"""The whole fault suite, again and again with other seeds: ``python -m tests.fault --rounds 3``.

Prints a Markdown table of all runs: for each invariant how many faults the judges found, in how
many runs. A test that failed for another reason shows as a run that did not pass. With ``--read``
nothing is run. Exit status 0 only when every run passed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.conftest import ROOT
from tests.fault.line import LOG

INVARIANTS = ("I1", "I2", "I3", "I4", "I5", "I6", "I7")
HEAD = ("fault", "runs", "passed", *INVARIANTS, "recovery s (median, max)")
SEED = "TAPELINE_FAULT_SEED"


def table(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table, a row for each case of each fault."""
    cases: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        cases[int(line["fault"][1:]), line["case"]].append(line)
    rows = [HEAD, tuple("---" for _ in HEAD)]
    rows += [_row(f"F{number} {case}", cases[number, case]) for number, case in sorted(cases)]
    return ["| " + " | ".join(row) + " |" for row in rows]


def _row(name: str, runs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    took = [run["recovery_s"] for run in runs if run["recovery_s"] is not None]
    passed = sum(run["passed"] for run in runs)
    recovery = f"{median(took):.1f}, {max(took):.1f}" if took else "-"
    judged = (_judged([run[i]["faults"] for run in runs if i in run]) for i in INVARIANTS)
    return name, str(len(runs)), str(passed), *judged, recovery


def _judged(faults: Sequence[int]) -> str:
    """Return how many faults in all, and in how many of the runs that were judged."""
    if not faults:
        return "-"
    return f"{sum(faults)} in {len(faults)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rounds, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often, each with another seed")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--log", type=Path, help="file that takes the JSON lines")
    parser.add_argument("--read", type=Path, nargs="+", help="print the table of such files")
    parser.add_argument("pytest", nargs="*", help="what to run instead of all, after --")
    options = parser.parse_args(arguments)
    if options.read:
        return _print(options.read)
    log = options.log or Path(tempfile.mkdtemp(prefix="tapeline-fault-")) / "lines.jsonl"
    statuses = [
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-m", "not slow"),
                *(options.pytest or ["tests/fault"]),
            ],
            cwd=ROOT,
            env={**os.environ, SEED: str(options.seed + turn), LOG: str(log.absolute())},
            check=False,
        ).returncode
        for turn in range(options.rounds)
    ]
    return max(_print([log]), *statuses)


def _print(logs: Iterable[Path]) -> int:
    lines = [json.loads(text) for log in logs for text in log.read_text().splitlines()]
    sys.stdout.write("\n".join(table(lines)) + "\n")
    return 0 if lines and all(line["passed"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
