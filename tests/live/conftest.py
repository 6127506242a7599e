"""Real servers and real workers: one stack a session, one world a module or a test.

A server that does not answer is a failure: skipping would say that it works.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.world import ROOT, Stack, World

_worlds: list[World] = []
"""Open ones, whose logs are shown when a test fails."""

MakeWorld = Callable[..., World]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Show what the workers said when a test fails."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for world in _worlds:
            report.sections += world.logs()


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


@pytest.fixture(scope="module")
def make_world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """Return a function that opens a world; settings are the workers' environment."""
    mine = []

    def make(**settings: str) -> World:
        world = World(stack, tmp_path_factory.mktemp("world"), settings)
        _worlds.append(world)
        mine.append(world)
        world.open()
        return world

    yield make
    for world in mine:
        _worlds.remove(world)
        world.close()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Return the folder of recorded market data."""
    folder = ROOT.parent / "shared" / "data"
    assert folder.is_dir(), f"recorded market data must be in {folder}"
    return folder
