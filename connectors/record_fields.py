"""The fields of the records the stores keep, by what kind of value each holds.

Read from the schemas, so that a field added to a contract reaches Redis without a change here.
"""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

from app.domain.ports import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Kind(Enum):
    """What a field holds, and so how it is written as text."""

    DECIMAL = "decimal"
    TIME = "time"
    TEXT = "text"
    PLAIN = "plain"
    """Whole numbers, booleans and lists: as JSON has them."""


@cache
def fields(record: str) -> dict[str, Kind]:
    """Return the fields of the schema named `record`, in its order."""
    schema = json.loads((files("schemas") / f"{record}.avsc").read_text())
    return {field["name"]: _kind(field["type"]) for field in schema["fields"]}


def _kind(declared: Any) -> Kind:
    branches = declared if isinstance(declared, list) else [declared]
    logical = {branch.get("logicalType") for branch in branches if isinstance(branch, dict)}
    types = {branch.get("type") for branch in branches if isinstance(branch, dict)}
    if "decimal" in logical:
        return Kind.DECIMAL
    if "timestamp-micros" in logical:
        return Kind.TIME
    return Kind.TEXT if "string" in branches or "enum" in types else Kind.PLAIN


def plain(value: Decimal) -> str:
    """Return `value` without exponent and without trailing zeros: ``0.5``, ``100``, ``0``."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def microseconds(time: datetime) -> int:
    """Return `time` as whole microseconds since 1970, exactly."""
    return (time - EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return the UTC time `value` microseconds after 1970."""
    return EPOCH + timedelta(microseconds=value)


def to_json(record: str, row: Row) -> str:
    """Return `row` as JSON: decimals as plain strings, times as integer microseconds."""
    return json.dumps(jsonable(record, row), separators=(",", ":"))


def jsonable(record: str, row: Row) -> dict[str, Any]:
    """Return the values of `row` as JSON takes them; keys that are no field are left out."""
    return {name: _out(kind, row[name]) for name, kind in fields(record).items()}


def from_jsonable(record: str, values: dict[str, Any]) -> Row:
    """Return the row that `jsonable` made `values` of; a field that is not there is None."""
    return {name: _in(kind, values.get(name)) for name, kind in fields(record).items()}


def _out(kind: Kind, value: Any) -> Any:
    if value is None or kind in {Kind.TEXT, Kind.PLAIN}:
        return value
    return plain(value) if kind is Kind.DECIMAL else microseconds(value)


def _in(kind: Kind, value: Any) -> Any:
    if value is None or kind in {Kind.TEXT, Kind.PLAIN}:
        return value
    return Decimal(value) if kind is Kind.DECIMAL else moment(value)
