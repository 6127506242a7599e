"""Streams over real sockets: connections that end, are silent, or are refused."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from decimal import Decimal

import pytest
from websockets.sync.server import ServerConnection, serve

from app.api import ws
from app.api.problems import Problem
from app.api.streams import Noun
from app.client import ApiProblem, AsyncClient, Client, Message
from tests.contract.records import at
from tests.unit.api.api import Api, anomaly, bar, principal, quote

QUOTES, BARS = "quotes:BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1"
ANOMALIES = "anomalies:BTC/USD@KRAKEN"


def bids(n: int) -> dict[str, object]:
    return {"bid": Decimal(90) + n, "tick_offset": n, "event_time": at(f"10:00:{n:02d}")}


def taken(stream: Iterator[Message], count: int) -> list[Message]:
    return list(itertools.islice(stream, count))


def test_a_snapshot_then_updates() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote(**bids(0)))

    with api.served() as url, closing(Client(url).stream([QUOTES, BARS])) as stream:
        first = taken(stream, 2)
        api.publish(Noun.QUOTES, quote(**bids(1)))
        api.publish(Noun.BARS, bar())
        then = taken(stream, 2)

    assert [(each.type, each.stream) for each in first] == [
        ("snapshot", QUOTES), ("snapshot", BARS),
    ]  # fmt: skip
    assert first[0].row == quote(**bids(0))
    assert first[1].row is None
    assert {each.stream for each in then} == {QUOTES, BARS}
    assert all(each.type == "update" for each in then)


async def test_the_awaited_client_gives_the_same() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote(**bids(0)))

    with api.served() as url:
        async with AsyncClient(url) as client, aclosing(client.stream([QUOTES])) as stream:
            first = await anext(stream)
            api.publish(Noun.QUOTES, quote(**bids(1)))
            then = await anext(stream)

    assert (first.type, first.row) == ("snapshot", quote(**bids(0)))
    assert (then.type, then.row) == ("update", quote(**bids(1)))


def test_a_restart_of_the_api_loses_nothing_and_repeats_nothing() -> None:
    api = Api()
    seen: list[Message] = []
    with api.served() as url:
        port = int(url.rpartition(":")[2])
        client = Client(url)
        stream = client.stream([ANOMALIES])
        seen += taken(stream, 1)
        api.publish(Noun.ANOMALIES, anomaly(tick_offset=0))
        seen += taken(stream, 1)
    # While it is away, more comes to the topic than the hub of the next one will know.
    for n in range(1, 6):
        api.publish(Noun.ANOMALIES, anomaly(tick_offset=n))
    api.hub.anomalies.clear()
    with api.served(port):
        api.publish(Noun.ANOMALIES, anomaly(tick_offset=6))
        while seen[-1].row is None or seen[-1].row["tick_offset"] < 6:
            seen += taken(stream, 1)
        stream.close()
    client.close()

    assert [each.row["tick_offset"] for each in seen if each.row] == [0, 1, 2, 3, 4, 5, 6]
    lost = [each for each in seen if each.type == "status"]
    assert [each.connected for each in lost] == [False] * len(lost)
    assert lost
    assert [each.type for each in seen if each.type in {"snapshot", "resumed"}] == [
        "snapshot", "resumed",
    ]  # fmt: skip


def test_a_token_of_another_stream_goes_on_there() -> None:
    api = Api()
    api.publish(Noun.ANOMALIES, *(anomaly(tick_offset=n) for n in range(4)))

    with api.served() as url, Client(url) as client:
        partition = api.services.place(Noun.ANOMALIES.topic, "BTC/USD").partition
        tokens = {ANOMALIES: f"{partition}-2"}
        with closing(client.stream([ANOMALIES], tokens=tokens)) as stream:
            seen = taken(stream, 3)

    assert [each.type for each in seen] == ["resumed", "update", "update"]
    assert [each.row["tick_offset"] for each in seen if each.row] == [2, 3]


def test_stale_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "HEARTBEAT_S", 0.05)
    api = Api()

    with api.served() as url, Client(url) as client, closing(client.stream([QUOTES])) as stream:
        taken(stream, 1)
        api.is_stale()
        [status] = taken(stream, 1)
        api.is_fresh()
        [again] = taken(stream, 1)

    assert (status.type, status.stale, status.connected) == ("status", True, True)
    assert status.age_s is not None
    assert status.age_s > 3000
    assert (again.type, again.stale) == ("status", False)


def test_a_silent_connection_is_made_again() -> None:
    """A server that accepts and says nothing is what a half-open connection looks like."""
    came: list[float] = []
    end = threading.Event()

    def silent(_socket: ServerConnection) -> None:
        came.append(time.monotonic())
        end.wait(5)

    with serve(silent, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.socket.getsockname()[1]
        with (
            Client(f"http://127.0.0.1:{port}", patience_s=0.3) as client,
            closing(client.stream([QUOTES])) as stream,
        ):
            states = taken(stream, 2)
        end.set()
        server.shutdown()

    assert [each.connected for each in states] == [False, False]
    assert len(came) == 2
    assert 0.3 <= came[1] - came[0] < 4


def test_who_may_not_is_told_at_once() -> None:
    api = Api(principal("viewer", symbols=("ETH/*",)))

    with api.served() as url, pytest.raises(ApiProblem, match=r"403 .* desk may not follow"):
        taken(Client(url).stream([QUOTES]), 1)


def test_who_is_not_known_is_told_at_once() -> None:
    with Api(None).served() as url, pytest.raises(ApiProblem, match="401"):
        taken(Client(url).stream([QUOTES]), 1)


def test_the_api_is_left_alone_for_as_long_as_it_asks() -> None:
    api = Api()
    api.door.problem = Problem(429, "Too many requests", headers={"Retry-After": "1"})

    with api.served() as url, Client(url) as client, closing(client.stream([QUOTES])) as stream:
        [status] = taken(stream, 1)
        began_s = time.monotonic()
        api.door.problem = None
        [first] = taken(stream, 1)
        took_s = time.monotonic() - began_s

    assert not status.connected
    assert first.type == "snapshot"
    assert took_s >= 1


def test_an_iterator_that_is_closed_leaves_the_hub() -> None:
    api = Api()

    with api.served() as url, Client(url) as client:
        stream = client.stream([QUOTES])
        taken(stream, 1)
        assert api.hub.listeners == 1
        stream.close()
        deadline = time.monotonic() + 5
        while api.hub.listeners and time.monotonic() < deadline:
            time.sleep(0.01)
        assert api.hub.listeners == 0
