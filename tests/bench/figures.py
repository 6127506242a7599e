"""Figures of several rounds: median and range, as a table and as JSON."""

import os
import platform
from collections.abc import Sequence
from statistics import median
from typing import Any

from app.cli.terminal import note, table
from tests.bench.systems import Run

COLUMNS = (
    "system", "ticks", "ticks/s", "range", "of bare", "range",
    "CPU s / million", "peak MB", "rounds",
)  # fmt: skip


def figures(runs: Sequence[Run], bare: Sequence[Run]) -> dict[str, Any]:
    """Return the figures of one system; `bare` are the bare consumer's runs, round by round."""
    rates = [run.ticks_per_s for run in runs]
    ratios = [run.ticks_per_s / own.ticks_per_s for run, own in zip(runs, bare, strict=True)]
    to_commit = [run.ticks / run.to_commit_s for run in runs if run.to_commit_s is not None]
    found = {"ticks_per_s_to_commit": round(median(to_commit))} if to_commit else {}
    return {
        "ticks": runs[0].ticks,
        "ticks_per_s": round(median(rates)),
        "ticks_per_s_range": [round(min(rates)), round(max(rates))],
        "ratio_to_bare_consumer": round(median(ratios), 4),
        "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "cpu_s_per_million": round(median(run.cpu_s_per_million for run in runs), 2),
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "rounds": len(runs),
        **found,
    }


def show(systems: dict[str, dict[str, Any]]) -> None:
    """Print the table for people."""
    table(COLUMNS, [row(name, each) for name, each in systems.items()])


def row(name: str, each: dict[str, Any]) -> tuple[object, ...]:
    """Return the cells of one system, by `COLUMNS`."""
    return (
        name,
        f"{each['ticks']:,}",
        f"{each['ticks_per_s']:,}",
        "-".join(f"{rate:,}" for rate in each["ticks_per_s_range"]),
        f"{each['ratio_to_bare_consumer']:.3f}",
        "-".join(f"{ratio:.3f}" for ratio in each["ratio_range"]),
        f"{each['cpu_s_per_million']:,.2f}",
        f"{each['peak_mb']:,}",
        each["rounds"],
    )


def told(name: str, run: Run) -> None:
    """Say on standard error what one run gave."""
    note(
        f"  {name}: {run.ticks_per_s:,.0f} ticks/s, "
        f"{run.cpu_s_per_million:,.2f} CPU s a million, {run.peak_mb:,.0f} MB"
    )


def machine() -> dict[str, Any]:
    """Return what it was measured on."""
    with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - one line of /proc
        memory_gb = int(next(lines).split()[1]) / 1e6
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory_gb),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }
