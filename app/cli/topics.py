"""``tapeline topics``: the topics on the broker beside those of the repository."""

from collections.abc import Sequence

import typer

from app import topics
from app.cli.terminal import AsJson, json_line, line, note
from app.settings import Settings, load
from connectors.kafka_admin import Difference, KafkaAdmin

commands = typer.Typer(help="Bring the broker's topics to what the repository says.")


def kafka_admin(settings: Settings) -> KafkaAdmin:
    """Return the administration of the configured cluster."""
    return KafkaAdmin(settings.kafka_client_config(), settings.topic_prefix)


def apply_topics(settings: Settings) -> list[Difference]:
    """Create and configure what differs, and return what was done."""
    return kafka_admin(settings).apply(topics.ALL, settings.partitions, settings.replication)


@commands.command("apply")
def apply(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Create missing topics and set what differs; a partition count is never changed."""
    _show(apply_topics(load(needs=("kafka",))), as_json=as_json, nothing="nothing to do")


@commands.command("diff")
def diff(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Show what `apply` would do; exit status 1 if it is anything."""
    settings = load(needs=("kafka",))
    found = kafka_admin(settings).diff(topics.ALL, settings.partitions)
    _show(found, as_json=as_json, nothing="no difference")
    if found:
        raise typer.Exit(1)


def _show(found: Sequence[Difference], *, as_json: bool, nothing: str) -> None:
    for each in found:
        if as_json:
            json_line({"topic": each.topic, "action": each.action, "detail": each.detail})
        else:
            line(f"{each.action:<11} {each.detail}")
    if not found:
        note(nothing)
