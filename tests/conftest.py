"""The servers that tests share, started if they do not run; a missing one is a failure."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the servers are."""

    kafka: str
    redis: str
    postgres: str


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Return servers that answer: those of TAPELINE_HOME, started if they do not run."""
    home = Path(os.environ.get("TAPELINE_HOME") or "~/.local/share/tapeline").expanduser()
    file = home / "run" / "stack.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    ports = [found.get("ports", {}).get(name, 0) for name in ("kafka", "redis", "postgres")]
    if all(map(_answers, ports)):
        yield Stack(found["kafka"], found["redis"], found["postgres"])
        return
    did_run = [name for name, port in zip(("kafka", "redis", "postgres"), ports, strict=True)
               if _answers(port)]  # fmt: skip
    up = _local("up", "--json")
    assert up.returncode == 0, f"the local stack did not start:\n{up.stderr}"
    found = json.loads(up.stdout.splitlines()[-1])
    yield Stack(found["kafka"], found["redis"], found["postgres"])
    for name in ("redis", "postgres", "kafka"):
        if name not in did_run:
            _local("stop", name)


def _local(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "infra.local", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
