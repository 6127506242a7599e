"""``tapeline audit``: recomputes closed bars by another path, and says where they differ."""

from typing import Annotated

import typer

from app.audit.audit import Scope
from app.audit.audit import audit as run
from app.cli.terminal import AsJson, json_line, line
from app.settings import load


def audit(
    full: Annotated[bool, typer.Option("--full", help="Everything there is.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Recompute closed bars by another path; the status is 0 only if none differs."""
    settings = load()
    report = run(settings, Scope(is_full=full))
    for each in report.differences:
        if as_json:
            json_line(each)
        else:
            line(", ".join(f"{name} {value}" for name, value in each.items()))
    json_line(report.line())
    if report.mismatches:
        raise typer.Exit(1)
