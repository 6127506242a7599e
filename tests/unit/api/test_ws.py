"""The WebSocket, over a real one: what a client of the streams is promised."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from websockets import Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from app.api import hub, session, ws
from app.api.streams import Noun
from app.api.wire import Wire
from tests.contract.records import at
from tests.unit.api.api import Api, anomaly, bar, principal, quote, tick

QUOTES, BARS = "quotes:BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1"
TICKS, ANOMALIES = "ticks:BTC/USD@KRAKEN", "anomalies:BTC/USD@KRAKEN"
PACKED = Subprotocol("tapeline.msgpack")
WITHIN_S = 5.0


class Socket:
    """A client that speaks JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def ask(self, op: str, *streams: str, **more: Any) -> None:
        self.connection.send(json.dumps({"op": op, "streams": streams, **more}))

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.connection.recv(WITHIN_S))
        return found

    def subscribe(self, *streams: str, **more: Any) -> list[dict[str, Any]]:
        """Subscribe; return what comes up to the acknowledgement."""
        self.ask("subscribe", *streams, **more)
        came = [self.next()]
        while came[-1]["type"] not in {"subscribed", "error"}:
            came.append(self.next())
        return came


@contextmanager
def joined(api: Api, query: str = "") -> Iterator[Socket]:
    with api.served() as url, connect(url.replace("http", "ws") + f"/ws{query}") as connection:
        yield Socket(connection)


@contextmanager
def again(api: Api, url: str) -> Iterator[Socket]:
    with connect(url.replace("http", "ws") + "/ws") as connection:
        yield Socket(connection)


def bid(price: str, offset: int, **values: Any) -> dict[str, Any]:
    return quote(bid=Decimal(price), tick_offset=offset, sequence=offset, **values)


def test_the_snapshot_comes_first_and_updates_follow_by_number() -> None:
    api = Api()
    api.publish(Noun.QUOTES, bid("100", 1))

    with joined(api) as client:
        snapshot, done = client.subscribe(QUOTES, id=7, throttle=0)
        api.publish(Noun.QUOTES, bid("101", 2))
        first = client.next()
        api.publish(Noun.QUOTES, bid("102", 3))
        second = client.next()

    assert (snapshot["type"], snapshot["seq"], snapshot["data"][0]["bid"]) == ("snapshot", 0, "100")
    assert (done["type"], done["id"], done["streams"]) == ("subscribed", 7, [QUOTES])
    assert [(each["type"], each["seq"], each["data"]["bid"]) for each in (first, second)] == [
        ("update", 1, "101"),
        ("update", 2, "102"),
    ]


def test_the_snapshot_is_the_stores_where_the_topics_brought_nothing_yet() -> None:
    api = Api()
    api.keep(quotes=[bid("100", 1)], bars=[bar(revision=3, last_offset=9)])

    with joined(api) as client:
        of_quotes, of_bars, _ = client.subscribe(QUOTES, BARS)
        api.publish(Noun.BARS, bar(revision=2, last_offset=8), bar(revision=4, last_offset=10))
        update = client.next()

    assert of_quotes["data"][0]["bid"] == "100"
    assert of_bars["data"][0]["revision"] == 3
    assert update["data"]["revision"] == 4


def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice() -> None:
    api = Api()
    with api.served() as url:
        with again(api, url) as client:
            client.subscribe(BARS, TICKS, ANOMALIES)
            api.publish(Noun.BARS, bar(open_time=at("10:00"), last_offset=1))
            api.publish(Noun.TICKS, tick(offset=0, trade_id="1"))
            tokens = {each["stream"]: each["token"] for each in (client.next(), client.next())}
        api.publish(Noun.BARS, bar(open_time=at("10:00"), revision=1, last_offset=2))
        api.publish(Noun.BARS, bar(open_time=at("10:01"), last_offset=3))
        api.publish(Noun.TICKS, tick(offset=1, trade_id="2"), tick(offset=2, trade_id="3"))
        api.publish(Noun.ANOMALIES, anomaly())
        with again(api, url) as client:
            came = client.subscribe(*tokens, resume=tokens)
            while sum(each["type"] == "update" for each in came) < 4:
                came.append(client.next())

    missed = [each for each in came if each["type"] == "update"]
    resumed = [each["stream"] for each in came if each["type"] == "resumed"]
    assert sorted(resumed) == sorted(tokens)
    bars = [each["data"]["last_offset"] for each in missed if each["stream"] == BARS]
    assert bars == [2, 3]
    assert [each["data"]["trade_id"] for each in missed if each["stream"] == TICKS] == ["2", "3"]


