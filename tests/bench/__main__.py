"""``python -m tests.bench NAME``, which is what ``tapeline bench NAME`` runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.terminal import AsJson, note
from app.errors import ConfigError, TapelineError

commands = typer.Typer(
    name="tapeline bench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Ticks = Annotated[int, typer.Option(min=1000, help="How many trades.")]
Symbols = Annotated[int, typer.Option(min=1, max=10_000)]
Rounds = Annotated[int, typer.Option(min=1)]


@commands.command("engine")
def engine(  # noqa: PLR0913 - options of the command line
    ticks: Ticks = 2_000_000,
    symbols: Symbols = 50,
    rounds: Rounds = 3,
    faust_ticks: Annotated[int, typer.Option(min=0, help="For plain Faust; 0: not.")] = 20_000,
    workers: Annotated[int, typer.Option(min=1, help="Beside one: so many.")] = 1,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """One compute worker beside bare consumers and plain Faust, on the same topic."""
    from tests.bench import engine as bench  # noqa: PLC0415 - polars and Kafka only when needed

    bench.engine(ticks, symbols, rounds, faust_ticks, workers, as_json=as_json)


@commands.command("peers")
def peers(  # noqa: PLR0913 - options of the command line
    ticks: Ticks = 5_000_000,
    symbols: Symbols = 50,
    rounds: Rounds = 3,
    event_rate: Annotated[
        float, typer.Option(min=1, help="Ticks a second of event time; a minute must be over soon.")
    ] = 1_000,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this one; again for more.")
    ] = None,
    ticks_of: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=TICKS", help="It gets at most so many; again for more."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="An SVG, written here.")] = None,
    require: Annotated[bool, typer.Option("--require", help="Fail if one is left out.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Faust, quixstreams, bytewax, pathway, Kafka Streams and Flink SQL at Tapeline's job.

    Each makes one-minute bars of the same Avro ticks into a topic of its own. What they need is
    installed under TAPELINE_HOME at the first run, about 2 GB; it is no dependency of ours. NAME is
    bare-aiokafka, bare-java, faust, faust-windowed, quixstreams, bytewax, pathway, kafka-streams,
    kafka-streams-2, flink, tapeline or tapeline-2.
    """
    from tests.bench import rivals as bench  # noqa: PLC0415

    options = bench.Options(
        ticks, symbols, rounds, event_rate, tuple(only or ()), tuple(ticks_of or ())
    )
    raise typer.Exit(bench.peers(options, picture, require=require, as_json=as_json))


@commands.command("source")
def source(
    ticks: Ticks = 2_000_000,
    symbols: Symbols = 50,
    rounds: Rounds = 3,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """The engine over confluent-kafka and over aiokafka."""
    from tests.bench import source as bench  # noqa: PLC0415

    bench.source(ticks, symbols, rounds, as_json=as_json)


@commands.command("pipeline")
def pipeline(
    ticks: Ticks = 1_000_000,
    symbols: Symbols = 50,
    rate: Annotated[float, typer.Option(min=0, help="Ticks a second; 0: all at once.")] = 0,
    stage_ticks: Annotated[int, typer.Option(min=0, help="For the stages; 0: not.")] = 200_000,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """All workers from raw ticks to Redis and Postgres, and the time of each stage."""
    from tests.bench import pipeline as bench  # noqa: PLC0415

    bench.pipeline(ticks, symbols, rate, stage_ticks, as_json=as_json)


@commands.command("stages")
def stages(
    ticks: Ticks = 200_000,
    symbols: Symbols = 50,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Microseconds a tick of every stage, one after the other in one process."""
    from tests.bench import stages as bench  # noqa: PLC0415

    bench.stages(ticks, symbols, as_json=as_json)


@commands.command("moves")
def moves(
    symbols: Symbols = 1_000,
    rate: Annotated[float, typer.Option(min=100, help="Raw ticks a second.")] = 5_000,
    warm: Annotated[float, typer.Option(min=1, help="Seconds before the first move.")] = 30,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """How long partitions stand still when their worker ends."""
    from tests.bench import moves as bench  # noqa: PLC0415

    bench.moves(symbols, rate, warm, as_json=as_json)


@commands.command("clients")
def clients(  # noqa: PLR0913 - options of the command line
    count: Annotated[int, typer.Option("--clients", min=1, max=18_000)] = 10_000,
    symbols: Annotated[int, typer.Option(min=1, max=99_999)] = 1_000,
    streams: Annotated[int, typer.Option(min=1, help="Of each client.")] = 3,
    rate: Annotated[float, typer.Option(min=1, help="Quote changes a second.")] = 1_000,
    seconds: Annotated[float, typer.Option(min=1)] = 30,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """WebSocket clients of the API, 5 % of them slow, silent or half-open, beside plain FastAPI."""
    from tests.bench import clients as bench  # noqa: PLC0415

    bench.clients(count, symbols, streams, rate, seconds, as_json=as_json)


@commands.command("latency")
def latency(  # noqa: PLR0913 - options of the command line
    rates: Annotated[
        str, typer.Option(help="Ticks a second, one after the other.")
    ] = "100,1000,10000,20000",
    symbols: Symbols = 50,
    seconds: Annotated[float, typer.Option(min=1, max=900, help="Measured, at each rate.")] = 30,
    warm: Annotated[float, typer.Option(min=0, help="Seconds before, not counted.")] = 5,
    probes: Annotated[
        float, typer.Option(min=1, max=100, help="Ticks a second beside, half of them quotes.")
    ] = 100,
    page: Annotated[bool, typer.Option("--page", help="In a real Chromium, too.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """From a raw tick's producer to Kafka, Redis, Postgres, a WebSocket client and the page."""
    from tests.bench import latency as bench  # noqa: PLC0415

    bench.latency(rates, bench.Options(symbols, probes, seconds, warm, page), as_json=as_json)


@commands.command("rest")
def rest(
    clients: Annotated[int, typer.Option(min=1, help="At once.")] = 200,
    seconds: Annotated[float, typer.Option(min=1)] = 10,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """REST under many clients at once: newest quote, newest bar, 1,000 bars, 1,000 ticks."""
    from tests.bench import rest as bench  # noqa: PLC0415

    bench.rest(clients, seconds, as_json=as_json)


def main() -> None:
    """Run the bench that the arguments name."""
    try:
        commands()
    except ConfigError as error:
        note(f"tapeline bench: {error}")
        sys.exit(2)
    except TapelineError as error:
        note(f"tapeline bench: {error}")
        sys.exit(1)


main()
