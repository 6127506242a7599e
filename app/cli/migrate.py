"""``tapeline migrate``: the tables of the warm store."""

from app.cli.terminal import AsJson, json_line, line
from app.settings import load
from connectors import migrations


def migrate(as_json: AsJson = False) -> None:  # noqa: FBT002 - a flag of the command line
    """Bring the Postgres database to the tables this release needs."""
    done = migrations.migrate(load(needs=("postgres",)).postgres_url)
    if as_json:
        json_line(
            {"flavour": done.flavour.value, "extension": done.extension, "applied": done.applied}
        )
        return
    for name in done.applied:
        line(f"applied {name}")
    extension = f"TimescaleDB {done.extension}" if done.extension else "without TimescaleDB"
    line(f"{extension}, {len(done.applied)} migrations applied")
