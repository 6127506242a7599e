"""The API on real servers and real workers: what is asked for is what the topics hold."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.conftest import ROOT
from tests.live.conftest import MakeWorld
from tests.live.feed import Pair, market
from tests.live.world import Worker, World, wait_until
from tests.poison import tick, unscaled

pytestmark = pytest.mark.live

VENUE, SYMBOLS = "LIVE", ["BTC/USD", "ETH/USD"]
BARS = f"bars:BTC/USD@{VENUE}:M1"
START_US = 1_700_000_000_000_000
TICKS = 4_000


@pytest.fixture(scope="module")
def world(make_world: MakeWorld) -> World:
    made = make_world()
    made.started("compute", "hot", "warm")
    return made


def free_port() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def started(world: World) -> Worker:
    """Start an API and wait until it listens."""
    api = world.start("api", API_PORT=free_port())
    api.wait_ready()
    return api


def sent(world: World, pairs: list[Pair]) -> None:
    with world.feed() as feed:
        for _ in feed.send_at(50_000, pairs):
            pass
    world.settle()


def trades(first: int, minute: int) -> list[Pair]:
    """Return a trade in a minute of BTC/USD, and one a minute later: late for none."""
    return [
        (
            b"BTC/USD",
            tick(
                {
                    "venue": VENUE, "symbol": "BTC/USD", "source": "market",
                    "event_time": START_US + (minute + n) * 60_000_000,
                    "ingest_time": START_US, "sequence": first + n, "trade_id": f"t{first + n}",
                    "price": unscaled(10**14 + n), "size": unscaled(10**12),
                }
            ),
        )
        for n in range(2)
    ]  # fmt: skip


@contextmanager
def following(api: Worker, *streams: str, **more: Any) -> Iterator[ClientConnection]:
    with connect(api.url().replace("http", "ws") + "ws") as connection:
        connection.send(json.dumps({"op": "subscribe", "streams": streams, **more}))
        yield connection


def until(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message: dict[str, Any] = json.loads(connection.recv(30))
        if message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def test_history_is_what_the_topic_holds_to_the_last_digit(world: World) -> None:
    sent(world, market(1, TICKS, venue=VENUE, symbols=SYMBOLS, start_us=START_US))
    api = started(world)
    newest: dict[int, Any] = {}
    for _, bar in world.outside.decoded("bars.v1"):
        if (bar["symbol"], bar["timeframe"], bar["venue"]) == ("BTC/USD", "M1", VENUE):
            newest[bar["open_time"]] = bar

    with httpx.Client(base_url=api.url()) as client:
        answer = client.get(f"/api/ohlc/BTC/USD@{VENUE}?limit=5000").json()
        latest = client.get(f"/api/ohlc/latest/BTC/USD@{VENUE}").json()
        ticks = client.get(f"/api/quotes/history/BTC/USD@{VENUE}?limit=1000").json()

    assert [row["open_time"] for row in answer["data"]] == sorted(newest)
    for row in answer["data"]:
        bar = newest[row["open_time"]]
        for name in ("open", "high", "low", "close", "volume", "notional"):
            assert row[name] == plain(bar[name]), (row, bar)
        assert (row["revision"], row["last_offset"]) == (bar["revision"], bar["last_offset"])
    assert latest["data"] == answer["data"][-1]
    assert len(ticks["data"]) == 1000
    assert not answer["stale"]


def test_a_token_goes_on_at_another_process_after_the_first_was_killed(world: World) -> None:
    first = started(world)
    with following(first, BARS) as client:
        until(client, "snapshot")
        sent(world, trades(10**6, 10**5))
        token = until(client, "update")["token"]
    first.kill()
    sent(world, trades(10**6 + 10, 10**5 + 10))
    second = started(world)

    with following(second, BARS, resume={BARS: token}, throttle=0) as client:
        assert until(client, "resumed")["stream"] == BARS
        missed = {START_US + (10**5 + n) * 60_000_000 for n in (10, 11)}
        missed = {time_us - time_us % 60_000_000 for time_us in missed}
        while missed:
            missed.discard(until(client, "update")["data"]["open_time"])


def test_an_answer_says_when_the_workers_stand_still(world: World) -> None:
    api = started(world)
    with httpx.Client(base_url=api.url()) as client:

        def is_stale() -> bool:
            found: bool = client.get(f"/api/ohlc/latest/BTC/USD@{VENUE}").json()["stale"]
            return found

        wait_until(lambda: not is_stale(), 20, "answers are fresh")
        compute = next(each for each in world.workers if each.role == "compute")
        compute.kill()
        with world.feed() as feed:
            for _ in feed.send_at(1_000, trades(2 * 10**6, 2 * 10**5)):
                pass

        wait_until(is_stale, 20, "answers are stale")
        world.started("compute")
        wait_until(lambda: not is_stale(), 30, "answers are fresh again")


def test_it_is_never_open_to_other_machines(world: World) -> None:
    env = {**world.outside.env(), "API_HOST": "0.0.0.0", "API_PORT": free_port()}  # noqa: S104
    ended = subprocess.run(
        [sys.executable, "-m", "app.serve"], cwd=ROOT, env=env, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip

    assert ended.returncode == 2, ended.stderr
    assert "API_HOST" in ended.stderr
    assert "0.0.0.0" in ended.stderr  # noqa: S104
