"""I2 and I4 of the stores: Redis and Postgres beside the recompute and the newest emissions."""

import duckdb

from app.audit.differing import ON, Differing
from app.audit.emissions import FIELDS
from app.audit.hot import KEPT
from app.audit.judge import VALUES
from app.audit.report import Report

OWED = f"""
CREATE OR REPLACE TABLE owed AS
SELECT n.* FROM newest n LEFT JOIN redis_series s USING (symbol, venue, timeframe)
QUALIFY row_number() OVER (PARTITION BY symbol, venue, timeframe ORDER BY open_us DESC) <= {KEPT}
    AND (coalesce(s.bars, 0) < {KEPT} OR n.open_us >= s.oldest_us)
"""
"""Redis keeps the newest bars of each series."""
MOVING = f"(SELECT DISTINCT {ON} FROM emitted WHERE is_later)"
RANKS = ("l.revision || ', ' || l.last_offset", "r.revision || ', ' || r.last_offset")
OLDER = "(l.revision, l.last_offset) < (r.revision, r.last_offset)"
NEWER = "(l.revision, l.last_offset) > (r.revision, r.last_offset)"


class Stores:
    """Compares what the stores hold, after `Judge.bars`.

    Args:
        db: Where all the tables are.
        report: What was found.
        is_full: Whether all was read.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, report: Report, *, is_full: bool) -> None:
        self._db, self._report, self._is_full = db, report, is_full
        self._differing = Differing(db, report)

    def judge(self) -> None:
        """Compare both, and the history."""
        self._db.execute(OWED)
        self._store("Postgres", "pg_bars", "newest")
        self._store("Redis", "redis_bars", "owed")
        self._history()

    def _store(self, where: str, table: str, owed: str) -> None:
        differing = self._differing
        differing.values("I2", "has other values", ("clear", table), VALUES, where,
                         f"NOT EXISTS (SELECT 1 FROM newest n WHERE {_same('n', 'l')}"
                         f" AND (n.revision, n.last_offset) = (r.revision, r.last_offset))"
                         " AND r.is_final")  # fmt: skip
        differing.bars("I4", "is not there", where, ("revision", "l.revision", "'none'"),
                       f"FROM {owed} l ANTI JOIN {table} USING ({ON})")  # fmt: skip
        both = f"FROM newest l JOIN {table} r USING ({ON})"
        differing.bars("I4", "is older than the newest emission", where, ("revision", *RANKS),
                       f"{both} WHERE {NEWER}")  # fmt: skip
        differing.bars("I4", "is newer than any emission", where, ("revision", *RANKS),
                       f"{both} ANTI JOIN {MOVING} m USING ({ON}) WHERE {OLDER}")  # fmt: skip
        differing.values("I4", "is not the newest emission, whole", ("newest", table), FIELDS[4:],
                         where, f"NOT ({OLDER}) AND NOT ({NEWER})")  # fmt: skip
        if self._is_full:
            differing.bars("I4", "is not in bars.v1", where, ("revision", "'none'", "l.revision"),
                           f"FROM {table} l ANTI JOIN emitted USING ({ON})")  # fmt: skip
        [(count,)] = self._db.execute(f"SELECT count(*) FROM {table}").fetchall()
        self._report.count("I2", **{f"bars_{where.lower()}": int(count)})

    def _history(self) -> None:
        """Every final emission is there, whole; none is newer than its bar."""
        differing, where = self._differing, "history"
        emitted = "(SELECT * FROM emitted WHERE revision > 0)"
        rank = "l.revision = r.revision AND l.last_offset = r.last_offset"
        differing.bars("I4", "is an emission that is not there", where,
                       ("revision", RANKS[0], "'none'"),
                       f"FROM (SELECT * FROM emitted WHERE revision > 0 AND NOT is_later) l"
                       f" ANTI JOIN pg_revisions r ON {_same('l', 'r')} AND {rank}")  # fmt: skip
        differing.values("I4", "is another than was emitted", (emitted, "pg_revisions"),
                         FIELDS[4:], where, rank)  # fmt: skip
        differing.bars("I4", "is older in the table than in its history", where,
                       ("revision", RANKS[1], RANKS[0]),
                       f"FROM pg_bars l JOIN pg_revisions r USING ({ON})"
                       f" WHERE {OLDER}")  # fmt: skip
        differing.bars("I4", "changed without a reason", where,
                       ("reason", "'one'", "l.reason"),
                       "FROM pg_revisions l WHERE reason IN ('', 'live')"
                       " OR (revision > 1 AND reason = 'final')")  # fmt: skip


def _same(left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in ON.split(", "))