def test_what_the_hub_has_forgotten_is_read_from_the_topic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "BARS_KEPT", 1)
    api = Api()
    with joined(api) as client:
        for n in range(4):
            api.publish(Noun.BARS, bar(open_time=at(f"10:0{n}"), last_offset=n))
        first, *_ = client.subscribe(BARS, resume={BARS: "1-1"})
        came = [client.next()["data"]["last_offset"] for _ in range(3)]

    assert api.services.place(Noun.BARS.topic, "BTC/USD").partition == 1
    assert first["type"] == "resumed"
    assert came == [1, 2, 3]


def test_a_token_too_old_to_go_on_from_begins_with_a_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.api.past.MOST_RECORDS", 2)
    api = Api()
    with joined(api) as client:
        client.subscribe(TICKS)
        api.publish(Noun.TICKS, *(tick(offset=n, trade_id=str(n)) for n in range(5)))
        for _ in range(5):
            client.next()
        first, *_ = client.subscribe(TICKS, resume={TICKS: "1-0"})

    assert first["type"] == "snapshot"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ('{"op":"subscribe","streams":["nothing"]}', "a stream must be"),
        ('{"op":"subscribe","streams":[]}', "one stream at least"),
        ('{"op":"fly"}', "op must be subscribe, unsubscribe or ping, was 'fly'"),
        ('{"op":"subscribe","streams":["quotes:BTC/USD@KRAKEN"],"rate":0}', "rate must be"),
        ('{"op":"subscribe","streams":["quotes:BTC/USD@KRAKEN"],"throttle":1}', "throttle must be"),
        ('{"op":"subscribe","stream":["quotes:BTC/USD@KRAKEN"]}', "stream"),
        ('{"op":1}', "Expected `str`"),
        ("[]", "Expected `object`"),
        ("{", "truncated"),
    ],
)
def test_a_request_that_breaks_a_rule_is_told_which_and_the_connection_stays(
    request_: str, said: str
) -> None:
    with joined(Api()) as client:
        client.connection.send(request_)
        refused = client.next()
        client.ask("ping", id="p")

        assert refused["type"] == "error"
        assert said in refused["problem"]["detail"]
        assert client.next() == {"type": "pong", "id": "p"}


def test_a_token_of_another_partition_is_refused() -> None:
    with joined(Api()) as client:
        [refused] = client.subscribe(QUOTES, resume={QUOTES: "3-7"})

    assert (
        refused["problem"]["detail"] == "a token of quotes:BTC/USD@KRAKEN begins with 1-, was '3-7'"
    )


def test_roles_and_symbols_are_asked_of_every_stream() -> None:
    with joined(Api(principal("viewer", symbols=("BTC/*@*",)))) as client:
        [ticks] = client.subscribe(TICKS)
        [other] = client.subscribe("quotes:ETH/USD@KRAKEN")
        quotes = client.subscribe(QUOTES)

    assert "trader" in ticks["problem"]["detail"]
    assert other["problem"]["status"] == 403
    assert quotes[-1]["type"] == "subscribed"


def test_nobody_unknown_is_let_in() -> None:
    with (
        pytest.raises(InvalidStatus) as refused,
        Api(None).served() as url,
        connect(url.replace("http", "ws") + "/ws"),
    ):
        pass

    assert refused.value.response.status_code == 401


def test_a_client_that_may_no_more_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "HEARTBEAT_S", 0.1)
    api = Api()
    with joined(api) as client:
        assert client.next()["type"] == "heartbeat"
        api.door.who = None
        with pytest.raises(ConnectionClosed) as closed:
            [client.next() for _ in range(100)]

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_a_heartbeat_says_whether_the_pipeline_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ws, "HEARTBEAT_S", 0.1)
    api = Api()
    with joined(api) as client:
        assert client.next()["stale"] is False
        api.is_stale()
        beats = [client.next() for _ in range(3)]

    assert beats[-1]["stale"] is True
    assert beats[-1]["age_s"] >= 3600


def test_unsubscribed_is_silent_and_forgotten() -> None:
    api = Api()
    with joined(api) as client:
        client.subscribe(QUOTES, BARS)
        client.ask("unsubscribe", QUOTES, "quotes:NO/NE@KRAKEN")
        assert client.next()["streams"] == [QUOTES]
        api.publish(Noun.QUOTES, bid("101", 2))
        api.publish(Noun.BARS, bar(last_offset=99))

        assert client.next()["stream"] == BARS


