"""The warm store on Postgres 15, with or without TimescaleDB: every bar and every tick.

A block is one transaction: lock the partition's row in sink_offsets, leave out what is at or
below it, write, move it on. The lock makes a second worker of the same partition wait, and then
see that nothing is left to do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from typing_extensions import override

from app.domain.ports import OFFSET, Applied, Position, Row, WarmStore
from app.errors import StoreUnavailable
from connectors.postgres import Connection, Connections
from connectors.tick_days import Maintained, TickDays
from connectors.warm_fence import SinkFence, without_repeats
from connectors.warm_rows import (
    BAR_COLUMNS,
    TICK_COLUMNS,
    bar_name,
    copied_line,
    tick_to_blame,
    ticks_csv,
)

BARS = ", ".join(BAR_COLUMNS)
TICKS = ", ".join(TICK_COLUMNS)
KEY = "symbol, venue, timeframe, open_time"
VALUES = [column for column in BAR_COLUMNS if column not in KEY.split(", ")]

STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS bars_stage (LIKE bars INCLUDING CONSTRAINTS)
ON COMMIT DELETE ROWS
"""
COPY_BARS = f"COPY bars_stage ({BARS}) FROM STDIN"
UPSERT_BARS = f"""
INSERT INTO bars ({BARS})
SELECT DISTINCT ON ({KEY}) {BARS} FROM bars_stage
ORDER BY {KEY}, revision DESC, last_offset DESC
ON CONFLICT ({KEY}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in VALUES)}
WHERE (excluded.revision, excluded.last_offset) > (bars.revision, bars.last_offset)
"""  # noqa: S608 - constants
APPEND_REVISIONS = f"""
INSERT INTO bar_revisions ({BARS}) SELECT {BARS} FROM bars_stage WHERE revision >= 1
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
NEWEST_BARS = f"""
SELECT {BARS} FROM bars WHERE symbol = %s AND venue = %s AND timeframe = %s
AND open_time >= coalesce(%s::timestamptz, '-infinity')
AND open_time < coalesce(%s::timestamptz, 'infinity')
ORDER BY open_time DESC LIMIT %s
"""  # noqa: S608 - constants
NEWEST_TICKS = f"""
SELECT {TICKS}, tick_offset FROM ticks WHERE symbol = %s AND venue = %s
AND event_time >= coalesce(%s::timestamptz, '-infinity')
AND event_time < coalesce(%s::timestamptz, 'infinity')
ORDER BY event_time DESC, tick_offset DESC LIMIT %s
"""  # noqa: S608 - constants
COPY_TICKS = f"COPY ticks ({TICKS}, partition, tick_offset) FROM STDIN (FORMAT csv)"


class PostgresWarmStore(WarmStore):
    """`WarmStore` on a Postgres database that was migrated; safe to call from several threads."""

    def __init__(self, url: str, *, sink: str = "warm", **timeouts: Any) -> None:
        """Connects on first use.

        Args:
            url: A libpq URL.
            sink: Whose offsets these are; another name applies the topics anew.
            timeouts: See `Connections`.
        """
        self._connections = Connections(url, **timeouts)
        self._fence = SinkFence(sink)
        self._days = TickDays(self._connections)

    @override
    def apply_bars(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        rows: Sequence[Row],
    ) -> Applied:
        moved = Position(topic, partition, last_offset + 1)
        _check_range(moved, first_offset)
        is_native = self._days.are_native()
        with self._connections.transaction() as connection:
            fence = self._fence.lock(connection, topic, partition)
            fresh = [row for row in rows if row[OFFSET] >= fence.next_offset]
            written = 0
            if fresh:
                if not is_native:
                    # A revision of an old bar unpacks a compressed batch of 1,000 rows or more.
                    connection.execute(
                        "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0"
                    )
                self._stage(connection, fresh)
                written = connection.execute(UPSERT_BARS).rowcount
                connection.execute(APPEND_REVISIONS)
            position = self._fence.advance(connection, fence, moved)
        return Applied(written, len(rows) - written, position)

    def _stage(self, connection: Connection, rows: list[Row]) -> None:
        connection.execute(STAGE)
        row: Row = {}
        try:
            with connection.cursor().copy(COPY_BARS) as copy:
                for row in rows:  # names the row that the driver refuses
                    copy.write_row([row[column] for column in BAR_COLUMNS])
        except psycopg.Error as error:
            line = copied_line(error)
            blamed = rows[line - 1] if line else row
            raise self._connections.translated(error, f"{bar_name(blamed)}: ") from error

    @override
    def apply_ticks(
        self,
        topic: str,
        partition: int,
        first_offset: int,
        last_offset: int,
        frame: pl.DataFrame,
    ) -> Applied:
        moved = Position(topic, partition, last_offset + 1)
        _check_range(moved, first_offset)
        self._days.add(frame)
        with self._connections.transaction() as connection:
            fence = self._fence.lock(connection, topic, partition)
            fresh = frame.filter(pl.col("offset") >= fence.next_offset)
            fresh = without_repeats(connection, fresh, fence.next_raw_offset)
            if fresh.height:
                self._copy_ticks(connection, fresh, partition)
            highest: Any = fresh["raw_offset"].max()
            next_raw_offset = 0 if highest is None else highest + 1
            position = self._fence.advance(connection, fence, moved, next_raw_offset)
        return Applied(fresh.height, frame.height - fresh.height, position)

    def _copy_ticks(self, connection: Connection, frame: pl.DataFrame, partition: int) -> None:
        try:
            with connection.cursor().copy(COPY_TICKS) as copy:
                copy.write(ticks_csv(frame, partition))
        except psycopg.errors.CheckViolation as error:
            # No partition: retention dropped the day after we had seen it.
            self._days.forget()
            raise StoreUnavailable(f"Postgres: ticks has no partition: {error}") from error
        except psycopg.Error as error:
            raise self._connections.translated(error, tick_to_blame(frame, error)) from error

    @override
    def positions(self, topics: Sequence[str]) -> dict[tuple[str, int], int]:
        with self._connections.transaction() as connection:
            return self._fence.positions(connection, topics)

    @override
    def bars(
        self,
        symbol: str,
        venue: str,
        timeframe: str,
        start: datetime | None,
        end: datetime | None,
        limit: int,
    ) -> list[Row]:
        rows = self._oldest_first(NEWEST_BARS, symbol, venue, timeframe, start, end, limit)
        return [dict(zip(BAR_COLUMNS, row, strict=True)) for row in rows]

    @override
    def revisions(self, symbol: str, venue: str, timeframe: str, open_time: datetime) -> list[Row]:
        query = f"""
        SELECT {BARS} FROM bar_revisions
        WHERE symbol = %s AND venue = %s AND timeframe = %s AND open_time = %s
        ORDER BY revision, last_offset
        """  # noqa: S608 - constants
        with self._connections.transaction() as connection:
            rows = connection.execute(query, (symbol, venue, timeframe, open_time)).fetchall()
        return [dict(zip(BAR_COLUMNS, row, strict=True)) for row in rows]

    @override
    def ticks(
        self, symbol: str, venue: str, start: datetime | None, end: datetime | None, limit: int
    ) -> list[Row]:
        rows = self._oldest_first(NEWEST_TICKS, symbol, venue, start, end, limit)
        names = (*TICK_COLUMNS, "offset")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def maintain(self, ahead_days: int = 3, keep_days: int = 90) -> Maintained:
        """Make the coming days' partitions and drop what is older; see `TickDays.maintain`."""
        return self._days.maintain(ahead_days, keep_days)

    @override
    def ping(self) -> str:
        query = """
        SELECT current_setting('server_version'),
               (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')
        """
        with self._connections.transaction() as connection:
            found = connection.execute(query).fetchone()
        server, extension = found or ("?", None)
        beside = f"TimescaleDB {extension}" if extension else "no TimescaleDB"
        return f"PostgreSQL {server}, {beside}"

    @override
    def close(self) -> None:
        self._connections.close()

    def _oldest_first(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with self._connections.transaction() as connection:
            return connection.execute(query.encode(), arguments).fetchall()[::-1]


def _check_range(moved: Position, first_offset: int) -> None:
    if not 0 <= first_offset < moved.offset:
        raise ValueError(
            f"offsets of {moved.topic}/{moved.partition} must be 0 <= first <= last, "
            f"were {first_offset} and {moved.offset - 1}"
        )
