"""``tapeline bench peers``: other stream processors at Tapeline's job, on one topic of ticks."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from app import topics
from app.cli.terminal import json_line, line, note, table
from app.errors import ConfigError, TapelineError
from infra.local.home import Home
from schemas.registry import built_in, current
from tests.bench.engine import BARE, TAPELINE, about
from tests.bench.figures import COLUMNS, figures, row, told
from tests.bench.ground import Ground, ground
from tests.bench.installed import PEERS, NotInstalled, classpath, environment, java
from tests.bench.one_schema import registry
from tests.bench.peer_bars import Checked, keyed
from tests.bench.picture import picture
from tests.bench.rival import Outcome, Rival, Task, compete, forget_topics
from tests.bench.systems import peer, tapeline
from tests.bench.ticks import Bars, expected_bars, publish

FLINK_OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.net", "java.io", "java.nio", "sun.nio.ch",
                    "java.lang.reflect", "java.text", "java.time", "java.util",
                    "java.util.concurrent", "java.util.concurrent.atomic",
                    "java.util.concurrent.locks")
]  # fmt: skip
"""As Flink's own configuration of a JVM has it."""


def of_ours(program: str, _: Home) -> list[str]:
    """Return the command of a program that our own environment runs."""
    return [sys.executable, str(PEERS / f"{program}.py")]


def of_python(name: str, home: Home) -> list[str]:
    """Return the command of ``peers/NAME.py`` in the environment of ``peers/NAME.txt``."""
    return [str(environment(home, name)), str(PEERS / f"{name}.py")]


def of_java(name: str, program: str, options: list[str], home: Home) -> list[str]:
    """Return the command of a class of ``peers/NAME``."""
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"
    return [java(), *options, quiet, "-cp", classpath(home, name), program]


STREAMS = "kafka_streams"
RIVALS = (
    Rival("bare-aiokafka", "bare aiokafka", partial(of_ours, "bare_aiokafka"), writes_bars=False),
    Rival("bare-java", "bare Java consumer", partial(of_java, STREAMS, "Bare", ["-Xmx1g"]),
          writes_bars=False),
    Rival("faust", "plain Faust, table", partial(of_ours, "faust_table"), 50_000),
    Rival("faust-windowed", "plain Faust, windowed", partial(of_ours, "faust_windowed"), 50_000),
    Rival("quixstreams", "quixstreams", partial(of_python, "quix_bars"), 250_000),
    Rival("bytewax", "bytewax", partial(of_python, "bytewax_bars"), 1_000_000),
    Rival("pathway", "pathway", partial(of_python, "pathway_bars"), 1_000_000,
          sends_open=True),
    Rival("kafka-streams", "Kafka Streams, 1 thread",
          partial(of_java, STREAMS, "Bars", ["-Xmx1g"]), job={"threads": 1}, sends_open=True),
    Rival("kafka-streams-2", "Kafka Streams, 2 threads",
          partial(of_java, STREAMS, "Bars", ["-Xmx1g"]), job={"threads": 2}, sends_open=True),
    Rival("flink", "Flink SQL, parallelism 2",
          partial(of_java, "flink", "Bars", ["-Xmx2g", *FLINK_OPENS])),
)  # fmt: skip
OURS = {"tapeline": 1, "tapeline-2": 2}
"""Tapeline by the number of its workers."""
SECOND_HALF = "{}, second half"


class Options(NamedTuple):
    """What the command line says; see its help."""

    ticks: int
    symbols: int
    rounds: int
    event_rate: float
    only: tuple[str, ...]
    ticks_of: tuple[str, ...]


def peers(options: Options, file: Path | None, *, require: bool, as_json: bool) -> int:
    """Measure in interleaved rounds on one topic, print, and return the exit status."""
    wanted = chosen(options)
    commands, reasons = installed(Home.from_env(), wanted)
    with ground("peers") as here:
        note(f"publishing {options.ticks:,} ticks of {options.symbols} symbols")
        sent = publish(
            here, options.ticks, options.symbols, topics.TICKS, trade_us=1e6 / options.event_rate
        )
        bars = expected_bars(sent.ticks, here.settings.timeframes)
        described = about(here, options.ticks, options.symbols, sent.bytes_per_tick)
        tick = topics.TICKS.schema
        with registry(built_in().id_of(tick), current(tick)) as url:
            task = Task(options.ticks, keyed(bars), url)
            systems: dict[str, Callable[[str], Outcome]] = {
                BARE: lambda run: Outcome(peer(here, "bare_confluent", options.ticks, run)),
                **{
                    rival.name: partial(compete, here, rival, commands[rival.key], task)
                    for rival in wanted
                    if rival.key in commands
                },
                **{
                    _ours(workers): partial(_tapeline, here, bars, workers)
                    for key, workers in OURS.items()
                    if not options.only or key in options.only
                },
            }
            outcomes, failures = measured(systems, options.rounds)
        forget_topics(here)
    reasons |= failures
    described["event_rate"] = options.event_rate
    report(outcomes, reasons, described, file, as_json=as_json)
    return 1 if require and reasons else 0


