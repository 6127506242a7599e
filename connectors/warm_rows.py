"""Ticks and bars as the text that Postgres copies in, and the names of their columns."""

import re

import polars as pl
import psycopg

from app.domain.ports import Row
from schemas.json_form import fields

BAR_COLUMNS = tuple(fields("bar"))
TICK_COLUMNS = tuple(fields("tick"))
TICK_IDENTITY = ("symbol", "venue", "event_time", "raw_offset")
"""The same tick, when normalization wrote it twice."""


def ticks_csv(frame: pl.DataFrame, partition: int) -> bytes:
    """Return `frame` as CSV: `TICK_COLUMNS`, partition, offset; null is empty, "" is quoted."""
    return (
        frame.select(
            *(column for column in TICK_COLUMNS if column != "conditions"),
            _array_text(frame["conditions"]).alias("conditions"),
            pl.lit(partition).alias("partition"),
            "offset",
        )
        .select(*TICK_COLUMNS, "partition", "offset")
        .write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00")
        .encode()
    )


def _array_text(lists: pl.Series) -> pl.Expr:
    r"""Return lists of text in Postgres's notation, ``{"a","b\"c"}``."""
    if lists.list.len().max() in {0, None}:
        return pl.lit("{}")
    quoted = pl.element().str.replace_all(r'(["\\])', r"\$1")
    quoted = pl.concat_str(pl.lit('"'), quoted, pl.lit('"'))
    return pl.concat_str(
        pl.lit("{"), pl.col("conditions").list.eval(quoted).list.join(","), pl.lit("}")
    )


def bar_name(row: Row) -> str:
    """Return how an error names a bar."""
    open_time = row["open_time"].isoformat()
    return f"bar {row['symbol']}@{row['venue']}|{row['timeframe']}|{open_time}"


def tick_name(frame: pl.DataFrame, row: int) -> str:
    """Return how an error names a tick."""
    at = frame.row(row, named=True)
    time = at["event_time"].isoformat()
    return f"tick {at['symbol']}@{at['venue']} {time} offset {at['offset']}"


def copied_line(error: psycopg.Error) -> int | None:
    """Return the line of a COPY that `error` speaks of, from 1."""
    found = re.search(r"^COPY \w+, line (\d+)", error.diag.context or "")
    return int(found[1]) if found else None


def tick_to_blame(frame: pl.DataFrame, error: psycopg.Error) -> str:
    """Return how an error names the row of `frame` that the server refused, with a colon."""
    line = copied_line(error)
    if isinstance(error, psycopg.errors.CharacterNotInRepertoire):
        # Found before the text is cut into lines. A frame's text is UTF-8, so NUL is all it can be.
        has_nul = _count_in_text(frame, "\0") > 0
        return f"{tick_name(frame, has_nul.arg_max() or 0)}: "
    if line is None:
        return ""
    # Quoted text may hold newlines, so lines are not rows.
    last_lines = (1 + _count_in_text(frame, "\n")).cum_sum()
    row = int((last_lines < line).sum())
    return f"{tick_name(frame, min(row, frame.height - 1))}: "


def _count_in_text(frame: pl.DataFrame, what: str) -> pl.Series:
    """Return how often each row's text has the character `what`."""
    columns = [pl.col(name) for name in TICK_COLUMNS if frame[name].dtype == pl.String]
    columns.append(pl.col("conditions").list.join(""))
    counts = [column.str.count_matches(what, literal=True).fill_null(0) for column in columns]
    return frame.select(pl.sum_horizontal(counts)).to_series().cast(pl.Int64)
