"""The AsyncAPI 3 document: every topic of Kafka, and the WebSocket, made of the schemas.

Nothing in it is written twice: topics come from `app.topics`, their payloads are the Avro schemas
themselves, requests and messages of the WebSocket come from the structs that it reads and writes,
and their data from the same JSON Schemas as OpenAPI's.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response

from app import topics
from app.api import asyncapi_ws
from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.asyncapi_ws import ref
from app.api.documented import PROBLEM, refusals
from app.api.serving import Served, respond
from app.api.streams import Noun
from app.topics import Topic
from schemas.json_schema import json_schema
from schemas.registry import current

router = APIRouter(tags=["description"])

AVRO = "application/vnd.apache.avro+json;version=1.9.0"
DESCRIPTION = """Ticks, bars, quotes and anomalies as Tapeline streams them: on Kafka, and over a
WebSocket. See also /openapi.json, and /graphql."""
SYMBOL, SERIES = "the symbol: BTC/USD", "symbol@venue: BTC/USD@KRAKEN"
KEYS: Mapping[str, str] = {
    topics.RAW.name: SYMBOL,
    topics.TICKS.name: SYMBOL,
    topics.BARS.name: "symbol@venue|timeframe|open_time in µs: BTC/USD@KRAKEN|M1|1763719200000000",
    topics.QUOTES.name: SERIES,
    topics.ANOMALIES.name: SYMBOL,
    topics.GAPS.name: "symbol@venue|from_id: BTC/USD@KRAKEN|101",
    topics.LATE.name: SYMBOL,
    topics.DEAD_LETTERS.name: "topic|partition|offset of the refused record, |agent where told",
    topics.CLOCK.name: "the partition's number",
}
"""What each topic's records are keyed by."""

Object = dict[str, Any]


@router.get(
    "/asyncapi.json",
    responses={
        200: {
            "description": "The AsyncAPI 3.0 document",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "required": ["asyncapi"]},
                    "example": {"asyncapi": "3.0.0", "info": {"title": "Tapeline"}},
                }
            },
        },
        **refusals(),
    },
)
async def asyncapi(
    services: Served, _who: Annotated[Principal, Depends(require(Role.VIEWER))]
) -> Response:
    """Describe the topics and the WebSocket."""
    return respond(text(services.settings.topic_prefix))


@cache
def text(prefix: str = "") -> bytes:
    """Return the document; `prefix` is before every topic's name."""
    return msgspec.json.format(msgspec.json.encode(document(prefix)), indent=2)


def document(prefix: str = "") -> Object:
    """Return the document as an object."""
    messages = {**{each.name: _record(each) for each in topics.ALL}, **asyncapi_ws.messages()}
    channels = {each.name: _topic(each, prefix) for each in topics.ALL}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Tapeline", "version": "1", "description": DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "kafka": _server("kafka", "localhost:9092", "KAFKA_BOOTSTRAP_SERVERS"),
            "api": _server("ws", "127.0.0.1:8000", "API_HOST and API_PORT"),
        },
        "channels": {**channels, "ws": asyncapi_ws.channel()},
        "operations": {**_on_topics(), **asyncapi_ws.operations()},
        "components": {
            "messages": messages,
            "schemas": {
                **{noun.topic.schema: json_schema(noun.topic.schema) for noun in Noun},
                "problem": PROBLEM,
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Key or JWT."},
                "token": {
                    "type": "httpApiKey", "in": "query", "name": "access_token",
                    "description": "The same, for browsers.",
                },
            },
        },
    }  # fmt: skip


def _server(protocol: str, host: str, variables: str) -> Object:
    found: Object = {"host": host, "protocol": protocol, "description": f"Where: {variables}."}
    if protocol == "ws":
        found["security"] = [
            ref("components/securitySchemes", each) for each in ("bearer", "token")
        ]
    return found


def _topic(topic: Topic, prefix: str) -> Object:
    config: Object = {"cleanup.policy": [topic.cleanup], "max.message.bytes": topic.max_bytes}
    if topic.retention_ms is not None:
        config["retention.ms"] = topic.retention_ms
    return {
        "address": prefix + topic.name,
        "description": current(topic.schema).get("doc", ""),
        "servers": [ref("servers", "kafka")],
        "messages": {topic.name: ref("components/messages", topic.name)},
        "bindings": {
            "kafka": {
                "topic": prefix + topic.name,
                "topicConfiguration": config,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _record(topic: Topic) -> Object:
    return {
        "name": topic.schema,
        "title": current(topic.schema)["name"],
        "contentType": "avro/binary",
        "description": "Byte 0, the schema's id in 4 bytes, big-endian, and Avro's binary form.",
        "payload": {"schemaFormat": AVRO, "schema": current(topic.schema)},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": KEYS[topic.name]},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": "0.5.0",
            }
        },
    }


def _on_topics() -> Object:
    return {
        f"{'receive' if each is topics.RAW else 'send'}.{each.name}": {
            "action": "receive" if each is topics.RAW else "send",
            "channel": ref("channels", each.name),
        }
        for each in topics.ALL
    }
