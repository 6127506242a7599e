"""``tapeline produce``: publish the ticks of a file."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
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
    with _progress(stream) as progress:
        for records, refusals in _batches(progress.lines(stream), producer, _batch(stream, pace)):
            for number, reason in refusals:
                note(f"{name}:{number}: {reason}")
            pace.wait(done.sent)
            done.refused += len(refusals)
            done.sent += producer.send_records(records)
            progress.show(done)
        producer.flush()
    done.seconds = pace.elapsed_s
    return done


def _batch(stream: BinaryIO, pace: Pace) -> int:
    """Return how many rows go at once: one where rows may be far between, as in a pipe."""
    if not stream.seekable():
        return 1
    return max(1, min(BATCH, round(pace.rate * PACED_S))) if pace.rate else BATCH


def _batches(
    lines: Iterable[bytes], producer: TickProducer, size: int
) -> Iterator[tuple[list[dict[str, Any]], list[tuple[int, str]]]]:
    """Yield records that keep the contract, and lines that do not with the reason, by `size`."""
    found = rows(lines)
    while batch := list(islice(found, size)):
        records, refusals = [], []
        for line in batch:
            if line.row is None:
                refusals.append((line.number, line.fault))
                continue
            try:
                records.append(producer.checked(line.row))
            except InvalidTick as error:
                refusals.append((line.number, str(error)))
        yield records, refusals


class _Progress:
    """How much of the file was read and sent; by bytes, because its lines are not counted."""

    def __init__(self, progress: Progress, size: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=size, ticks="0")
        self._read = 0

    def lines(self, stream: BinaryIO) -> Iterator[bytes]:
        for line in stream:
            self._read += len(line)
            yield line

    def show(self, done: Produced) -> None:
        self._progress.update(self._task, completed=self._read, ticks=f"{done.sent:,}")


@contextmanager
def _progress(stream: BinaryIO) -> Iterator[_Progress]:
    size = os.fstat(stream.fileno()).st_size if stream.seekable() else None
    columns = (BarColumn(), TextColumn("{task.fields[ticks]} ticks"), TimeElapsedColumn())
    disable = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=disable) as progress:
        yield _Progress(progress, size)


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
