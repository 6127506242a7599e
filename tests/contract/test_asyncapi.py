"""The AsyncAPI document: valid, whole, and true of what the WebSocket says.

`asyncapi-3.0.0.json` is the AsyncAPI Initiative's own JSON Schema of AsyncAPI 3.0.0, unchanged:
`schemas/3.0.0-without-$id.json` of the package @asyncapi/specs 6.11.1, Apache License 2.0.
"""

import copy
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from typer.testing import CliRunner
from websockets.sync.client import connect

from app import topics
from app.api import ws
from app.api.asyncapi import document
from app.api.codec import Codec
from app.api.streams import Noun
from app.cli.commands import commands
from tests.unit.api.api import Api, anomaly, bar, quote, tick

SPECIFICATION = json.loads((Path(__file__).parent / "asyncapi-3.0.0.json").read_text())
DOCUMENT = document()
NAMES = [
    "quotes:BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1", "ticks:BTC/USD@KRAKEN",
    "anomalies:BTC/USD@KRAKEN",
]  # fmt: skip


def of_message(name: str) -> jsonschema_rs.Draft7Validator:
    """Return what judges payloads of a message."""
    schema = {**DOCUMENT["components"]["messages"][name]["payload"]}
    return jsonschema_rs.Draft7Validator({**schema, "components": DOCUMENT["components"]})


def test_the_document_is_valid_asyncapi() -> None:
    validator = jsonschema_rs.Draft7Validator(SPECIFICATION)

    faults = [f"{each.instance_path}: {each.message}" for each in validator.iter_errors(DOCUMENT)]

    assert faults == []


@pytest.mark.parametrize(
    "break_it",
    [
        lambda it: it.pop("info"),
        lambda it: it["operations"]["stream"].update(action="shout"),
        lambda it: it["channels"]["ws"]["bindings"]["ws"].update(method="PUT"),
        lambda it: it["components"]["messages"]["bars.v1"]["payload"]["schema"].pop("fields"),
        lambda it: it["servers"]["kafka"].pop("host"),
    ],
)
def test_a_document_that_is_not_is_seen(break_it: Callable[[Any], Any]) -> None:
    broken = copy.deepcopy(DOCUMENT)
    break_it(broken)

    assert not jsonschema_rs.Draft7Validator(SPECIFICATION).is_valid(broken)


def references(of: Any) -> Iterator[str]:
    if isinstance(of, dict):
        if isinstance(of.get("$ref"), str):
            yield of["$ref"]
        for each in of.values():
            yield from references(each)
    elif isinstance(of, list):
        for each in of:
            yield from references(each)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))

    assert len(found) > 30
    for each in found:
        at: Any = DOCUMENT
        for part in each.removeprefix("#/").split("/"):
            at = at[part]


@pytest.mark.parametrize("topic", topics.ALL, ids=lambda each: each.name)
def test_every_topic_is_in_it_with_its_schema(topic: topics.Topic) -> None:
    channel = DOCUMENT["channels"][topic.name]
    message = DOCUMENT["components"]["messages"][topic.name]
    schema = json.loads((files("schemas") / f"{topic.schema}.avsc").read_text())

    assert channel["address"] == topic.name
    assert message["payload"]["schema"] == schema
    assert message["bindings"]["kafka"]["key"]["description"]
    kafka = channel["bindings"]["kafka"]["topicConfiguration"]
    assert kafka["cleanup.policy"] == [topic.cleanup]
    assert kafka.get("retention.ms") == topic.retention_ms


def test_a_prefix_is_before_every_topic() -> None:
    channels = document("test.")["channels"]

    assert {channels[each.name]["address"] for each in topics.ALL} == {
        f"test.{each.name}" for each in topics.ALL
    }


def of_socket() -> list[str]:
    return [*DOCUMENT["channels"]["ws"]["messages"]]


