"""bars.v1 as tables: what was emitted, the newest of each bar, and whether revisions go forward."""

from collections.abc import Iterable

import duckdb

from app.audit.records import Decoder, Message
from app.audit.report import Report

FIELDS = (
    "symbol", "venue", "timeframe", "open_us", "close_us", "open", "high", "low", "close",
    "volume", "notional", "vwap", "trades", "revision", "reason", "is_final", "complete",
    "partial", "late", "source_partition", "first_offset", "last_offset", "duplicates", "quotes",
)  # fmt: skip
KEY = FIELDS[:4]
DECIMALS = ("open", "high", "low", "close", "volume", "vwap")
_AVRO = {"open_us": "open_time", "close_us": "close_time"}
AVRO = tuple(_AVRO.get(name, name) for name in FIELDS)

COLUMNS = """
    symbol VARCHAR, venue VARCHAR, timeframe VARCHAR, open_us BIGINT, close_us BIGINT,
    open HUGEINT, high HUGEINT, low HUGEINT, close HUGEINT, volume HUGEINT, notional VARCHAR,
    vwap HUGEINT, trades BIGINT, revision INTEGER, reason VARCHAR, is_final BOOLEAN,
    complete BOOLEAN, partial BOOLEAN, late BIGINT, source_partition INTEGER,
    first_offset BIGINT, last_offset BIGINT, duplicates BIGINT, quotes BIGINT
"""
"""Of a bar, wherever it is held."""

NAMED = "symbol || '@' || venue || '|' || timeframe || '|' || open_us"
VALUES = ", ".join(FIELDS[4:])


class Emissions:
    """The tables `emitted` and `newest`.

    Args:
        db: Where they are made.
        decoder: Of bars.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, decoder: Decoder) -> None:
        self._db, self._decoder = db, decoder
        db.execute(
            f"CREATE TABLE emitted ({COLUMNS}, p INTEGER, off BIGINT, key VARCHAR,"
            " is_later BOOLEAN)"
        )

    def add(self, messages: Iterable[Message], report: Report, *, is_later: bool = False) -> None:
        """Take records of bars.v1; later ones only tell which bars are not at rest."""
        rows, bad = self._decoder.rows(messages)
        report.add("I4", ({"what": "no bar", "bar": f"bars.v1 offset {off}"} for off in bad))
        if not rows:
            return
        self._db.register("chunk", self._decoder.table(rows, AVRO))
        numbers = ", ".join(f"{n}::HUGEINT AS {n}" if n in DECIMALS else n for n in FIELDS)
        self._db.execute(
            f"INSERT INTO emitted SELECT {numbers}, p, off, decode(key), {is_later} FROM chunk"
        )
        self._db.unregister("chunk")

    def settle(self) -> None:
        """Find the newest emission of each bar."""
        self._db.execute(f"""
            CREATE OR REPLACE TABLE newest AS SELECT * FROM emitted WHERE NOT is_later
            QUALIFY row_number() OVER (PARTITION BY {", ".join(KEY)}
                                       ORDER BY revision DESC, last_offset DESC, off DESC) = 1
        """)

    def judge(self, report: Report) -> None:
        """I4: what bars.v1 alone tells."""
        checks = {
            "has another key or partition than its own": f"""
                SELECT {NAMED}, 'key', {NAMED}, key || ' in ' || p FROM emitted
                WHERE key IS DISTINCT FROM {NAMED} OR p <> source_partition""",
            "is final without a revision, or has no reason": f"""
                SELECT {NAMED}, 'reason', revision::VARCHAR, reason FROM emitted
                WHERE is_final <> (revision > 0) OR (revision > 0) = (reason = 'live')
                   OR (revision > 1 AND reason = 'final')""",
            "has two values of one rank": f"""
                SELECT {NAMED}, 'last_offset', revision || ', ' || last_offset, count(*)::VARCHAR
                FROM (SELECT DISTINCT {", ".join(FIELDS)} FROM emitted WHERE revision > 0)
                GROUP BY {", ".join(KEY)}, revision, last_offset HAVING count(*) > 1""",
            "ends before its newest: compaction would lose that": f"""
                SELECT {NAMED}, 'revision', n.revision || ', ' || n.last_offset,
                       e.revision || ', ' || e.last_offset
                FROM (SELECT * FROM emitted WHERE NOT is_later QUALIFY row_number() OVER (
                          PARTITION BY {", ".join(KEY)} ORDER BY off DESC) = 1) e
                JOIN newest n USING ({", ".join(KEY)})
                WHERE (n.revision, n.last_offset) <> (e.revision, e.last_offset)""",
        }  # fmt: skip
        for what, query in checks.items():
            report.add_query("I4", self._db, what, query)
        [(emitted, bars, final)] = self._db.execute(
            "SELECT (SELECT count(*) FROM emitted), count(*), coalesce(sum(is_final::INT), 0)"
            " FROM newest"
        ).fetchall()
        report.count("I4", emissions=int(emitted), bars=int(bars), final=int(final))
