"""``tapeline gaps``: trades that a venue numbered and that never came."""

from collections.abc import Iterable
from typing import Annotated

import typer

from app import topics
from app.cli.terminal import AsJson, json_line, note, table
from app.domain.ports import Row
from app.settings import Settings, load
from connectors.kafka_reader import read
from connectors.registry import open_registry
from schemas.record import RecordCodec

commands = typer.Typer(help="Missing ranges of trade ids.", no_args_is_help=True)
SHOWN = ("symbol", "venue", "from_id", "to_id", "after_time", "before_time", "repaired_at")


@commands.callback()
def _group() -> None:
    """Missing ranges of trade ids."""


@commands.command("list")
def list_gaps(
    series: Annotated[str | None, typer.Option(metavar="SYMBOL@VENUE")] = None,
    repaired: Annotated[bool, typer.Option(help="Repaired ones too.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Print the gaps that are open."""
    found = [
        gap
        for gap in newest_gaps(load(needs=("kafka",)))
        if (repaired or gap["repaired_at"] is None)
        and series in {None, f"{gap['symbol']}@{gap['venue']}"}
    ]
    if as_json:
        for gap in found:
            json_line(gap)
    else:
        table(SHOWN, ([gap[name] for name in SHOWN] for gap in found))
    if not found:
        note("no gaps")


def newest_gaps(settings: Settings) -> Iterable[Row]:
    """Return the newest record of each gap, by series and first id."""
    codec = RecordCodec(topics.GAPS.schema, open_registry(settings.schema_registry_url))
    by_key: dict[bytes, Row] = {}
    for block in read(settings.kafka_client_config(), settings.topic(topics.GAPS)):
        for record in block:
            if record.key is not None and record.value is not None:
                by_key[record.key] = codec.decode(record.value)
    return sorted(by_key.values(), key=lambda gap: (gap["symbol"], gap["venue"], gap["from_id"]))
