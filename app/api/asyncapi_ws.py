"""The WebSocket's part of the AsyncAPI document, made of the structs that it reads and writes."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from app.api.codec import MSGPACK, Request
from app.api.outbox import Message
from app.api.streams import NAME, Noun
from schemas.json_schema import TIME, example

Object = dict[str, Any]
_ID: Object = {
    "description": "Given back as it was asked with.",
    "type": ["integer", "string", "null"],
}
_NAMES: Object = {"type": "array", "items": {"type": "string", "pattern": f"^{NAME.pattern}$"}}


def ref(place: str, name: str) -> Object:
    """Return what points to another place of the document."""
    return {"$ref": f"#/{place}/{name}"}


def channel() -> Object:
    """Return the channel."""
    return {
        "address": "/ws",
        "description": f"Text frames of JSON; with ?format=msgpack or the subprotocol {MSGPACK} "
        "the same objects as binary frames of MessagePack.",
        "servers": [ref("servers", "api")],
        "messages": {name: ref("components/messages", name) for name in messages()},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {
                        "format": {"type": "string", "enum": ["json", "msgpack"]},
                        "access_token": {"type": "string"},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def operations() -> Object:
    """Return what may be done: asked and answered, and what streams send."""

    def at(names: Sequence[str]) -> list[Object]:
        return [ref("channels/ws/messages", name) for name in names]

    here = ref("channels", "ws")
    asked = {
        name: {
            "action": "receive",
            "channel": here,
            "messages": at([name]),
            "reply": {"channel": here, "messages": at([answer, "error"])},
        }
        for name, answer in _ANSWERS.items()
    }
    said = [name for name in messages() if name not in {*_ANSWERS, *_ANSWERS.values(), "error"}]
    return {**asked, "stream": {"action": "send", "channel": here, "messages": at(said)}}


_ANSWERS = {"subscribe": "subscribed", "unsubscribe": "unsubscribed", "ping": "pong"}
_ASKED = {
    "subscribe": ("streams", "resume", "throttle", "rate"),
    "unsubscribe": ("streams",),
    "ping": (),
}


@cache
def messages() -> Object:
    """Return the messages of the WebSocket, each with an example."""
    found = {op: _message(op, *_request(op, fields)) for op, fields in _ASKED.items()}
    for name in ("subscribed", "unsubscribed"):
        shown = {"type": name, "id": 1, "streams": ["quotes:BTC/USD@KRAKEN"]}
        found[name] = _message(name, _said(name, id=_ID, streams=_NAMES), shown)
    found["pong"] = _message("pong", _said("pong", id=_ID), {"type": "pong", "id": 3})
    found["error"] = _message(
        "error",
        _said("error", id=_ID, problem=ref("components/schemas", "problem")),
        {
            "type": "error",
            "id": 1,
            "problem": {"type": "about:blank", "title": "Bad request", "status": 400},
        },
    )
    found["heartbeat"] = _message(
        "heartbeat",
        _said("heartbeat", time=TIME, age_s={"type": "number"}, stale={"type": "boolean"}),
        {"type": "heartbeat", "time": 1_763_719_200_000_000, "age_s": 0.4, "stale": False},
    )
    for noun in Noun:
        found |= _of_stream(noun)
    return found


def _message(name: str, payload: Object, shown: Object) -> Object:
    return {"name": name, "payload": payload, "examples": [{"payload": shown}]}


def _struct(of: type[msgspec.Struct]) -> Object:
    _, components = msgspec.json.schema_components([of])
    found: Object = components[of.__name__]
    return found


def _request(op: str, fields: Sequence[str]) -> tuple[Object, Object]:
    declared = _struct(Request)["properties"]
    properties = {"op": {"const": op}, "id": declared["id"]} | {n: declared[n] for n in fields}
    if "streams" in properties:
        properties["streams"] = {**_NAMES, "minItems": 1}
    required = ["op", *(["streams"] if "streams" in fields else [])]
    shown: Object = {"op": op, "id": 1}
    if fields:
        shown["streams"] = ["quotes:BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1"]
    schema = {"type": "object", "properties": properties, "required": required}
    return {**schema, "additionalProperties": False}, shown


def _said(name: str, **fields: Object) -> Object:
    properties = {"type": {"const": name}, **fields}
    return {"type": "object", "properties": properties, "required": [*properties]}


def _of_stream(noun: Noun) -> Object:
    """Return what a stream of a noun says: its records are data of the same struct."""
    record, declared = noun.topic.schema, _struct(Message)
    values = ref("components/schemas", record)
    end = ":M1" if noun is Noun.BARS else ""
    found = {}
    for kind, data in (
        ("snapshot", {"type": "array", "items": values}),
        ("resumed", {"type": "array", "maxItems": 0}),
        ("update", values),
    ):
        properties = {**declared["properties"], "type": {"const": kind}, "data": data}
        properties["stream"] = {"type": "string", "pattern": f"^{noun.value}:"}
        schema = {**declared, "title": f"{kind} of {noun.value}", "properties": properties}
        shown = {
            "type": kind,
            "stream": f"{noun.value}:BTC/USD@KRAKEN{end}",
            "seq": int(kind == "update"),
            "token": "2-1041",
            "data": {"snapshot": [example(record)], "resumed": []}.get(kind, example(record)),
        }
        found[f"{noun.value}.{kind}"] = _message(kind, schema, shown)
    return found