def chosen(options: Options) -> list[Rival]:
    """Return the systems that the options name, with the ticks that they give them.

    Raises:
        ConfigError: They name one that there is not.
    """
    keys = [rival.key for rival in RIVALS]
    given = dict(text.partition("=")[::2] for text in options.ticks_of)
    for key in [*options.only, *given]:
        if key not in [*keys, *OURS]:
            raise ConfigError(f"--only and --ticks-of take {', '.join([*keys, *OURS])}; was {key}")
    for key, ticks in given.items():
        if not ticks.isdecimal() or int(ticks) < 1000:
            raise ConfigError(f"--ticks-of must be NAME=TICKS, at least 1000, was {key}={ticks}")
    return [
        replace(rival, ticks=int(given[rival.key])) if rival.key in given else rival
        for rival in RIVALS
        if not options.only or rival.key in options.only
    ]


def installed(home: Home, rivals: list[Rival]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the commands by key, and the reasons by name of those that do not install."""
    commands, reasons = {}, {}
    for rival in rivals:
        try:
            commands[rival.key] = rival.command(home)
        except NotInstalled as error:
            note(f"{rival.name} is left out: {error}")
            reasons[rival.name] = f"not installed: {error}"
    return commands, reasons


def measured(
    systems: Mapping[str, Callable[[str], Outcome]], rounds: int
) -> tuple[dict[str, list[Outcome]], dict[str, str]]:
    """Run every system once a round; one that fails is left out from then on, with its reason."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in systems}
    reasons: dict[str, str] = {}
    for n in range(rounds):
        note(f"round {n + 1} of {rounds}")
        for index, (name, run) in enumerate(systems.items()):
            if name in reasons:
                continue
            try:
                outcome = run(f"round{n}-{index}")
            except TapelineError as error:
                if name == BARE:
                    raise
                note(f"  {name} failed: {error}")
                reasons[name] = f"failed: {str(error).splitlines()[0]}"
                del outcomes[name]
                continue
            outcomes[name].append(outcome)
            told(name, outcome.run)
            if outcome.checked:
                note(f"    bars: {outcome.checked.text} {outcome.checked.example}")
    return outcomes, reasons


def report(
    outcomes: Mapping[str, list[Outcome]],
    reasons: Mapping[str, str],
    described: dict[str, Any],
    file: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print the table and, if asked for, the picture and a last line that holds everything."""
    bare = [each.run for each in outcomes[BARE]]
    systems: dict[str, dict[str, Any]] = {}
    for name, each in outcomes.items():
        systems[name] = {**figures([o.run for o in each], bare), **_bars(each)}
        halves = [o.second_half for o in each if o.second_half]
        if halves:
            systems[SECOND_HALF.format(name)] = {**figures(halves, bare), "bars": ""}
    table((*COLUMNS, "bars"), [(*row(name, each), each["bars"]) for name, each in systems.items()])
    for name, reason in reasons.items():
        line(f"{name}: {reason}")
    line(
        "\nRates from the first tick or block taken to the last tick done, start-up excluded; CPU "
        "of the whole\nprocess tree; bars: those certain to be closed in the worst run, beside an "
        "independent recompute."
    )
    if file:
        cores, ticks = described["machine"]["cores"], described["ticks"]
        text = f"up to {ticks:,} ticks, {described['symbols']} symbols, {cores} cores"
        limits = [name for name in systems if name.startswith("bare ")]
        file.write_text(picture(systems, limits, list(map(_ours, OURS.values())), text))
    if as_json:
        json_line({**described, "systems": systems, "left_out": dict(reasons)})


def _bars(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what was found of the bars in the worst run."""
    checked = [each.checked for each in outcomes if each.checked]
    if not checked:
        return {"bars": ""}
    worst = max(checked, key=lambda each: (each.wrong, -each.bars))
    return {
        "bars": worst.text,
        "bars_checked": worst.bars,
        "bars_wrong": worst.wrong,
        "ticks_lost": worst.lost,
    }


def _ours(workers: int) -> str:
    return TAPELINE if workers == 1 else f"{TAPELINE}, {workers} workers"


def _tapeline(here: Ground, bars: Bars, workers: int, run: str) -> Outcome:
    try:
        # It refuses a run in which any bar of any timeframe is missing or differs.
        done = tapeline(here, bars, run, workers=workers)
    finally:
        here.stop_workers()
    return Outcome(done, checked=Checked(len(bars.expected)))
