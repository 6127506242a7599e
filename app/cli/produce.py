"""``tapeline produce``: publish the ticks of a file."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app import topics
from app.cli.pace import Pace
from app.cli.terminal import AsJson, console, json_line, note
from app.errors import ConfigError, InvalidTick
from app.row_files import rows
from app.settings import Settings, load
from connectors.producer import TickProducer
from connectors.registry import open_registry

BATCH = 5_000
"""Rows of a file sent at once."""
CHUNK = 256 << 10
"""Bytes read at once, at most."""
PACED_S = 0.05
"""Rows of a file sent at once when there is a rate, in time."""


@dataclass
class Produced:
    """What became of a file's lines."""

    sent: int = 0
    refused: int = 0
    seconds: float = 0.0


def produce(
    file: Annotated[str, typer.Argument(help="JSON lines or CSV with a header; - reads stdin.")],
    rate: Annotated[float, typer.Option(min=0, help="Ticks a second; 0 is no limit.")] = 0,
    venue: Annotated[str | None, typer.Option(help="Venue of rows that name none.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Publish the ticks of FILE: keys are the contract's field names.

    Decimals come as text, times as ISO 8601 or Unix numbers. A line that breaks the contract is
    named on standard error and the others are sent; the exit status is then 1.
    """
    settings = load(needs=("kafka",))
    with _opened(file) as stream, tick_producer(settings, venue) as producer:
        done = publish(stream, producer, file, Pace(rate))
    if as_json:
        json_line({"sent": done.sent, "refused": done.refused, "seconds": round(done.seconds, 3)})
    else:
        note(f"{done.sent:,} ticks sent, {done.refused:,} refused, {done.seconds:.1f} s")
    if done.refused:
        raise typer.Exit(1)


def tick_producer(settings: Settings, venue: str | None = None) -> TickProducer:
    """Return a producer to the topic of raw ticks."""
    return TickProducer(
        settings.kafka_client_config(),
        registry=open_registry(settings.schema_registry_url),
        topic=settings.topic(topics.RAW),
        venue=venue,
    )


def publish(stream: BinaryIO, producer: TickProducer, name: str, pace: Pace) -> Produced:
    """Send every row of a file that keeps the contract, and name the others on standard error."""
    done = Produced()
    at_once = max(1, min(BATCH, round(pace.rate * PACED_S))) if pace.rate else BATCH
    reading = _Reading(stream)
    with _progress(stream) as show:
        for records, refusals in _batches(reading, producer, at_once):
            for number, reason in refusals:
                note(f"{name}:{number}: {reason}")
            pace.wait(done.sent)
            done.refused += len(refusals)
            done.sent += producer.send_records(records)
            show(reading.read_bytes, done.sent)
        producer.flush()
    done.seconds = pace.elapsed_s
    return done


class _Reading:
    """The lines of a stream, and whether the next one may have to be waited for.

    Attributes:
        read_bytes: How much was read.
        is_dry: No whole line is left of what has come so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read_bytes = 0
        self.is_dry = False

    def lines(self) -> Iterator[bytes]:
        """Yield the lines; what comes through a pipe, as soon as it comes."""
        rest = b""
        while chunk := self._stream.read1(CHUNK):  # type: ignore[attr-defined]  # a BufferedReader
            self.read_bytes += len(chunk)
            *whole, rest = (rest + chunk).split(b"\n")
            for n, line in enumerate(whole, 1):
                self.is_dry = n == len(whole)
                yield line + b"\n"
        if rest:
            self.is_dry = True
            yield rest


def _batches(
    reading: _Reading, producer: TickProducer, at_once: int
) -> Iterator[tuple[list[dict[str, Any]], list[tuple[int, str]]]]:
    """Yield records that keep the contract, and lines that do not, with the reason.

    At most `at_once` rows, and fewer rather than wait for the next.
    """
    records: list[dict[str, Any]] = []
    refusals: list[tuple[int, str]] = []
    for line in rows(reading.lines()):
        if line.row is None:
            refusals.append((line.number, line.fault))
        else:
            try:
                records.append(producer.checked(line.row))
            except InvalidTick as error:
                refusals.append((line.number, str(error)))
        if reading.is_dry or len(records) + len(refusals) >= at_once:
            yield records, refusals
            records, refusals = [], []
    yield records, refusals


@contextmanager
def _progress(stream: BinaryIO) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows bytes read and ticks sent; by bytes, because lines are not counted."""
    size = os.fstat(stream.fileno()).st_size if stream.seekable() else None
    columns = (BarColumn(), TextColumn("{task.fields[ticks]} ticks"), TimeElapsedColumn())
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("", total=size, ticks="0")
        yield lambda read_bytes, sent: progress.update(
            task, completed=read_bytes, ticks=f"{sent:,}"
        )


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    path = Path(file)
    if path.is_dir() or not os.access(path, os.R_OK):
        raise ConfigError(f"FILE must be a file that can be read, or -, was {file!r}")
    with path.open("rb") as stream:
        yield stream
