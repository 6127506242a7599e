"""JSON Schema of the records' JSON form, made of the Avro schemas: OpenAPI and AsyncAPI show it."""

from functools import cache
from typing import Any

from schemas.registry import current

DECIMAL = {
    "type": "string",
    "pattern": r"^-?[0-9]+(\.[0-9]+)?$",
    "description": "Exact decimal, without exponent or trailing zeros.",
}
TIME = {
    "type": "integer",
    "format": "int64",
    "description": "Microseconds since 1970-01-01T00:00:00Z.",
}
EXAMPLES: dict[str, Any] = {
    "symbol": "BTC/USD",
    "venue": "KRAKEN",
    "timeframe": "M1",
    "decimal": "91250.1",
    "time": 1_763_719_200_000_000,
    "source": "kraken",
    "reason": "live",
    "action": "NEW",
    "kind": "price_jump",
    "severity": "warn",
    "detail": "price moved 12 % within one tick",
    "conditions": [],
}
_PLAIN = {
    "string": {"type": "string"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "double": {"type": "number"},
    "boolean": {"type": "boolean"},
    "bytes": {"type": "string"},
}


@cache
def json_schema(record: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record's JSON form, with an example.

    A field that may be null may also be left out.
    """
    schema = current(record)
    fields = schema["fields"]
    return {
        "title": schema["name"],
        "type": "object",
        "description": schema.get("doc", ""),
        "properties": {field["name"]: _described(field) for field in fields},
        "required": [
            field["name"]
            for field in fields
            if not (isinstance(field["type"], list) and "null" in field["type"])
        ],
        "examples": [example(record)],
    }


@cache
def example(record: str) -> dict[str, Any]:
    """Return a record that shows the form."""
    return {field["name"]: _example(field) for field in current(record)["fields"]}


def _described(field: dict[str, Any]) -> dict[str, Any]:
    found = _typed(field["type"])
    doc = " ".join(part for part in (field.get("doc"), found.get("description")) if part)
    return {**found, "description": doc}


def _typed(declared: Any) -> dict[str, Any]:
    if isinstance(declared, list):
        return _union(declared)
    if isinstance(declared, str):
        return dict(_PLAIN[declared])
    logical = {"decimal": DECIMAL, "timestamp-micros": TIME}.get(declared.get("logicalType", ""))
    if logical is not None:
        return dict(logical)
    if declared["type"] == "enum":
        return {"type": "string", "enum": list(declared["symbols"])}
    if declared["type"] == "array":
        return {"type": "array", "items": _typed(declared["items"])}
    return _typed(declared["type"])


def _union(branches: list[Any]) -> dict[str, Any]:
    """Return one type of a union, and whether it may be null: no schema of ours has more."""
    [only] = [_typed(each) for each in branches if each != "null"]
    return {**only, "type": [only["type"], "null"]} if "null" in branches else only


def _example(field: dict[str, Any]) -> Any:
    typed = _typed(field["type"])
    if field["name"] in EXAMPLES and "enum" not in typed:
        return EXAMPLES[field["name"]]
    if "enum" in typed:
        return typed["enum"][0]
    if typed.get("pattern") == DECIMAL["pattern"]:
        return EXAMPLES["decimal"]
    if typed.get("description") == TIME["description"]:
        return EXAMPLES["time"]
    kinds = typed["type"] if isinstance(typed["type"], list) else [typed["type"]]
    return {"string": "", "integer": 1, "number": 0.12, "boolean": True, "array": []}[kinds[0]]
