"""One record to bytes and back, through fastavro, strictly.

fastavro reads more than Avro allows. Whatever it read is written again: the same bytes are a
record; other bytes, or none, are judged by `schemas.grammar`.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError

from schemas import grammar, values
from schemas.layout import fields_of
from schemas.registry import (
    Registry,
    Schema,
    UnansweredId,
    UnknownId,
    canonical,
    current,
    full_name,
)
from schemas.wire import Undecodable, Unencodable, prefix, unframe


class RecordCodec:
    """The codec of one kind of record, read as its current schema.

    Args:
        name: The record, as in ``schemas/<name>.avsc``.
        registry: Where ids and writers' schemas are found.
    """

    def __init__(self, name: str, registry: Registry) -> None:
        self.name = name
        self.schema_id = registry.id_of(name)
        self._registry = registry
        self._schema = current(name)
        self._plain = parse_schema(_without_logical_types(self._schema))
        self._prefix = prefix(self.schema_id)
        self._writers: dict[int, Any] = {}
        fields = fields_of(self._schema)
        self._names = {field.name for field in fields}
        self._needed = [field.name for field in fields if not field.has_default]
        self._read = [
            (field.name, convert)
            for field in fields
            if (convert := values.reader(field, name)) is not None
        ]
        self._write = {field.name: values.writer(field, name) for field in fields}

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Return the framed bytes of `record`; fields left out take the schema's default.

        Raises:
            Unencodable: A field is unknown, missing, or holds what its type does not, such as a
                decimal with too many digits, which is never rounded.
        """
        unknown = [name for name in record if name not in self._names]
        missing = [name for name in self._needed if name not in record]
        if unknown or missing:
            raise Unencodable(
                f"{self.name} must have its schema's fields, missing {missing}, unknown {unknown}"
            )
        write = self._write
        return self._framed({name: write[name](value) for name, value in record.items()})

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """Return the fields of a framed record: decimals exact, times aware and in UTC.

        Raises:
            Undecodable: The bytes are no record of this name.
        """
        return self._ours(self._avro(value))

    def canonical(self, value: bytes | None) -> bytes:
        """Return the same record under the current schema, arrays in one part.

        Raises:
            Undecodable: The bytes are no record of this name.
        """
        record = self._avro(value)
        for name, convert in self._read:
            convert(record[name])
        return self._framed(record)

    def _ours(self, record: dict[str, Any]) -> dict[str, Any]:
        for name, convert in self._read:
            record[name] = convert(record[name])
        return record

    def _framed(self, record: Mapping[str, Any]) -> bytes:
        out = BytesIO()
        out.write(self._prefix)
        schemaless_writer(out, self._plain, record)
        return out.getvalue()

    def _avro(self, value: bytes | None) -> dict[str, Any]:
        schema_id, payload = unframe(value)
        writer = self._plain if schema_id == self.schema_id else self._writer(schema_id)
        source = BytesIO(payload)
        try:
            record: Any = schemaless_reader(source, writer, None)
            again = BytesIO()
            schemaless_writer(again, writer, record)
        except (EOFError, ValueError, LookupError, OverflowError) as error:
            grammar.check(payload, writer)
            raise Undecodable("not_avro", f"{self.name} was refused: {error}") from error
        if again.getvalue() != payload:
            grammar.check(payload, writer)
        if writer is not self._plain:
            record = self._resolved(schema_id, payload, writer)
        fields: dict[str, Any] = record
        return fields

    def _resolved(self, schema_id: int, payload: bytes, writer: Any) -> Any:
        try:
            return schemaless_reader(BytesIO(payload), writer, self._plain)
        except SchemaResolutionError as error:
            rule = f"schema {schema_id} must be readable as {self.name}"
            raise Undecodable("unknown_schema", f"{rule}: {error}") from error

    def writer(self, schema_id: int) -> Schema:
        """Return the schema of an id, if it is a version of this record's.

        Raises:
            Undecodable: unknown_schema, or registry_unavailable.
        """
        if schema_id == self.schema_id:
            return self._schema
        try:
            schema = self._registry.writer(schema_id)
        except UnansweredId as error:
            raise Undecodable("registry_unavailable", str(error)) from error
        except UnknownId as error:
            raise Undecodable("unknown_schema", str(error)) from error
        wanted = full_name(self._schema)
        if full_name(schema) != wanted:
            raise Undecodable(
                "unknown_schema", f"schema {schema_id} must be {wanted}, was {full_name(schema)}"
            )
        return schema

    def _writer(self, schema_id: int) -> Any:
        if schema_id not in self._writers:
            schema = self.writer(schema_id)
            is_ours = canonical(schema) == canonical(self._schema)
            plain = self._plain if is_ours else parse_schema(_without_logical_types(schema))
            self._writers[schema_id] = plain
        return self._writers[schema_id]


def _without_logical_types(schema: Any) -> Any:
    """Return `schema` as plain Avro types, which fastavro hands over untouched."""
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    return {
        key: value if key == "default" else _without_logical_types(value)
        for key, value in schema.items()
        if key != "doc"
    }
