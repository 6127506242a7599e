"""Records as they come in JSON, to rows and to frames."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import polars as pl

from schemas.json_form import from_jsonable
from schemas.layout import Kind, layout

Row = dict[str, Any]
"""One record: Decimals, aware UTC datetimes, and what JSON has."""


def row(record: str, values: Mapping[str, Any]) -> Row:
    """Return a record; fields that this version does not know are left out."""
    return from_jsonable(record, values)


def frame(record: str, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return records as a frame with the fields of the schema, none or many.

    `notional` has more digits than polars' decimals hold: it is text, and exact. Where it is less
    than 10^14, cast it to ``pl.Decimal(38, 24)``.
    """
    read, wanted = _columns(record)
    found = pl.DataFrame([dict(each) for each in rows], schema=read, orient="row")
    return found.with_columns(pl.col(name).cast(dtype) for name, dtype in wanted.items())


@cache
def _columns(record: str) -> tuple[dict[str, pl.DataType], dict[str, pl.DataType]]:
    """Return each field's type as it is read, and as it is wanted where that is another."""
    read: dict[str, pl.DataType] = {}
    wanted: dict[str, pl.DataType] = {}
    for field in layout(record):
        dtype = field.dtype()
        match field.kind:
            case Kind.DECIMAL:
                read[field.name] = pl.String()
                if isinstance(dtype, pl.Decimal):
                    wanted[field.name] = dtype
            case Kind.TIME:
                read[field.name] = pl.Int64()
                wanted[field.name] = dtype
            case Kind.ENUM:
                # The API may know a word that this version does not.
                read[field.name] = pl.String()
            case _:
                read[field.name] = dtype
    return read, wanted
