"""How polars reads records of one writer's schema, as the current one."""

from collections.abc import Mapping
from io import BytesIO
from json import dumps
from typing import Any, NamedTuple

import polars as pl

from schemas.layout import Field, Kind, fields_of, layout
from schemas.packed import Bytes, Packed
from schemas.walk import Shape, shape
from schemas.wire import PREFIX_BYTES

_SYNC = b"tapeline-records"
"""What ends a container's block."""

_DEFAULTS = (Kind.STRING, Kind.STRINGS, Kind.INT, Kind.LONG, Kind.DOUBLE, Kind.BOOLEAN, Kind.ENUM)


class Reading(NamedTuple):
    """How records of one writer's schema are read.

    Attributes:
        shape: What the walk looks for in them.
        header: Of a container of them; each record's frame is read as its first field.
        columns: The reader's fields, from the writer's.
    """

    shape: Shape
    header: bytes
    columns: list[pl.Expr]

    def join(self, values: Packed) -> Bytes:
        """Return an Avro container of all values, none of them None."""
        size = int((values.ends - values.starts).sum())
        return values.joined(self.header + _varint(len(values)) + _varint(size), _SYNC)

    def read(self, container: Bytes) -> pl.DataFrame | None:
        """Return the reader's fields of a container's records; None when polars refuses it.

        Polars checks texts; all else a walk has found to be whole before, or polars may panic.
        """
        try:
            framed = pl.read_avro(BytesIO(container.data))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return None
        return framed.select(self.columns)


def reading(name: str, schema_id: int, writer: Mapping[str, Any]) -> Reading | None:
    """Return how to read `writer`'s records as the current schema called `name`.

    None where columns cannot be resolved one by one: a field that changed its type, is new without
    a default, or is none of the kinds that `schemas.layout` knows.
    """
    try:
        fields = fields_of(writer)
    except ValueError:
        return None
    written = {field.name: field for field in fields}
    columns = [_column(field, written.get(field.name)) for field in layout(name)]
    resolved = [column for column in columns if column is not None]
    if len(resolved) < len(columns):
        return None
    return Reading(shape(fields, schema_id), _header(fields), resolved)


def _column(field: Field, written: Field | None) -> pl.Expr | None:
    if written is None:
        if not field.has_default or (field.default is not None and field.kind not in _DEFAULTS):
            return None
        return pl.lit(pl.Series([field.default], dtype=field.dtype())).first().alias(field.name)
    if (written.wire, written.symbols) != (field.wire, field.symbols):
        return None
    if field.kind is Kind.ENUM:
        return pl.col(field.name).cast(pl.UInt8).cat.to(field.dtype())
    return pl.col(field.name)


def _header(fields: tuple[Field, ...]) -> bytes:
    frame = {"name": "_frame", "type": {"type": "fixed", "name": "Frame", "size": PREFIX_BYTES}}
    named = [{"name": field.name, "type": field.wire} for field in fields]
    schema = dumps({"type": "record", "name": "Framed", "fields": [frame, *named]}).encode()
    entries = ((b"avro.schema", schema), (b"avro.codec", b"null"))
    sized = [_varint(len(part)) + part for entry in entries for part in entry]
    return b"".join((b"Obj\x01", _varint(len(entries)), *sized, _varint(0), _SYNC))


def _varint(number: int) -> bytes:
    """Return a number >= 0 as Avro writes it."""
    shifted = number << 1
    out = bytearray()
    while shifted > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(shifted & 0x7F | 0x80)
        shifted >>= 7
    out.append(shifted)
    return bytes(out)
