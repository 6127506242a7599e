"""Very many WebSocket clients of the API, and the same of a plain fan-out in the same run.

Some of them are slow, silent or half-open.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import httpx

from app import topics
from app.cli.terminal import json_line, note, table
from connectors.hot_redis import RedisHotStore
from tests.bench.figures import machine
from tests.bench.ground import ROOT, BenchFailed, Ground, Worker, free_port, ground
from tests.bench.watch import Watch
from tests.live.tape import Tape

WARM_UP_S = 5.0
FILLED_WITHIN_S = 60.0
ODD = {"slow": 0.025, "silent": 0.0125, "half-open": 0.0125}
"""Shares of clients that are not as they should be: 5 % in all."""
ASKS_EVERY_S = 0.05


class Crowd:
    """Clients in a process of their own."""

    def __init__(self, url: str, kind: str, clients: int, symbols: int, streams: int) -> None:
        self.kind = kind
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.live.crowd", url),
                *("--clients", str(clients), "--symbols", str(symbols)),
                *("--streams", str(streams), "--kind", "silent" if kind == "half-open" else kind),
            ],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.watch = Watch(self._process.pid)

    def connected(self) -> None:
        """Wait until all are; half-open ones fall silent then, as a machine that lost power."""
        assert self._process.stdout
        said = self._process.stdout.readline()
        if not said.startswith("connected"):
            raise BenchFailed(f"the clients ({self.kind}) did not connect: {said!r}")
        if self.kind == "half-open":
            os.kill(self._process.pid, signal.SIGSTOP)

    def begin(self) -> None:
        """Let it count from now on."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Return what it saw."""
        if self.kind == "half-open":
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self.watch.stop()
            return {}
        out, _ = self._process.communicate()
        self.watch.stop()
        found: dict[str, Any] = json.loads(out)
        return found

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self.watch.stop()


def clients(  # noqa: PLR0913 - options of the command line
    count: int, symbols: int, streams: int, rate: float, seconds: float, *, as_json: bool
) -> None:
    """Measure both servers, one after the other."""
    found = {}
    with ground("clients", stores=True) as here:
        here.worker("hot")
        wait_filled(here)
        for name in ("tapeline", "plain FastAPI"):
            note(f"{name}: {count:,} clients of {streams} of {symbols:,} quotes, {rate:,.0f}/s")
            with served(here, name) as (server, url):
                found[name] = measured(here, server, url, count, symbols, streams, rate, seconds)
            note(f"  {found[name]}")
    if as_json:
        json_line({"clients": found, "machine": machine()})
        return
    names = sorted({key for each in found.values() for key in each})
    table(("", *found), [(key, *(each.get(key, "-") for each in found.values())) for key in names])


def wait_filled(here: Ground) -> None:
    """Wait until the hot store's worker has marked all it should hold as whole."""
    parts = [
        f"{topic.name}:{n}"
        for topic in (topics.TICKS, topics.BARS, topics.QUOTES)
        for n in range(here.settings.partitions)
    ]
    deadline = time.monotonic() + FILLED_WITHIN_S
    with closing(RedisHotStore(here.env["REDIS_URL"], prefix=here.settings.redis_prefix)) as store:
        while not all(store.is_whole(part) for part in parts):
            if time.monotonic() > deadline:
                raise BenchFailed(f"the hot store was not filled in {FILLED_WITHIN_S:.0f} s")
            time.sleep(0.2)


@contextmanager
def served(here: Ground, name: str) -> Iterator[tuple[Worker, str]]:
    """Start a server and wait until it answers."""
    port = free_port()
    if name == "tapeline":
        extra = {"API_PORT": str(port), "API_RATE_PER_MINUTE": "0"}
        server = here.worker("api", "app.serve", extra)
        path = "livez"
    else:
        topic = here.settings.topic(topics.QUOTES)
        server = here.program(
            name, "tests.bench.peers.plain_fanout",
            here.settings.kafka_bootstrap_servers, topic, str(port),
        )  # fmt: skip
        path = "openapi.json"
    base = f"127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"http://{base}/{path}", timeout=5).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise BenchFailed(f"{name} did not start: {server.log.read_text()[-2000:]}")
        time.sleep(0.1)
    try:
        yield server, f"ws://{base}/ws"
    finally:
        server.stop()
        here.workers.remove(server)


def measured(  # noqa: PLR0913 - what is varied
    here: Ground, server: Worker, url: str, count: int, symbols: int, streams: int, rate: float,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Return what the clients and the server's process tell."""
    odd = {kind: int(share * count) for kind, share in ODD.items()}
    counts = {"normal": count - sum(odd.values()), **odd}
    topic = here.settings.topic(topics.QUOTES)
    is_ours = server.role == "api"
    with ExitStack() as stack:
        crowds = []
        for kind, size in counts.items():
            crowd = Crowd(url, kind, size, symbols, streams)
            stack.callback(crowd.close)
            crowds.append(crowd)
        began_s = time.monotonic()
        for crowd in crowds:
            crowd.connected()
        connected_s = time.monotonic() - began_s
        stack.enter_context(Tape(here.client, topic, here.settings.partitions, symbols, rate))
        time.sleep(WARM_UP_S)
        for crowd in crowds:
            if crowd.kind != "half-open":
                crowd.begin()
        start = time.time()
        asked_ms = asked(url, seconds) if is_ours else waited(seconds)
        end = time.time()
        seen = {crowd.kind: crowd.end() for crowd in crowds}
    normal = seen["normal"]
    return {
        "connected in s": round(connected_s, 1),
        "messages/s": round(normal.get("messages", 0) / (end - start)),
        "p50 ms": normal["p50_ms"], "p99 ms": normal["p99_ms"], "p99.9 ms": normal["p999_ms"],
        "lost": normal.get("lost", 0) + normal.get("ended", 0),
        "server CPU": round(server.watch.cpu_s(start, end) / (end - start), 2),
        "server peak MB": round(server.watch.peak_mb),
        **asked_ms,
    }  # fmt: skip


def asked(url: str, seconds: float) -> dict[str, float]:
    """Ask by REST meanwhile; return how long the answers took."""
    base = url.replace("ws://", "http://").removesuffix("/ws")
    took, end_s = [], time.monotonic() + seconds
    with httpx.Client(base_url=base, timeout=10) as client:
        while time.monotonic() < end_s:
            began_s = time.monotonic()
            answer = client.get("/api/quotes/latest/S00001/USD@CROWD")
            took.append(1000 * (time.monotonic() - began_s))
            answer.raise_for_status()
            time.sleep(ASKS_EVERY_S)
    took.sort()
    return {
        "REST p50 ms": round(took[len(took) // 2], 1),
        "REST p99 ms": round(took[int(0.99 * len(took))], 1),
    }


def waited(seconds: float) -> dict[str, float]:
    """Wait."""
    time.sleep(seconds)
    return {}
