"""Rows of a file of ticks: JSON lines or CSV with a header, whichever the first line is.

A line that is no row comes out as what is wrong with it; the lines after it are read on.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

BOM = "\ufeff"


class Line(NamedTuple):
    """One row of a file.

    Attributes:
        number: The line it ends on, from 1.
        row: Its values by name; None if the line is no row.
        fault: What is wrong with it then.
    """

    number: int
    row: Mapping[str, Any] | None
    fault: str = ""


def rows(lines: Iterable[bytes]) -> Iterator[Line]:
    """Yield the rows of a file, given its lines; empty lines are passed over.

    Numbers of JSON with a fraction come as `Decimal`, digit by digit as they are written.
    """
    # What is no UTF-8 stays in the text as lone surrogates, which no field of a tick takes.
    texts = ((n, line.decode(errors="surrogateescape")) for n, line in enumerate(lines, 1))
    for number, text in texts:
        first = text.removeprefix(BOM)
        if first.strip():
            kept = chain([(number, first)], texts)
            is_json = first.lstrip().startswith(("{", "["))
            yield from _json_rows(kept) if is_json else _csv_rows(kept)
            return


def _json_rows(texts: Iterable[tuple[int, str]]) -> Iterator[Line]:
    for number, text in texts:
        if not text.strip():
            continue
        try:
            row = json.loads(
                text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once
            )
        except (ValueError, RecursionError) as error:
            yield Line(number, None, f"line must be a JSON object: {error}")
            continue
        if isinstance(row, dict):
            yield Line(number, row)
        else:
            yield Line(number, None, f"line must be a JSON object, was {text.strip()[:80]!r}")


def _csv_rows(texts: Iterable[tuple[int, str]]) -> Iterator[Line]:
    reader = csv.reader((text for _, text in texts), strict=True)
    header: list[str] = []
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(reader.line_num, None, f"line must be CSV: {error}")
            continue
        if not header:
            header = [name.strip() for name in cells]
        elif cells and len(cells) != len(header):
            fault = f"line must have {len(header)} fields as the header has, had {len(cells)}"
            yield Line(reader.line_num, None, fault)
        elif cells:
            yield Line(reader.line_num, dict(zip(header, cells, strict=True)))


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(n for n in names if names.count(n) > 1)!r} stands twice")
    return row
