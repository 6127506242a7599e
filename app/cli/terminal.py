"""What commands write: results on standard output, all else on standard error."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""For progress and remarks."""


def note(text: str) -> None:
    """Write a remark on standard error, verbatim."""
    console.print(text, markup=False)


def line(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")


def json_line(record: Mapping[str, Any]) -> None:
    """Write a result as one line of JSON: decimals as text, times in ISO 8601."""
    line(json.dumps({name: plain(value) for name, value in record.items()}))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write rows as a table for people."""
    grid = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*("" if value is None else str(plain(value)) for value in row))
    width = None if sys.stdout.isatty() else 10_000
    Console(file=sys.stdout, width=width, highlight=False, markup=False).print(grid)


def plain(value: Any) -> Any:
    """Return a value as JSON takes it; decimals in plain notation without trailing zeros."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return "0" if text == "-0" else text
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    return value