def test_who_goes_leaves_nothing_behind() -> None:
    api = Api()
    with api.served() as url:
        with again(api, url) as client:
            client.subscribe(QUOTES, BARS, TICKS)
            assert api.hub.listeners == 3
            assert api.hub.wish.symbols == {"BTC/USD"}
        deadline = time.monotonic() + WITHIN_S
        while api.hub.listeners and time.monotonic() < deadline:
            time.sleep(0.01)

        assert api.hub.listeners == 0
        assert api.hub.wish.symbols == frozenset()
        assert api.services.metrics.clients == 0


def test_messagepack_says_the_same() -> None:
    api = Api()
    api.publish(Noun.QUOTES, bid("100", 1))
    with joined(api, "?format=msgpack") as client:
        request = {"op": "subscribe", "id": 1, "streams": [QUOTES]}
        client.connection.send(msgspec.msgpack.encode(request))
        snapshot = msgspec.msgpack.decode(client.connection.recv(WITHIN_S))

    assert (snapshot["type"], snapshot["data"][0]["bid"]) == ("snapshot", "100")


def test_clients_of_both_kinds_are_served_side_by_side_and_counted_by_noun() -> None:
    api, request = Api(), {"op": "subscribe", "id": 1, "streams": [BARS, QUOTES], "throttle": 0}
    with api.served() as url:
        address = url.replace("http", "ws") + "/ws"
        with connect(address) as plain, connect(address, subprotocols=[PACKED]) as packed:
            plain.send(json.dumps(request))
            packed.send(msgspec.msgpack.encode(request))
            for _ in range(3):  # two snapshots, and that it is done
                said = json.loads(plain.recv(WITHIN_S))
                assert msgspec.msgpack.decode(packed.recv(WITHIN_S)) == said
            api.publish(Noun.QUOTES, bid("101", 1), bid("102", 2))
            api.publish(Noun.BARS, bar(last_offset=3))
            updates = [json.loads(plain.recv(WITHIN_S)) for _ in range(2)]
            others = [msgspec.msgpack.decode(packed.recv(WITHIN_S)) for _ in range(2)]
        text = api.services.metrics.text().decode()

    assert updates == others
    assert packed.subprotocol == PACKED
    assert [each["stream"] for each in updates] == [QUOTES, BARS]
    assert 'tapeline_api_messages_total{noun="quotes"} 2.0' in text
    assert 'tapeline_api_messages_total{noun="bars"} 2.0' in text
    assert 'noun="ticks"' not in text


def test_redis_away_is_an_error_of_that_stream_alone() -> None:
    api = Api()
    api.publish(Noun.QUOTES, bid("100", 1))
    api.hot_edge.is_away = True
    with joined(api) as client:
        [refused] = client.subscribe("quotes:ETH/USD@KRAKEN")
        assert api.hub.listeners == 0
        snapshot, _ = client.subscribe(QUOTES)

    assert refused["problem"]["status"] == 503
    assert "db.internal" not in str(refused)
    assert snapshot["data"][0]["bid"] == "100"


def test_while_a_client_does_not_read_only_the_newest_values_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wires: list[Wire] = []
    real = ws.wire_of
    monkeypatch.setattr(ws, "wire_of", lambda socket: wires.append(real(socket)) or wires[0])
    api = Api()
    with joined(api) as client:
        client.subscribe(QUOTES, throttle=0)
        monkeypatch.setattr(Wire, "is_writable", property(lambda _: False))
        for n in range(5):
            api.publish(Noun.QUOTES, bid(str(100 + n), n))
        monkeypatch.undo()
        assert api.loop
        api.loop.call_soon_threadsafe(wires[0].on_writable)
        update = client.next()

    assert (update["data"]["bid"], update["seq"], update["merged"]) == ("104", 1, 4)


def test_ticks_that_are_not_picked_yet_are_an_error_and_no_stream_with_a_hole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "OFFERED_WITHIN_S", 0.1)
    api = Api()
    with joined(api) as client:
        monkeypatch.setattr(api.hub, "offers", lambda *_: False)
        [refused] = client.subscribe(TICKS)

    assert refused["problem"]["status"] == 503
    assert api.hub.listeners == 0
