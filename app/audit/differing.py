"""Queries that name each field in which two tables of bars differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from app.audit.emissions import KEY
from app.audit.report import Report

ON = ", ".join(KEY)
SCALES = {**dict.fromkeys(("open", "high", "low", "close", "volume", "vwap"), 12), "notional": 24}


@dataclass(frozen=True)
class Differing:
    """Puts differences into the report, and the bars that have some into the table `wrong`.

    Attributes:
        db: Where the tables are.
        report: What was found.
    """

    db: duckdb.DuckDBPyConnection
    report: Report

    def __post_init__(self) -> None:
        self.db.execute(
            "CREATE TABLE IF NOT EXISTS wrong (symbol VARCHAR, venue VARCHAR, timeframe VARCHAR,"
            " open_us BIGINT)"
        )

    def values(  # noqa: PLR0913 - two tables, and what is said of them
        self,
        invariant: str,
        what: str,
        tables: tuple[str, str],
        names: Sequence[str],
        where: str,
        rows: str = "true",
    ) -> None:
        """Name the fields in which bars of two tables, l as expected and r as found, differ."""
        unlike = " OR ".join(f"l.{name} IS DISTINCT FROM r.{name}" for name in names)
        pairs = ", ".join(
            f"CASE WHEN l.{n} IS DISTINCT FROM r.{n} THEN"
            f" {{'field': '{n}', 'left': {_text('l', n)}, 'right': {_text('r', n)}}} END"
            for n in names
        )
        of = f"FROM {tables[0]} l JOIN {tables[1]} r USING ({ON}) WHERE ({rows}) AND ({unlike})"
        query = f"""
            SELECT bar, pair.field, pair.left, pair.right
            FROM (SELECT {named("l")} AS bar, unnest([{pairs}]) AS pair {of})
            WHERE pair IS NOT NULL
        """
        if self.report.add_query(invariant, self.db, what, query, where=where):
            self.db.execute(f"INSERT INTO wrong SELECT {ON} {of}")

    def bars(
        self, invariant: str, what: str, where: str, fields: tuple[str, str, str], of: str
    ) -> None:
        """Name bars that ought not to be, or be so.

        Args:
            invariant: Which one is broken.
            what: What is wrong with them, in words.
            where: Where they are.
            fields: The field, and expressions of what is expected and found.
            of: From where, the bar's table called l.
        """
        name, expected, found = fields
        query = f"SELECT {named('l')}, '{name}', ({expected})::VARCHAR, ({found})::VARCHAR {of}"
        if self.report.add_query(invariant, self.db, what, query, where=where):
            keys = ", ".join(f"l.{name}" for name in KEY)
            self.db.execute(f"INSERT INTO wrong SELECT {keys} {of}")


def named(table: str) -> str:
    """Return an expression of a bar's name, for people."""
    return (
        f"{table}.symbol || '@' || {table}.venue || ' ' || {table}.timeframe || ' '"
        f" || strftime(make_timestamp({table}.open_us), '%Y-%m-%dT%H:%M:%S.%fZ')"
    )


def _text(table: str, name: str) -> str:
    """Unscaled numbers as decimals, for people."""
    column = f"{table}.{name}::VARCHAR"
    if name not in SCALES:
        return f"coalesce({column}, 'null')"
    scale = SCALES[name]
    padded = f"lpad({column}, greatest(length({column}), {scale + 1})::INTEGER, '0')"
    return f"coalesce(left({padded}, -{scale}) || '.' || right({padded}, {scale}), 'null')"
