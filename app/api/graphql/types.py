"""The types of the answers, made of the Avro schemas: fields have the names of the records.

Values are what JSON has (`schemas.json_form`), so the scalars pass them on as they are.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from types import GenericAlias
from typing import Any, NewType, TypeVar

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.api.ohlc import moment_of
from schemas.json_form import microseconds
from schemas.json_schema import json_schema
from schemas.layout import Field, Kind, layout

Decimal = NewType("Decimal", str)
Micros = NewType("Micros", int)
Long = NewType("Long", int)

F = TypeVar("F", bound=Callable[..., Any])
_LONGEST = 1 << 63


def _micros(value: Any) -> int | None:
    """Return microseconds; ISO 8601 is taken as well."""
    found = moment_of(str(value), "Micros")
    return None if found is None else microseconds(found)


def _long(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -_LONGEST <= value < _LONGEST:
        raise ValueError(f"a Long must be a whole number of 64 bits, was {value!r}")
    return value


SCALARS: dict[object, Any] = {
    Decimal: strawberry.scalar(
        name="Decimal", description="Exact, as a string without exponent or trailing zeros.",
        serialize=str, parse_value=str,
    ),
    Micros: strawberry.scalar(
        name="Micros", description="Microseconds since 1970-01-01T00:00:00Z; taken as ISO 8601, "
        "too.", serialize=_long, parse_value=_micros,
    ),
    Long: strawberry.scalar(
        name="Long", description="A whole number of 64 bits.", serialize=_long, parse_value=_long,
    ),
}  # fmt: skip


def _value(of: Any, name: str) -> Any:
    return of.get(name) if isinstance(of, Mapping) else getattr(of, name)


CONFIG = StrawberryConfig(
    auto_camel_case=False,
    default_resolver=_value,
    disable_field_suggestions=True,  # they cost a search through all names
    scalar_map=SCALARS,
)

_TYPES: Mapping[Kind, Any] = {
    Kind.STRING: str,
    Kind.BYTES: str,
    Kind.ENUM: str,
    Kind.STRINGS: list[str],
    Kind.INT: int,
    Kind.LONG: Long,
    Kind.DOUBLE: float,
    Kind.BOOLEAN: bool,
    Kind.TIME: Micros,
    Kind.DECIMAL: Decimal,
}


def _record(name: str) -> Any:
    """Return the type of a record."""
    described = json_schema(name)
    docs = described["properties"]

    def declared(field: Field) -> tuple[str, Any, Any]:
        of = _TYPES[field.kind]
        doc = docs[field.name].get("description", "")
        return field.name, of | None if field.optional else of, strawberry.field(description=doc)

    made = make_dataclass(described["title"], [declared(each) for each in layout(name)])
    return strawberry.type(made, description=described["description"])


def _many(of: Any) -> Any:
    return GenericAlias(list, (of,))


def _object(name: str, description: str, **fields: Any) -> Any:
    return strawberry.type(make_dataclass(name, list(fields.items())), description=description)


def _answer(name: str, data: Any, **more: Any) -> Any:
    return _object(
        name, "Data, where they are from, and how old they are at most.",
        data=data, **more, source=str, age_s=float, stale=bool,
    )  # fmt: skip


def _update(name: str, data: Any) -> Any:
    return _object(
        name,
        "One message of a subscription. kind: snapshot (the newest value, none without data), "
        "resumed, update, or heartbeat (without data, every 10 s). seq rises by one with each "
        "message of a series; token: go on from here, given to another subscription.",
        kind=str, series=str | None, seq=int, token=str | None, data=data | None, merged=int,
        missed=int, age_s=float, stale=bool,
    )  # fmt: skip


Quote, Bar, Anomaly, Gap = (_record(name) for name in ("quote", "bar", "anomaly", "gap"))
Series = _object("Series", "What there is.", symbol=str, venue=str)
Feed = _object(
    "Feed", "How a venue does.",
    venue=str, status=str, series=int, silent_s=float | None, open_gaps=int,
)  # fmt: skip
QuoteAnswer = _answer("QuoteAnswer", Quote)
BarsAnswer = _answer("BarsAnswer", _many(Bar), next=str | None)
SymbolsAnswer = _answer("SymbolsAnswer", _many(Series))
AnomaliesAnswer = _answer("AnomaliesAnswer", _many(Anomaly))
GapsAnswer = _answer("GapsAnswer", _many(Gap))
FeedsAnswer = _answer("FeedsAnswer", _many(Feed))
QuoteUpdate = _update("QuoteUpdate", Quote)
BarUpdate = _update("BarUpdate", Bar)


@strawberry.input(description="From where a series goes on.")
class Place:
    """A series and its token."""

    series: str
    token: str


def answers(of: Any, name: str | None = None) -> Callable[[F], F]:
    """Make a field of a resolver, with its docstring and an answer's type."""

    def made(resolver: F) -> F:
        doc = inspect.getdoc(resolver)
        return strawberry.field(resolver, name=name, graphql_type=of, description=doc)  # type: ignore[return-value]

    return made


def updates(of: Any) -> Callable[[F], F]:
    """Make a subscription of a resolver, likewise."""

    def made(resolver: F) -> F:
        doc = inspect.getdoc(resolver)
        return strawberry.subscription(resolver, graphql_type=of, description=doc)  # type: ignore[return-value]

    return made
