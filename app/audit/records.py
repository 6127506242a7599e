"""Records of the logs as Arrow tables, by the published schemas and nothing else of ours.

Decimals are unscaled whole numbers: 128 bits where 38 digits are enough, text where they are
not. Times are microseconds since the epoch.
"""

import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pyarrow as pa
from fastavro import parse_schema, schemaless_reader

from app.errors import RegistryUnavailable

SCHEMAS = Path(__file__).parents[2] / "schemas"
FRAME = struct.Struct(">bI")
WIDE_DIGITS = 38
REGISTRY_TIMEOUT_S = 10.0

Fields = dict[str, Any]


class Message(NamedTuple):
    """One record of a log."""

    partition: int
    offset: int
    append_us: int
    key: bytes | None
    value: bytes | None


class Decoder:
    """Reads the values of one kind of record.

    Args:
        name: Of the schema.
        registry_url: Where ids are looked up that the committed manifest does not have.
    """

    def __init__(self, name: str, registry_url: str = "") -> None:
        self.name = name
        self._registry_url = registry_url.rstrip("/")
        self._current = _plain(json.loads((SCHEMAS / f"{name}.avsc").read_text()))
        self._writers = {
            each["id"]: _plain(json.loads((SCHEMAS / each["file"]).read_text()))
            for each in json.loads((SCHEMAS / "manifest.json").read_text())
            if each["name"] == name
        }
        self._strangers: set[int] = set()

    def fields(self, value: bytes | None) -> Fields | None:
        """Return a record's fields, decimals as bytes; None where the bytes are no record."""
        if value is None or len(value) < FRAME.size:
            return None
        magic, schema_id = FRAME.unpack_from(value)
        writer = self._writer(schema_id) if magic == 0 else None
        if writer is None:
            return None
        source = BytesIO(value[FRAME.size :])
        reader = None if writer == self._current else self._current
        try:
            found = schemaless_reader(source, writer, reader)
        except (ValueError, EOFError, IndexError, TypeError, OverflowError, struct.error):
            return None
        return found if not source.read(1) and isinstance(found, dict) else None

    def rows(self, messages: Iterable[Message]) -> tuple[list[tuple[Message, Fields]], list[int]]:
        """Return the records with their fields, and the offsets of those that are none."""
        good, bad = [], []
        for message in messages:
            fields = self.fields(message.value)
            if fields is None:
                bad.append(message.offset)
            else:
                good.append((message, fields))
        return good, bad

    def table(self, rows: Sequence[tuple[Message, Fields]], names: Sequence[str]) -> pa.Table:
        """Return some fields of decoded records, with `p`, `off`, `append_us` and `key`."""
        columns: dict[str, Any] = {
            "p": pa.array([m.partition for m, _ in rows], pa.int32()),
            "off": pa.array([m.offset for m, _ in rows], pa.int64()),
            "append_us": pa.array([m.append_us for m, _ in rows], pa.int64()),
            "key": pa.array([m.key for m, _ in rows], pa.binary()),
        }
        made = _makers(self.name)
        for name in names:
            columns[_column(name)] = made[name]([fields[name] for _, fields in rows])
        return pa.table(columns)

    def _writer(self, schema_id: int) -> Any:
        found = self._writers.get(schema_id)
        if found is None and self._registry_url and schema_id not in self._strangers:
            text = _registered(f"{self._registry_url}/schemas/ids/{schema_id}")
            schema = None if text is None else json.loads(text)
            if isinstance(schema, dict) and schema.get("name") == self._raw_name():
                found = self._writers[schema_id] = _plain(schema)
            else:
                self._strangers.add(schema_id)
        return found

    def _raw_name(self) -> str:
        name: str = json.loads((SCHEMAS / f"{self.name}.avsc").read_text())["name"]
        return name


def _registered(url: str) -> str | None:
    try:
        answer = httpx.get(url, timeout=REGISTRY_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise RegistryUnavailable(f"schema registry: {type(error).__name__}") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.is_error:
        raise RegistryUnavailable(f"schema registry answered {answer.status_code}")
    text: str = answer.json()["schema"]
    return text


def _column(name: str) -> str:
    """Return a name that SQL has no other use for."""
    return {"open_time": "open_us", "close_time": "close_us", "offset": "tick_off"}.get(name, name)


def _plain(schema: Any) -> Any:
    return parse_schema(_without_logical_types(schema))


def _without_logical_types(schema: Any) -> Any:
    """Decimals stay bytes and times whole numbers: nothing is converted twice."""
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    return {name: _without_logical_types(part) for name, part in schema.items()}


@cache
def _makers(name: str) -> Mapping[str, Callable[[list[Any]], Any]]:
    """Return what makes a column of each field."""
    given = json.loads((SCHEMAS / f"{name}.avsc").read_text())["fields"]
    return {field["name"]: _maker(field["type"]) for field in given}


def _maker(kind: Any) -> Callable[[list[Any]], Any]:
    for branch in kind if isinstance(kind, list) else [kind]:
        if branch == "null":
            continue
        if isinstance(branch, dict) and branch.get("logicalType") == "decimal":
            return _narrow if branch["precision"] <= WIDE_DIGITS else _wide
        word = branch["type"] if isinstance(branch, dict) else branch
        if word == "array":
            return lambda values: pa.array(values, pa.list_(pa.string()))
        plain = {
            "string": pa.string(), "enum": pa.string(), "bytes": pa.binary(), "int": pa.int32(),
            "long": pa.int64(), "boolean": pa.bool_(),
        }[word]  # fmt: skip
        return lambda values: pa.array(values, plain)
    raise AssertionError(f"a field must have a type, was {kind!r}")


def _narrow(values: list[bytes | None]) -> Any:
    """Return unscaled decimals as 128-bit whole numbers; longer ones are null, and no decimals."""
    marks = bytearray(-(-len(values) // 8))
    limbs = bytearray()
    for n, value in enumerate(values):
        if value is None or len(value) > 16:  # noqa: PLR2004 - bytes of 128 bits
            limbs += bytes(16)
            continue
        marks[n >> 3] |= 1 << (n & 7)
        limbs += value.rjust(16, b"\xff" if value[:1] >= b"\x80" else b"\0")[::-1]
    buffers = [pa.py_buffer(bytes(marks)), pa.py_buffer(bytes(limbs))]
    return pa.Array.from_buffers(pa.decimal128(38, 0), len(values), buffers)


def _wide(values: list[bytes | None]) -> Any:
    texts = [None if v is None else str(int.from_bytes(v, "big", signed=True)) for v in values]
    return pa.array(texts, pa.string())
