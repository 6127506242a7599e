"""The tree of commands: one module a noun."""

import typer

from app.cli import (
    bars,
    demo,
    dlq,
    doctor,
    gaps,
    migrate,
    produce,
    schemas,
    simulate,
    top,
    topics,
    up,
)

commands = typer.Typer(
    name="tapeline",
    help="Market ticks on Kafka into exact bars.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
commands.command("up")(up.up)
commands.command("down")(up.down)
commands.command("doctor")(doctor.doctor)
commands.add_typer(topics.commands, name="topics")
commands.add_typer(schemas.commands, name="schemas")
commands.command("migrate")(migrate.migrate)
commands.command("produce")(produce.produce)
commands.command("simulate")(simulate.simulate)
commands.command("bars")(bars.bars)
commands.add_typer(dlq.commands, name="dlq")
commands.add_typer(gaps.commands, name="gaps")
commands.command("demo")(demo.demo)
commands.command("top")(top.top)
