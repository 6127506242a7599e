"""What Postgres holds of bars, copied into tables of the audit; and its digest."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from pyarrow import csv

from app.audit.emissions import COLUMNS, DECIMALS, FIELDS
from app.errors import StoreUnavailable

BYTES_AT_ONCE = 8 << 20
KEYS_AT_ONCE = 10_000
TIMES = {"open_us": "open_time", "close_us": "close_time"}
TYPES = {
    **dict.fromkeys(("trades", "late", "first_offset", "last_offset", "duplicates", "quotes",
                     "open_us", "close_us"), pa.int64()),
    **dict.fromkeys(("revision", "source_partition"), pa.int32()),
}  # fmt: skip
BYTES_AS_TEXT = dict.fromkeys(FIELDS, pa.string())


def _expression(name: str) -> str:
    if name in TIMES:
        return f"(extract(epoch FROM b.{TIMES[name]}) * 1000000)::bigint"
    if name in DECIMALS:
        return f"(b.{name} * 1000000000000)::numeric(60, 0)"
    return "(b.notional * 1e24::numeric)::numeric(84, 0)" if name == "notional" else f"b.{name}"


SELECTED = ", ".join(f"{_expression(name)} AS {name}" for name in FIELDS)
TABLES = {"pg_bars": "bars", "pg_revisions": "bar_revisions"}
KEYS = (
    " JOIN unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS k (s, v, t, o)"
    " ON b.symbol = k.s AND b.venue = k.v AND b.timeframe = k.t"
    " AND b.open_time = timestamptz 'epoch' + k.o * interval '1 microsecond'"
)
DIGEST = """
SELECT count(*), coalesce(sum(('x' || substr(md5(text), 1, 15))::bit(60)::bigint), 0)
FROM (SELECT ({columns})::text AS text FROM {table} b) t
"""
Key = tuple[str, str, str, int]
"""Symbol, venue, timeframe, open time, µs."""


class Warm:
    """Postgres.

    Args:
        db: Where the tables `pg_bars` and `pg_revisions` are made.
        url: A libpq URL.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, url: str) -> None:
        self._db, self._url = db, url
        for table in TABLES:
            db.execute(f"CREATE TABLE {table} ({COLUMNS})")

    def take_all(self) -> None:
        """Copy all bars and all of their history."""
        for table, source in TABLES.items():
            self._copy(table, f"SELECT {SELECTED} FROM {source} b")

    def take(self, keys: Sequence[Key]) -> None:
        """Copy some bars and their history."""
        for start in range(0, len(keys), KEYS_AT_ONCE):
            columns = [list(c) for c in zip(*keys[start : start + KEYS_AT_ONCE], strict=True)]
            for table, source in TABLES.items():
                query = f"SELECT {SELECTED} FROM {source} b{KEYS}"
                self._copy(table, query, columns)

    def digest(self) -> dict[str, Any]:
        """Return how many rows there are, and what any other row or value would change (I3)."""
        found = {}
        columns = "ROW(" + ", ".join(f"b.{TIMES.get(name, name)}" for name in FIELDS) + ")"
        with self._connection() as connection:
            for source in TABLES.values():
                query = DIGEST.format(columns=columns, table=source)
                count, total = connection.execute(query.encode()).fetchone() or (0, 0)
                found[source] = f"{count}:{int(total):x}"
        return found

    def _copy(self, table: str, query: str, arguments: Sequence[Any] = ()) -> None:
        numbers = ", ".join(
            f"{name}::HUGEINT" if name in DECIMALS
            else f"{name} = 't'" if name in {"is_final", "complete", "partial"} else name
            for name in FIELDS
        )  # fmt: skip
        with self._connection() as connection, connection.cursor() as cursor:
            copy = f"COPY ({query}) TO STDOUT (FORMAT csv)"
            with cursor.copy(copy.encode(), arguments or None) as blocks:
                for chunk in _whole_lines(blocks):
                    self._db.register("chunk", _table(chunk))
                    self._db.execute(f"INSERT INTO {table} SELECT {numbers} FROM chunk")
                    self._db.unregister("chunk")

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            with psycopg.connect(self._url, connect_timeout=10) as connection:
                connection.execute("SET TIME ZONE 'UTC'")
                yield connection
        except psycopg.OperationalError as error:
            raise StoreUnavailable(f"Postgres: {str(error).strip()}") from None


def _whole_lines(blocks: Any) -> Iterator[bytes]:
    held = bytearray()
    for block in blocks:
        held += block
        if len(held) >= BYTES_AT_ONCE:
            end = held.rfind(b"\n") + 1
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def _table(lines: bytes) -> pa.Table:
    return csv.read_csv(
        io.BytesIO(lines),
        read_options=csv.ReadOptions(column_names=list(FIELDS)),
        convert_options=csv.ConvertOptions(
            column_types={**BYTES_AS_TEXT, **TYPES}, null_values=[""], strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )  # fmt: skip
