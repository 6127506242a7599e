"""Records of other versions of the tick, before, beside and after the current one."""

from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from schemas.block import decode
from schemas.record import RecordCodec
from schemas.registry import UnknownId, current
from schemas.stamp import stamp
from schemas.wire import Undecodable, frame
from tests.unit.schemas.records import tick

Schema = dict[str, Any]

OURS, THEIRS = 7, 8


class Registry:
    """Two versions of the tick: ours under id 7, another under id 8."""

    def __init__(self, other: Schema) -> None:
        self._schemas = {OURS: current("tick"), THEIRS: other}

    def id_of(self, name: str) -> int:
        """Return ours."""
        assert name == "tick"
        return OURS

    def writer(self, schema_id: int) -> Schema:
        """Return either."""
        if schema_id not in self._schemas:
            raise UnknownId(str(schema_id))
        return self._schemas[schema_id]


def version(change: Callable[[dict[str, Schema]], object]) -> Schema:
    """Return the tick's schema with `change` done to its fields by name."""
    schema = deepcopy(current("tick"))
    fields = {field["name"]: field for field in schema["fields"]}
    change(fields)
    schema["fields"] = list(fields.values())
    return schema


def written(schema: Schema, record: dict[str, Any]) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parse_schema(schema), record)
    return frame(THEIRS, out.getvalue())


def without_sector(fields: dict[str, Schema]) -> None:
    del fields["sector"]


def without_enum_and_list(fields: dict[str, Schema]) -> None:
    del fields["action"], fields["conditions"]


def with_isin(fields: dict[str, Schema]) -> None:
    last = [fields.pop(name) for name in ("quality", "raw_offset")]
    fields["isin"] = {"name": "isin", "type": ["null", "string"], "default": None}
    fields.update({field["name"]: field for field in last})


def in_another_order(fields: dict[str, Schema]) -> None:
    fields["venue"] = fields.pop("venue")


def with_a_narrower_number(fields: dict[str, Schema]) -> None:
    fields["sequence"]["type"] = ["null", "int"]


def with_a_map(fields: dict[str, Schema]) -> None:
    fields["extra"] = {"name": "extra", "type": {"type": "map", "values": "string"}}


CHANGES = [
    without_sector,
    without_enum_and_list,
    with_isin,
    in_another_order,
    with_a_narrower_number,
    with_a_map,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_version_is_read_as_ours_by_both_codecs(
    change: Callable[[dict[str, Schema]], object],
) -> None:
    schema = version(change)
    registry = Registry(schema)
    codec = RecordCodec("tick", registry)
    theirs = written(schema, {**tick(sequence=2), "isin": "US0", "extra": {"a": "b"}})
    values = [codec.encode(tick(sequence=1)), theirs, b"poison", codec.encode(tick(sequence=3))]

    decoded = decode(values, "tick", registry)

    assert decoded.frame["row"].to_list() == [0, 1, 3]
    assert [bad.row for bad in decoded.bad] == [2]
    columns = decoded.frame.drop("row").to_dicts()
    assert columns == [tick(sequence=n) for n in (1, 2, 3)]
    assert codec.decode(theirs) == tick(sequence=2)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_broken_bytes_of_another_version_are_refused(
    change: Callable[[dict[str, Schema]], object],
) -> None:
    schema = version(change)
    registry = Registry(schema)
    theirs = written(schema, {**tick(), "extra": {"a": "b"}})

    for broken in (theirs[:-1], theirs + b"\x00", theirs[:5] + b"\x01" + theirs[6:]):
        with pytest.raises(Undecodable) as error:
            RecordCodec("tick", registry).decode(broken)
        decoded = decode([theirs, broken], "tick", registry)
        assert [(bad.row, bad.reason) for bad in decoded.bad] == [(1, error.value.reason)]
        assert decoded.frame["row"].to_list() == [0]


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields["quality"].update(type="string", default=""),
        lambda fields: fields.pop("venue"),
        lambda fields: fields["action"]["type"].update(symbols=["NEW", "CORRECT", "CANCEL", "x"]),
    ],
    ids=["another type", "a field without a default left out", "another enum symbol"],
)
def test_a_version_that_cannot_be_read_as_ours_is_no_record(
    change: Callable[[dict[str, Schema]], object],
) -> None:
    schema = version(change)
    registry = Registry(schema)
    action = "x" if "x" in str(schema) else "NEW"
    record = {**tick(action=action), "quality": "good"}
    if schema["fields"][-2]["type"] == "int":
        record["quality"] = 0
    theirs = written(schema, record)

    decoded = decode([theirs], "tick", registry)

    assert [(bad.row, bad.reason) for bad in decoded.bad] == [(0, "unknown_schema")]


def test_the_same_schema_under_another_id_is_ours() -> None:
    registry = Registry(version(lambda fields: fields["venue"].update(doc="Where.")))
    codec = RecordCodec("tick", registry)
    theirs = frame(THEIRS, codec.encode(tick())[5:])

    assert codec.decode(theirs) == tick()
    assert decode([theirs], "tick", registry).bad == []


def test_a_tick_of_another_version_is_stamped_as_ours() -> None:
    schema = version(without_sector)
    codec = RecordCodec("tick", Registry(schema))

    stamped = stamp([written(schema, tick())], [1], [10_000], codec)

    assert stamped == [codec.encode(tick(quality=1, raw_offset=10_000))]
