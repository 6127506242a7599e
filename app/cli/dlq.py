"""``tapeline dlq``: records that were refused, and another try for them."""

from collections.abc import Iterator
from typing import Annotated

import typer

from app import topics
from app.cli.produce import tick_producer
from app.cli.terminal import AsJson, json_line, line, note, plain, table
from app.domain.ports import Row
from app.errors import ConfigError
from app.settings import Settings, load
from connectors.kafka_reader import read
from connectors.registry import open_registry
from schemas.record import RecordCodec
from schemas.wire import Undecodable

commands = typer.Typer(help="Records that were refused.", no_args_is_help=True)
SHOWN = ("id", "append_time", "reason", "detail")
Last = Annotated[int, typer.Option(min=1, help="The newest so many of each partition.")]
Reason = Annotated[str | None, typer.Option(help="Only those refused for it.")]


@commands.command("list")
def list_letters(
    last: Last = 1000,
    reason: Reason = None,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Print refused records, oldest first in each partition."""
    found = [letter for letter in letters(load(needs=("kafka",)), last) if _is_of(letter, reason)]
    if as_json:
        for letter in found:
            json_line(letter)
    else:
        table(SHOWN, ([letter[name] for name in SHOWN] for letter in found))
    if not found:
        note("no dead letters")


@commands.command("show")
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` prints it.")],
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Print one refused record whole, and the tick it holds if its bytes are one."""
    settings = load(needs=("kafka",))
    letter = find(settings, letter_id)
    codec = RecordCodec(topics.RAW.schema, open_registry(settings.schema_registry_url))
    try:
        tick: Row | None = codec.decode(letter["value"] or b"")
    except Undecodable:
        tick = None
    if as_json:
        json_line({**letter, "tick": tick and {name: plain(v) for name, v in tick.items()}})
        return
    for name, value in letter.items():
        line(f"{name:<12} {plain(value)}")
    for name, value in (tick or {}).items():
        line(f"  {name:<12} {plain(value)}")


@commands.command("redrive")
def redrive(
    letter_id: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    reason: Reason = None,
    last: Last = 1000,
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Send refused records again, byte for byte, to ``ticks.raw.v1``; what is refused comes back.

    Name one by its ID, or those of a reason. A record without a key or value is left out.
    """
    settings = load(needs=("kafka",))
    if (letter_id is None) == (reason is None):
        raise ConfigError("redrive must be given an ID or a --reason, and not both")
    chosen = (
        [letter for letter in letters(settings, last) if _is_of(letter, reason)]
        if letter_id is None
        else [find(settings, letter_id)]
    )
    sendable = [letter for letter in chosen if letter["key"] and letter["value"]]
    with tick_producer(settings) as producer:
        producer.send_encoded(
            [letter["key"] for letter in sendable], [letter["value"] for letter in sendable]
        )
    left = len(chosen) - len(sendable)
    if as_json:
        json_line({"sent": len(sendable), "left_out": left})
    else:
        note(f"{len(sendable)} records sent again, {left} left out")
    if left or not sendable:
        raise typer.Exit(1)


def letters(settings: Settings, last: int | None = None) -> Iterator[Row]:
    """Yield dead letters with an `id`: partition and offset in the topic of dead letters."""
    codec = RecordCodec(topics.DEAD_LETTERS.schema, open_registry(settings.schema_registry_url))
    name = settings.topic(topics.DEAD_LETTERS)
    for block in read(settings.kafka_client_config(), name, last=last):
        for record in block:
            if record.value is not None:
                yield {
                    "id": f"{record.partition}-{record.offset}",
                    **codec.decode(record.value),
                }


def find(settings: Settings, letter_id: str) -> Row:
    """Return one dead letter.

    Raises:
        ConfigError: There is none of that id.
    """
    for letter in letters(settings):
        if letter["id"] == letter_id:
            return letter
    raise ConfigError(f"ID must be a dead letter's, such as 0-12, was {letter_id!r}")


def _is_of(letter: Row, reason: str | None) -> bool:
    return reason is None or letter["reason"] == reason
