"""The tree of commands: one module a noun, imported when its command is run.

The stores, polars and Faust together take most of a second to import, and `tapeline topics` needs
none of them.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.cli.terminal import line

COMMANDS = {
    "up": "up:up",
    "down": "up:down",
    "doctor": "doctor:doctor",
    "demo": "demo:demo",
    "topics": "topics:commands",
    "schemas": "schemas:commands",
    "migrate": "migrate:migrate",
    "produce": "produce:produce",
    "simulate": "simulate:simulate",
    "bars": "bars:bars",
    "explain": "explain:explain",
    "audit": "audit:audit",
    "dlq": "dlq:commands",
    "gaps": "gaps:commands",
    "keys": "keys:commands",
    "top": "top:top",
    "bench": "bench:bench",
}
"""Each command's module and what in it: a function, or a `typer.Typer` of several."""
SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _OnDemand(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if cmd_name not in COMMANDS:
            return None
        file, _, name = COMMANDS[cmd_name].partition(":")
        module = import_module(f"app.cli.{file}")
        found = getattr(module, name)
        if isinstance(found, typer.Typer):
            command = typer.main.get_command(found)
            command.name = cmd_name
            return command
        single = typer.Typer(**SETTINGS)
        single.command(cmd_name, context_settings=getattr(module, "PASS_ON", None))(found)
        return typer.main.get_command(single)


commands = typer.Typer(name="tapeline", cls=_OnDemand, no_args_is_help=True, **SETTINGS)


def _version(wanted: bool) -> None:
    if wanted:
        line(f"tapeline {version('tapeline')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)]


@commands.callback()
def _tapeline(_: Version = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Market ticks on Kafka into exact bars."""
