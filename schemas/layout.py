"""How the fields of a flat record lie on the wire and in columns.

Our contracts are flat: scalars, optional scalars (null first) and arrays of strings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Any

import polars as pl

from schemas.registry import current

POLARS_DIGITS = 38
"""The widest decimal polars holds."""

_NULLABLE_BRANCHES = 2


class Kind(Enum):
    """What a field holds."""

    STRING = auto()
    STRINGS = auto()
    BYTES = auto()
    INT = auto()
    LONG = auto()
    DOUBLE = auto()
    BOOLEAN = auto()
    TIME = auto()
    DECIMAL = auto()
    ENUM = auto()


_SCALARS = {
    "string": Kind.STRING,
    "bytes": Kind.BYTES,
    "int": Kind.INT,
    "long": Kind.LONG,
    "double": Kind.DOUBLE,
    "boolean": Kind.BOOLEAN,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    Attributes:
        name: As in the schema.
        kind: What it holds.
        optional: Whether it may be null.
        has_default: Whether a writer may leave it out.
        precision: Digits of a decimal.
        scale: Of those, digits after the point.
        symbols: Values of an enum.
        default: What a reader takes where a writer left it out.
        wire: Its type without defaults, documentation and logical types polars refuses.
    """

    name: str
    kind: Kind
    optional: bool
    has_default: bool
    wire: Any
    precision: int = 0
    scale: int = 0
    symbols: tuple[str, ...] = ()
    default: Any = None

    @property
    def max_bytes(self) -> int:
        """Most bytes the two's complement of a decimal may take."""
        return int((10**self.precision - 1).bit_length()) // 8 + 1

    def dtype(self) -> pl.DataType:  # noqa: PLR0911 - one return a kind
        """Return its column's type; a decimal wider than polars' stays big-endian binary."""
        match self.kind:
            case Kind.STRING:
                return pl.String()
            case Kind.STRINGS:
                return pl.List(pl.String())
            case Kind.INT:
                return pl.Int32()
            case Kind.LONG:
                return pl.Int64()
            case Kind.DOUBLE:
                return pl.Float64()
            case Kind.BOOLEAN:
                return pl.Boolean()
            case Kind.TIME:
                return pl.Datetime("us", "UTC")
            case Kind.DECIMAL if self.precision <= POLARS_DIGITS:
                return pl.Decimal(self.precision, self.scale)
            case Kind.ENUM:
                return pl.Enum(self.symbols)
        return pl.Binary()


@cache
def layout(name: str) -> tuple[Field, ...]:
    """Return the fields of the current schema called `name`, in wire order."""
    return fields_of(current(name))


def fields_of(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the fields of a flat record.

    Raises:
        ValueError: A field is none of the kinds above.
    """
    return tuple(_field(field) for field in schema["fields"])


def _field(field: Mapping[str, Any]) -> Field:
    declared = field["type"]
    optional = isinstance(declared, list)
    if optional and (len(declared) != _NULLABLE_BRANCHES or declared[0] != "null"):
        raise ValueError(f"{field['name']} must be optional as [null, type], was {declared}")
    inner = declared[1] if optional else declared
    kind, wire = _kind(field["name"], inner)
    of = inner if isinstance(inner, dict) else {}
    return Field(
        name=field["name"],
        kind=kind,
        optional=optional,
        has_default="default" in field,
        wire=["null", wire] if optional else wire,
        precision=of.get("precision", 0),
        scale=of.get("scale", 0),
        symbols=tuple(of.get("symbols", ())),
        default=field.get("default"),
    )


def _kind(name: str, inner: Any) -> tuple[Kind, Any]:
    if isinstance(inner, str) and inner in _SCALARS:
        return _SCALARS[inner], inner
    match inner:
        case {"type": "bytes", "logicalType": "decimal", "precision": precision}:
            return Kind.DECIMAL, dict(inner) if precision <= POLARS_DIGITS else "bytes"
        case {"type": "long", "logicalType": "timestamp-micros"}:
            return Kind.TIME, dict(inner)
        case {"type": "enum"}:
            # polars reads an index as fast as an enum, and an index can be checked.
            return Kind.ENUM, "int"
        case {"type": "array", "items": "string"}:
            return Kind.STRINGS, {"type": "array", "items": "string"}
    raise ValueError(f"{name} must be a type the codecs know, was {inner}")
