"""``tapeline up`` and ``down``: the local stack, the workers and the API, in the background."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.background import ROOT, Background, running
from app.cli.terminal import AsJson, json_line, line, note
from app.cli.top import READS
from app.cli.topics import apply_topics
from app.errors import TapelineError
from app.settings import SERVERS, home_of, load
from connectors import migrations

API_PORT = 8000
"""The default of the setting."""


class Role(Enum):
    """What a worker does; all of them come with the API."""

    ALL = "all"
    COMPUTE = "compute"
    HOT = "hot"
    WARM = "warm"
    API = "api"


class StackFailed(TapelineError):
    """The local servers did not start or stop; what they said is on standard error."""


def up(
    role: Annotated[Role, typer.Option(help="Which workers.")] = Role.ALL,
    stack_only: Annotated[bool, typer.Option("--stack-only", help="Start no worker.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Start what does not run yet; without KAFKA_BOOTSTRAP_SERVERS the local servers, too."""
    state = start(os.environ, None if stack_only else role.value)
    if as_json:
        json_line(state)
        return
    for name in SERVERS:
        line(f"{name:<9} {state[name]}")
    for worker in state["workers"]:
        line(f"{worker['role']:<9} pid {worker['pid']}, log {worker['log']}")
    if state["api"]:
        line(f"{'page':<9} {state['api']}")


def start(env: Mapping[str, str], role: str | None) -> dict[str, Any]:
    """Start the servers, bring topics and tables up to date, and start a role; ``all`` and the API.

    Returns:
        Where the servers are, and who works.
    """
    if not env.get("KAFKA_BOOTSTRAP_SERVERS"):
        local_stack("up", env)
    settings = load(env)
    changed = apply_topics(settings)
    migrated = migrations.migrate(settings.postgres_url)
    if changed or migrated.applied:
        note(f"{len(changed)} topics and {len(migrated.applied)} migrations applied")
    workers = []
    for each in () if role is None else ("all", "api") if role == "all" else (role,):
        worker = Background(each, settings.home)
        pid = worker.start(_of_the_api(env) if each == "api" else env)
        workers.append({"role": each, "pid": pid, "log": str(worker.log)})
    return {
        "kafka": settings.kafka_bootstrap_servers,
        "redis": _without_password(settings.redis_url),
        "postgres": _without_password(settings.postgres_url),
        "home": str(settings.home),
        "workers": workers,
        "api": _api_url(settings.home),
    }


def _of_the_api(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the API's environment: a free port if 8000 is taken, metrics behind the workers'."""
    env = {**env, "API_PORT": env.get("API_PORT") or str(_free_port(env))}
    port = load(env).metrics_port
    return {**env, "METRICS_PORT": str(port and port + len(READS))}


def _free_port(env: Mapping[str, str]) -> int:
    host = env.get("API_HOST") or "127.0.0.1"
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, API_PORT))
        except OSError:
            probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _api_url(home: Path) -> str:
    """Return where the API is, as it says itself; empty while it does not run."""
    api = Background("api", home)
    return api.ready_file.read_text().strip() if api.pid() and api.ready_file.exists() else ""


def down(
    keep_stack: Annotated[bool, typer.Option("--keep-stack", help="Stop workers alone.")] = False,  # noqa: FBT002
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Stop the workers, and the local servers if they are ours."""
    stopped = stop_workers(home_of(os.environ))
    has_stack = not keep_stack and not os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if has_stack:
        local_stack("down", os.environ)
    if as_json:
        json_line({"workers": stopped, "stack": has_stack})
    else:
        note(f"workers stopped: {', '.join(stopped) or 'none ran'}")


def stop_workers(home: Path) -> list[str]:
    """Stop every worker of a data directory and return their roles."""
    # The supervisor of `all` gives its children 20 s of their own.
    return [
        worker.role
        for worker in running(home)
        if worker.stop(within_s=25.0 if worker.role == "all" else 20.0)
    ]


def local_stack(command: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Run one command of the local stack; its progress goes to standard error.

    Raises:
        StackFailed: It did not do what it was asked.
    """
    path = os.pathsep.join(part for part in (str(ROOT), env.get("PYTHONPATH", "")) if part)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "infra.local", command, "--json"],
        stdout=subprocess.PIPE,
        env={**env, "PYTHONPATH": path},
        check=False,
        text=True,
    )
    if done.returncode:
        raise StackFailed(f"the local servers did not go {command}")
    lines = done.stdout.strip().splitlines()
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return answer


def _without_password(url: str) -> str:
    """Return where a URL leads, without user and password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
