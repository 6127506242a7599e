"""``tapeline bench``: measures the engine and the pipeline beside their peers.

The measuring lives in ``tests/bench`` and runs as a process of its own, so it needs the source
tree and none of it is in an installed package.
"""

import os
import subprocess
import sys
from typing import Annotated

import typer

from app.cli.background import ROOT
from app.errors import ConfigError

PROGRAM = ROOT / "tests" / "bench" / "__main__.py"
PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Every option belongs to the bench that is named, ``--help`` too."""


def bench(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(help="engine, peers, pipeline, and others: see bench --help.")
    ] = "engine",
) -> None:
    """Measure, print a table, and with --json a last line for programs; `bench NAME --help`.

    Uses topics, a database and keys of its own on the configured servers and removes them.
    """
    if not PROGRAM.exists():
        raise ConfigError(f"tapeline bench must run from a source tree, there is no {PROGRAM}")
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    argv = [name, *context.args]
    if name.startswith("-"):
        argv = ["--help"] if name in {"-h", "--help"} else ["engine", *argv]
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.bench", *argv],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    raise typer.Exit(done.returncode)
