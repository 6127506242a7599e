"""The days that the table of ticks has room for, and how long they stay.

TimescaleDB makes and drops its chunks itself. Without it ticks has one native partition a day:
made ahead by `maintain`, and on demand for the old event times of a backfill.
"""

from dataclasses import dataclass
from datetime import date
from threading import Lock

import polars as pl

from app.errors import StoreUnavailable
from connectors.postgres import Connections

FIND_EXPIRED = """
SELECT day FROM tick_days
WHERE greatest(created_at, (day + 1)::timestamp AT TIME ZONE 'UTC') < now() - make_interval(days => %s)
ORDER BY day
"""  # noqa: E501
ADD_COMING = """
SELECT add_tick_days(
    ARRAY(SELECT (now() AT TIME ZONE 'UTC')::date + n FROM generate_series(0, %s) AS n)
)
"""


@dataclass(frozen=True, slots=True)
class Maintained:
    """What a run of `maintain` changed.

    Attributes:
        made: Partitions made ahead.
        dropped: Days dropped.
    """

    made: int
    dropped: tuple[date, ...]


class TickDays:
    """The partitions of one database's ticks."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: set[date] = set()
        self._native: bool | None = None
        self._lock = Lock()

    def are_native(self) -> bool:
        """Return whether ticks is partitioned by us and not by TimescaleDB.

        Raises:
            StoreUnavailable: There is no table of ticks yet.
        """
        if self._native is None:
            with self._connections.transaction() as connection:
                query = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass('ticks')"
                found = connection.execute(query).fetchone()
            if found is None:
                raise StoreUnavailable("Postgres has no table ticks: run `tapeline migrate`")
            self._native = bool(found[0])
        return self._native

    def add(self, frame: pl.DataFrame) -> None:
        """Make room for the event times of `frame`, in a transaction of its own."""
        if not self.are_native() or frame.is_empty():
            return
        days = set(frame["event_time"].dt.date().unique().to_list())
        with self._lock:
            if missing := days - self._known:
                with self._connections.transaction() as connection:
                    connection.execute("SELECT add_tick_days(%s)", (sorted(missing),))
                self._known |= missing

    def forget(self) -> None:
        """Ask the database again next time."""
        with self._lock:
            self._known.clear()

    def maintain(self, ahead_days: int, keep_days: int) -> Maintained:
        """Make partitions for today and `ahead_days` more, and drop those `keep_days` old.

        Age counts from the end of the day or from the partition's making, whichever is later, so
        the ticks of a backfill stay as long as live ones. With TimescaleDB the same rule becomes
        its retention policy, and its own job drops the chunks.
        """
        if not self.are_native():
            with self._connections.transaction() as connection:
                connection.execute("SELECT remove_retention_policy('ticks', if_exists => true)")
                connection.execute(
                    "SELECT add_retention_policy('ticks',"
                    " drop_created_before => make_interval(days => %s))",
                    (keep_days,),
                )
            return Maintained(0, ())
        with self._connections.transaction() as connection:
            made = connection.execute(ADD_COMING, (ahead_days,)).fetchone()
            expired = [day for (day,) in connection.execute(FIND_EXPIRED, (keep_days,))]
        for day in expired:
            # Each on its own: dropping locks the table for a moment, and may have to wait.
            with self._connections.transaction() as connection:
                connection.execute("SELECT drop_tick_day(%s)", (day,))
        self.forget()
        return Maintained(made[0] if made else 0, tuple(expired))
