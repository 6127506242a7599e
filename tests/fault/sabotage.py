"""Bugs put in on purpose, and the faults that find them: ``python -m tests.fault.sabotage``.

Each bug takes one guarantee away from a copy of the tree; the fault tests named beside it run
there, and one of them must fail. Prints a Markdown table; exit status 0 only when every bug was
found. A bug whose place has changed is an error: it would be put in nowhere, and pass.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

SEEDS = (1, 2, 3)
"""What harms at random moments may miss once."""


@dataclass(frozen=True)
class Bug:
    """A guarantee taken away.

    Attributes:
        name: What is missing.
        edits: File, text that stands there, and what stands there instead.
        faults: Tests that may find it, the likeliest first.
    """

    name: str
    edits: tuple[tuple[str, str, str], ...]
    faults: tuple[str, ...]


KILLS = "test_f01_kills.py::test_workers_killed_in_turn_leave_every_bar_exact"
ROLLING = "test_f02_rolling.py::test_a_rolling_restart_leaves_every_bar_exact"
ZOMBIE = "test_f03_zombie.py::test_what_a_zombie_does_changes_nothing"
REDIS = "test_f09_redis.py"
DUPLICATES = "test_f15_duplicates.py"

BUGS = (
    Bug(
        "a replay publishes again what its outputs hold already",
        (("agents/normalize.py", "self._ticks_through = max(self._ticks_through, published)",
          "continue"),),
        (KILLS, ROLLING),
    ),
    Bug(
        "the state's fence is removed: a restart folds again what is in the bars",
        (
            ("app/domain/builder.py", "self._width_us, self.raw_offset, uses)",
             "self._width_us, -1, uses)"),
            ("app/domain/builder.py", "_, self.offset, self.raw_offset, self.clock_us, _ = fields",
             "_, at, self.raw_offset, self.clock_us, _ = fields; self.offset = at - 500"),
        ),
        (KILLS, ROLLING),
    ),
    Bug(
        "state and offsets are saved before their outputs are out",
        (("app/engine/engine.py", "            self._emit(full=True)\n            positions",
          "            positions"),),
        (ROLLING, KILLS),
    ),
    Bug(
        "acknowledged before it is flushed: state is not written, offsets are",
        (
            ("app/engine/engine.py",
             ("            for agent, partition, rows in snapshot:\n"
             "                agent.write(partition, rows, self.publisher)\n"), ""),
            ("app/engine/agent.py", "return stage, stage.offset + 1 if stage.offset >= 0 else -1",
             "return stage, committed"),
        ),
        (KILLS, ROLLING),
    ),
    Bug(
        "no duplicate is recognised",
        (("app/domain/normalize.py", "new = pl.Series(self.seen.unseen(identities(ticks)), ",
          "self.seen.unseen(identities(ticks))\n        new = pl.Series([True] * len(ticks), "),
         ("app/domain/normalize.py", "new &= ~(self._watch.proven(ticks) & is_trade)", "pass")),
        (DUPLICATES, KILLS),
    ),
    Bug(
        "Redis takes older bars over newer ones",
        (("connectors/hot_guards.py",
          "if not held or string.sub(held, 1, 40) < string.sub(member, 1, 40) then",
          "if true then"),),
        (REDIS, f"{ZOMBIE}[hot-seed1]"),
    ),
    Bug(
        "Postgres takes older bars over newer ones, and has no fence",
        (
            ("connectors/warm_postgres.py",
             "WHERE (excluded.revision, excluded.last_offset) > (bars.revision, bars.last_offset)",
             ""),
            ("connectors/warm_fence.py", "return Fence(*(found or (0, 0)))", "return Fence(0, 0)"),
        ),
        (f"{ZOMBIE}[warm-seed1]", "test_f10_postgres.py"),
    ),
    Bug(
        "a worker that was stopped goes on writing: no lease, and a broker that takes all",
        (
            ("app/engine/lease.py", "        if age_s > HOLD_S:", "        if age_s < 0:"),
            ("app/engine/lease.py", "while self.age_s > RENEW_WITHIN_S:", "while self.age_s < 0:"),
            ("app/topics.py", "FENCE_MS = 5_000", "FENCE_MS = 99_000"),
        ),
        (f"{ZOMBIE}[compute-seed1]",),
    ),
)  # fmt: skip


@contextmanager
def broken(bug: Bug) -> Iterator[Path]:
    """Make a copy of the tree with the bug in it."""
    with tempfile.TemporaryDirectory(prefix="tapeline-sabotage-") as folder:
        tree = Path(folder) / "tree"
        listed = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            copy = tree / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy)
        for name, stands, instead in bug.edits:
            text = (tree / name).read_text()
            if text.count(stands) != 1:
                sys.exit(f"{name} must hold once what the bug replaces, was not so: {stands!r}")
            (tree / name).write_text(text.replace(stands, instead))
        yield tree


def found_by(bug: Bug, seeds: Sequence[int]) -> str | None:
    """Return the first test and seed that fail with the bug in place; None when all pass."""
    with broken(bug) as tree:
        for seed in seeds:
            for fault in bug.faults:
                test = f"tests/fault/{fault}".replace("seed1", f"seed{seed}")
                done = subprocess.run(
                    [sys.executable, "-m", "pytest", "-q", "-x", "-m", "live or fault", test],
                    cwd=tree,
                    env={**os.environ, "TAPELINE_FAULT_SEED": str(seed)},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode > 1:
                    sys.exit(
                        f"{test} could not be run:\n{done.stdout[-4000:]}{done.stderr[-2000:]}"
                    )
                if done.returncode == 1:
                    why = [line for line in done.stdout.splitlines() if line.startswith("E  ")]
                    sys.stderr.write(f"{bug.name}: {fault} seed {seed}: {' '.join(why[:2])}\n")
                    return f"{fault.partition('.py')[0].removeprefix('test_')}, seed {seed}"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Put in every bug in turn, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.sabotage", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", default="", help="bugs whose name holds this text")
    options = parser.parse_args(arguments)
    rows = []
    for bug in BUGS:
        if options.only in bug.name:
            rows.append((bug.name, found_by(bug, options.seeds)))
            sys.stderr.write(f"{rows[-1]}\n")
    sys.stdout.write("| bug | found by |\n| --- | --- |\n")
    for name, fault in rows:
        sys.stdout.write(f"| {name} | {fault or 'nothing'} |\n")
    return 0 if rows and all(fault for _, fault in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
