"""``tapeline bench engine``: one compute worker beside bare consumers and plain Faust."""

from collections.abc import Callable
from functools import partial
from typing import Any

from app import topics
from app.cli.terminal import json_line, line, note
from tests.bench.figures import figures, machine, show, told
from tests.bench.ground import Ground, ground
from tests.bench.systems import Run, peer, tapeline
from tests.bench.ticks import expected_bars, publish

BARE = "bare confluent-kafka"
TAPELINE = "tapeline"


def engine(  # noqa: PLR0913 - the options of the command
    ticks: int, symbols: int, rounds: int, faust_ticks: int, workers: int, *, as_json: bool
) -> None:
    """Measure in interleaved rounds on one topic, then print."""
    with ground("engine") as here:
        note(f"publishing {ticks:,} ticks of {symbols} symbols")
        sent = publish(here, ticks, symbols, topics.TICKS)
        bars = expected_bars(sent.ticks, here.settings.timeframes)
        systems: dict[str, Callable[[str], Run]] = {
            BARE: partial(peer, here, "bare_confluent", ticks),
            "bare aiokafka": partial(peer, here, "bare_aiokafka", ticks),
            "plain Faust, table": partial(peer, here, "faust_table", min(faust_ticks, ticks)),
            TAPELINE: partial(tapeline, here, bars),
        }
        if not faust_ticks:
            del systems["plain Faust, table"]
        if workers > 1:
            systems[f"tapeline, {workers} workers"] = partial(tapeline, here, bars, workers=workers)
        runs = measured(systems, rounds)
        described = about(here, ticks, symbols, sent.bytes_per_tick)
    report(runs, TAPELINE, described, as_json=as_json)


def measured(systems: dict[str, Callable[[str], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every system once a round."""
    runs: dict[str, list[Run]] = {name: [] for name in systems}
    for n in range(rounds):
        note(f"round {n + 1} of {rounds}")
        for index, (name, run) in enumerate(systems.items()):
            runs[name].append(run(f"round{n}-{index}"))
            told(name, runs[name][-1])
    return runs


def about(here: Ground, ticks: int, symbols: int, size: float) -> dict[str, Any]:
    """Return what was measured, and on what."""
    return {
        "ticks": ticks,
        "symbols": symbols,
        "bytes_per_tick": round(size, 1),
        "partitions": here.settings.partitions,
        "timeframes": list(here.settings.timeframes),
        "machine": machine(),
    }


def report(
    runs: dict[str, list[Run]], headline: str, described: dict[str, Any], *, as_json: bool
) -> None:
    """Print the table, and with `as_json` a last line that holds everything."""
    systems = {name: figures(each, runs[BARE]) for name, each in runs.items()}
    show(systems)
    line(
        "\nRates from the first block taken to the last tick done, start-up excluded. tapeline: to "
        "the broker's\nappend time of the last base bar; every bar of every run was equal to an "
        "independent recompute."
    )
    if as_json:
        ours = systems[headline]
        json_line(
            {
                "ticks_per_s": ours["ticks_per_s"],
                "bare_ticks_per_s": systems[BARE]["ticks_per_s"],
                "ratio_to_bare_consumer": ours["ratio_to_bare_consumer"],
                "cpu_s_per_million": ours["cpu_s_per_million"],
                **described,
                "systems": systems,
            }
        )
