"""Fault tests: real servers and workers, a seed, a hard time limit and one JSON line each.

A test that takes longer than its `timeout` mark fails, and what it started is killed: by its
fixtures, and at the latest with this process.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.local.home import HOST, Home
from tests.conftest import Stack
from tests.fault import line as lines
from tests.fault.cluster import Cluster, free_port
from tests.fault.disk import Disk, mounted
from tests.fault.line import Line
from tests.fault.toxiproxy import Proxy, Toxiproxy
from tests.fault.trial import Trial
from tests.live.test_registry import Apicurio, fetched
from tests.live.world import World

SEED = "TAPELINE_FAULT_SEED"
"""Environment variable: another seed than 1."""

MakeTrial = Callable[..., Trial]
MakeCluster = Callable[..., Cluster]
MakeDisk = Callable[[int], Disk]
MakeProxied = Callable[[], tuple[Trial, Proxy]]

_PASSED = pytest.StashKey[bool]()
_logs: list[Callable[[], list[tuple[str, str]]]] = []
"""Shown when a test fails."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test that asks for a seed the one of this run."""
    if "seed" in metafunc.fixturenames and "seed" not in str(
        [mark.args[:1] for mark in metafunc.definition.iter_markers("parametrize")]
    ):
        seed = int(os.environ.get(SEED) or 1)
        metafunc.parametrize("seed", [seed], ids=[f"seed{seed}"])


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let the long tests of one machine take turns: two at once would judge each other's load.

    Waiting is outside the time limit.
    """
    if item.get_closest_marker("fault") is None:
        yield
        return
    with (Home.from_env().run / "fault.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Note whether the test passed; show what servers and workers said when it failed."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    if report.failed:
        for logs in _logs:
            report.sections += logs()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the lines of the run."""
    if lines.written:
        terminalreporter.section("fault lines")
        for text in lines.written:
            terminalreporter.write_line(text)


@pytest.fixture
def line(request: pytest.FixtureRequest, seed: int) -> Iterator[Line]:
    """Return the test's line, written when the test is over."""
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    which = re.sub(r"^seed\d+-?|-seed\d+$", "", request.node.callspec.id)
    case = f"{name} [{which}]" if which and not which.isdigit() else name
    mine = Line(lines.fault_of(str(request.path)), case, seed)
    yield mine
    mine.write(passed=request.node.stash.get(_PASSED, False))


@pytest.fixture
def make_trial(
    request: pytest.FixtureRequest, line: Line, seed: int, tmp_path: Path
) -> Iterator[MakeTrial]:
    """Return a function that opens a world of the test's own.

    Its arguments: a cluster of one's own, or the shared broker; and the workers' environment.
    """
    worlds: list[World] = []

    def make(cluster: Cluster | None = None, **settings: str) -> Trial:
        # Asked for only here: a cluster is started from this thread, and before the world is.
        stack: Stack = request.getfixturevalue("stack")
        replication = 1
        if cluster is not None:
            stack = Stack(cluster.bootstrap, stack.redis, stack.postgres)
            replication = cluster.replication
        folder = tmp_path / f"world-{len(worlds)}"
        world = World(
            stack, folder, settings, replication=replication, is_broker_shared=cluster is None
        )
        worlds.append(world)
        _logs.append(world.logs)
        world.open()
        return Trial(world, line, seed)

    yield make
    for world in worlds:
        _logs.remove(world.logs)
        world.close()


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """Return a function that starts brokers of the test's own; arguments as `Cluster`'s."""
    clusters: list[Cluster] = []

    def make(count: int = 1, **options: Any) -> Cluster:
        cluster = Cluster(tmp_path / f"cluster-{len(clusters)}", count, **options)
        clusters.append(cluster)
        _logs.append(cluster.logs)
        cluster.start()
        return cluster

    yield make
    for cluster in clusters:
        _logs.remove(cluster.logs)
        cluster.close()


@pytest.fixture
def toxiproxy(tmp_path: Path) -> Iterator[Toxiproxy]:
    """Return a running Toxiproxy."""
    with Toxiproxy(tmp_path / "toxiproxy") as server:
        yield server


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Return a function that mounts a disk of so many megabytes; ask for it before servers."""
    with ExitStack() as disks:
        yield lambda size_mb: disks.enter_context(mounted(tmp_path / f"disk-{size_mb}", size_mb))


@pytest.fixture
def make_proxied(
    toxiproxy: Toxiproxy, make_cluster: MakeCluster, make_trial: MakeTrial
) -> MakeProxied:
    """Return a function that starts all workers, a kept compute behind a proxy of its own."""

    def make() -> tuple[Trial, Proxy]:
        port = free_port()
        cluster = make_cluster(proxied_by=port)
        upstream = cluster.brokers[0].proxied_port
        assert upstream
        proxy = toxiproxy.proxy(upstream, port)
        trial = make_trial(cluster)
        proxied = {"KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{port}"}
        compute = trial.world.start("compute", is_kept=True, **proxied)
        trial.world.started("hot", "warm")
        compute.wait_ready()
        return trial, proxy

    return make


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Apicurio]:
    """Return a schema registry of the test's own."""
    server = Apicurio(fetched())
    server.start(tmp_path / "registry.log")
    yield server
    server.stop()