@pytest.mark.parametrize("name", of_socket())
def test_every_example_is_what_its_message_says(name: str) -> None:
    [example] = DOCUMENT["components"]["messages"][name]["examples"]

    of_message(name).validate(example["payload"])


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe", "ping"])
def test_every_request_is_one_that_is_taken(name: str) -> None:
    [example] = DOCUMENT["components"]["messages"][name]["examples"]

    assert Codec(binary=False).request(json.dumps(example["payload"])).op == name


def named(frame: dict[str, Any]) -> str:
    """Return the message that a frame is."""
    stream = frame.get("stream")
    return f"{stream.partition(':')[0]}.{frame['type']}" if stream else frame["type"]


def said(api: Api, *, binary: bool) -> Iterator[dict[str, Any]]:
    """Have everything said that there is to say."""
    encode = msgspec.msgpack.encode if binary else lambda each: msgspec.json.encode(each).decode()
    with api.served() as url:
        uri = f"{url.replace('http', 'ws')}/ws?format={'msgpack' if binary else 'json'}"
        with connect(uri) as socket:

            def frame() -> dict[str, Any]:
                text = socket.recv(10)
                found: dict[str, Any] = (
                    msgspec.msgpack.decode(text) if binary else msgspec.json.decode(text)  # type: ignore[arg-type]
                )
                return found

            tokens = {}
            for asked in (
                {"op": "ping", "id": "a"},
                {"op": "shout", "id": 2},
                {"op": "subscribe", "id": 3, "streams": NAMES, "throttle": 0},
            ):
                socket.send(encode(asked))
            while (found := frame())["type"] != "subscribed":
                yield found
            yield found
            api.publish(Noun.QUOTES, quote(tick_offset=8, sequence=3))
            api.publish(Noun.BARS, bar(last_offset=99))
            api.publish(Noun.TICKS, tick())
            api.publish(Noun.ANOMALIES, anomaly())
            while len(tokens) < len(NAMES):
                yield (found := frame())
                if found["type"] == "update":
                    tokens[found["stream"]] = found["token"]
            socket.send(encode({"op": "unsubscribe", "id": 4, "streams": NAMES}))
            socket.send(encode({"op": "subscribe", "streams": NAMES, "resume": tokens}))
            while (found := frame())["type"] != "subscribed":
                yield found
            while (found := frame())["type"] != "heartbeat":
                pass
            yield found


@pytest.mark.parametrize("binary", [False, True], ids=["json", "msgpack"])
def test_what_is_said_is_what_is_described(
    binary: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ws, "HEARTBEAT_S", 0.2)
    api = Api()
    api.publish(Noun.QUOTES, quote())
    api.publish(Noun.BARS, bar())
    api.publish(Noun.ANOMALIES, anomaly())

    names = set()
    for frame in said(api, binary=binary):
        names.add(named(frame))
        of_message(named(frame)).validate(frame)

    kinds = (f"{noun.value}.{kind}" for noun in Noun for kind in ("snapshot", "update", "resumed"))
    answers = {"subscribed", "unsubscribed", "pong", "error", "heartbeat"}
    assert names >= {*kinds, *answers}
    assert names == set(of_socket()) - {"subscribe", "unsubscribe", "ping"}


async def test_it_is_served_to_viewers_and_printed_as_it_is_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TAPELINE_HOME", str(tmp_path))
    async with Api().client() as client:
        served = await client.get("/asyncapi.json")
    async with Api(None).client() as client:
        refused = await client.get("/asyncapi.json")
    printed = CliRunner().invoke(commands, ["schemas", "asyncapi"])

    assert served.json() == DOCUMENT
    assert refused.status_code == 401
    assert json.loads(printed.output) == DOCUMENT


def test_no_message_is_described_that_no_operation_has() -> None:
    used = [
        reference.rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        for reference in references(
            [operation.get("messages", []), operation.get("reply", {}).get("messages", [])]
        )
    ]

    assert set(used) == set(of_socket())
