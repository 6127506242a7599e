"""Answers as OpenAPI describes them, made of the Avro schemas."""

import json
from typing import Any

from app.api.freshness import Origin
from app.api.problems import MEDIA_TYPE
from schemas.json_schema import example, json_schema

Responses = dict[int | str, dict[str, Any]]

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
    },
}
_REFUSALS = {
    400: "The request is wrong",
    401: "Nobody known",
    403: "Not allowed to this role or key",
    404: "Nothing has this name",
    409: "Several venues list the symbol",
    422: "A parameter breaks its rule",
    429: "Too many requests: see Retry-After",
    503: "A server behind the API is away: see Retry-After",
}


def answers(record: str, *, many: bool = False, has_next: bool = False) -> Responses:
    """Return the responses of a route whose data is one record, or an array of them."""
    schema, shown = json_schema(record), example(record)
    return envelope(
        {"type": "array", "items": schema} if many else schema,
        [shown] if many else shown,
        has_next=has_next,
    )


def envelope(data: dict[str, Any], shown: Any, *, has_next: bool = False) -> Responses:
    """Return the responses of a route whose data have a JSON Schema, with an example."""
    properties = {
        "data": data,
        "source": {"type": "string", "enum": [origin.value for origin in Origin]},
        "age_s": {"type": "number", "description": "Input newer than this may be missing."},
        "stale": {"type": "boolean", "description": "The age is beyond API_STALE_AFTER."},
    }
    sample = {"data": shown, "source": "hot", "age_s": 0.4, "stale": False}
    if has_next:
        properties["next"] = {"type": "string", "description": "`cursor` of the page before."}
        sample["next"] = "1763719200000000"
    body = {
        "type": "object",
        "required": ["data", "source", "age_s", "stale"],
        "properties": properties,
    }
    return {
        200: {
            "description": "Success",
            "content": {"application/json": {"schema": body, "example": sample}},
        },
        **refusals(),
    }


def plain_text(shown: str) -> Responses:
    """Return the success of a route that answers with text."""
    content = {"text/plain": {"schema": {"type": "string"}, "example": shown}}
    return {200: {"description": "Success", "content": content}}


def events(name: str, record: str) -> Responses:
    """Return the success of a route that sends events of a name, each with a record."""
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": json_schema(record),
    }
    properties = {"event": {"const": name}, "data": data, "id": {"type": "string"}}
    shown = f"event: {name}\ndata: {json.dumps(example(record))}\nid: 2-1041\n\n"
    # `schema` would be of the whole, which has no end.
    content = {"itemSchema": {"type": "object", "properties": properties}, "example": shown}
    return {200: {"description": "Success", "content": {"text/event-stream": content}}}


def refusals() -> Responses:
    """Return the problems that any route may answer with."""
    return {
        status: {"description": text, "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
        for status, text in _REFUSALS.items()
    }
