"""The JSON form of a record, the same in Redis, REST and every stream.

Decimals are plain strings, times integer microseconds since 1970. Read from the schemas, so that
a field added to a contract is in it without a change here.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Row = Mapping[str, Any]


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
    return {
        name: value if write is None or value is None else write(value)
        for name, write in _converted(record, plain, microseconds)
        for value in (row[name],)
    }


def from_jsonable(record: str, values: Row) -> dict[str, Any]:
    """Return the row that `jsonable` made `values` of; a field that is not there is None."""
    return {
        name: value if read is None or value is None else read(value)
        for name, read in _converted(record, Decimal, moment)
        for value in (values.get(name),)
    }


@cache
def _converted(
    record: str, of_decimal: Callable[[Any], Any], of_time: Callable[[Any], Any]
) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    """Return each field with what converts its values, None where they stay as they are."""
    by_kind = {Kind.DECIMAL: of_decimal, Kind.TIME: of_time}
    return tuple((name, by_kind.get(kind)) for name, kind in fields(record).items())
