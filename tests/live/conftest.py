"""Real servers and real workers: one stack a session, one world a module or a test.

A server that does not answer is a failure: skipping would say that it works.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Stack
from tests.live.world import World

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
