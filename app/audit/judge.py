"""I2 and I4: bars as they are found, beside those that the ticks make and those of bars.v1.

The table `wanted` says which bars are asked for. Of these `judged` are closed, with all their
ticks read; the others have the reason why they are not: open, beyond_log, activity, ...
"""

from collections.abc import Sequence

import duckdb

from app.audit.emissions import FIELDS, KEY
from app.audit.hot import KEPT
from app.audit.report import Report

VALUES = (
    "close_us", "open", "high", "low", "close", "volume", "notional", "vwap", "trades", "quotes",
    "first_offset", "last_offset", "source_partition",
)  # fmt: skip
"""What is recomputed; with the lineage, so that a bar says which ticks it is made of."""
ON = ", ".join(KEY)
TIME_BARS = r"[SMHD][1-9][0-9]{0,4}(\.(bid|ask|mid))?"
NOT_CLOSED = {"open", "moving"}
"""Reasons that go by themselves: these bars are judged when they are closed and at rest."""
EMPTY = (
    "trades = 0 AND quotes = 0 AND volume = 0 AND notional = '0' AND vwap IS NULL"
    " AND first_offset = -1"
)
STANDS = f"""
CREATE OR REPLACE TABLE stands AS
SELECT {", ".join(FIELDS)} FROM newest
UNION ALL
SELECT * FROM pg_bars ANTI JOIN newest USING ({ON})
"""
JUDGED = f"""
CREATE OR REPLACE TABLE judged AS
SELECT w.*, CASE
        WHEN NOT regexp_full_match(w.timeframe, '{TIME_BARS}') THEN 'activity'
        WHEN m.symbol IS NOT NULL THEN 'moving'
        WHEN NOT list_contains($timeframes, split_part(w.timeframe, '.', 1)) THEN 'timeframe'
        WHEN s.first_offset >= 0 AND s.first_offset < b.begin_off THEN 'beyond_log'
        WHEN e.is_maybe THEN 'late_by_clock'
        WHEN NOT (coalesce(e.is_over, false) OR coalesce(s.is_final, false)) THEN 'open'
        WHEN e.symbol IS NULL AND s.trades = 0 AND s.quotes = 0 THEN 'empty'
    END AS why
FROM (SELECT DISTINCT {ON} FROM wanted) w
LEFT JOIN expected e USING ({ON})
LEFT JOIN stands s USING ({ON})
LEFT JOIN (SELECT DISTINCT {ON} FROM emitted WHERE is_later) m USING ({ON})
LEFT JOIN begins b ON b.p = coalesce(s.source_partition, e.source_partition)
"""


def _named(table: str) -> str:
    return (
        f"{table}.symbol || '@' || {table}.venue || ' ' || {table}.timeframe || ' '"
        f" || strftime(make_timestamp({table}.open_us), '%Y-%m-%dT%H:%M:%S.%fZ')"
    )


def _differing(left: str, right: str, names: Sequence[str], where: str = "true") -> str:
    """Return a query of (bar, field, expected, found), a row for each field that differs."""
    pairs = ", ".join(
        f"CASE WHEN l.{n} IS DISTINCT FROM r.{n} THEN"
        f" {{'field': '{n}', 'left': {_text('l', n)}, 'right': {_text('r', n)}}} END"
        for n in names
    )
    return f"""
        SELECT bar, pair.field, pair.left, pair.right
        FROM (SELECT {_named("l")} AS bar, unnest([{pairs}]) AS pair
              FROM {left} l JOIN {right} r USING ({ON}) WHERE {where})
        WHERE pair IS NOT NULL
    """


def _text(table: str, name: str) -> str:
    """Unscaled numbers as decimals, for people."""
    column = f"{table}.{name}"
    if name in {"open", "high", "low", "close", "volume", "vwap"}:
        scale, column = 12, f"{column}::VARCHAR"
    elif name == "notional":
        scale = 24
    else:
        return f"coalesce({column}::VARCHAR, 'null')"
    padded = f"lpad({column}, greatest(length({column}), {scale + 1})::INTEGER, '0')"
    return f"coalesce(left({padded}, -{scale}) || '.' || right({padded}, {scale}), 'null')"


class Judge:
    """Compares; `Report` takes the differences.

    Args:
        db: Where all the tables are.
        report: What was found.
        timeframes: Those of the settings.
        is_full: Whether everything was read: then what is not there is missing.
    """

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        report: Report,
        timeframes: Sequence[str],
        *,
        is_full: bool,
    ) -> None:
        self._db, self._report = db, report
        self._timeframes, self._is_full = list(timeframes), is_full

    def bars(self) -> None:
        """I2: bars.v1 against the recompute; I4: what is over must be final, and nothing else."""
        db = self._db
        db.execute(STANDS)
        db.execute(JUDGED, {"timeframes": self._timeframes})
        db.execute(f"""
            CREATE OR REPLACE TABLE clear AS
            SELECT e.* FROM expected e SEMI JOIN (SELECT * FROM judged WHERE why IS NULL) j
            USING ({ON})
        """)
        self._add("I2", "has other values", _differing("clear", "newest", VALUES), "Kafka")
        there = "newest" if self._is_full else "stands"
        self._add(
            "I2",
            "is not there",
            f"""
            SELECT {_named("l")}, 'trades', (trades + quotes)::VARCHAR, 'none'
            FROM clear l ANTI JOIN {there} USING ({ON})""",
            "Kafka",
        )
        self._add(
            "I2",
            "is made of no tick",
            f"""
            SELECT {_named("s")}, 'trades', '0', (s.trades + s.quotes)::VARCHAR
            FROM judged l JOIN stands s USING ({ON})
            WHERE l.why IS NULL AND NOT EXISTS (SELECT 1 FROM clear c WHERE c.symbol = l.symbol
                AND c.venue = l.venue AND c.timeframe = l.timeframe AND c.open_us = l.open_us)
            """,
            "Kafka",
        )
        self._add(
            "I4",
            "must be final, its time is over",
            f"""
            SELECT {_named("l")}, 'is_final', 'true', 'false'
            FROM clear l JOIN stands s USING ({ON}) WHERE l.is_over AND NOT s.is_final""",
            "Kafka",
        )
        self._add(
            "I4",
            "is final before its time is over",
            f"""
            SELECT {_named("l")}, 'is_final', 'false', 'true'
            FROM clear l JOIN stands s USING ({ON}) WHERE s.is_final AND NOT l.may_be_over
            """,
            "Kafka",
        )
        self._empty()
        self._count()

    def _empty(self) -> None:
        """Bars without trades: of intervals without one, or which lost their last to a cancel."""
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE hollow AS
            SELECT s.*, coalesce(r.empty, 'omit') AS policy, x.price
            FROM judged j JOIN stands s USING ({ON})
            LEFT JOIN series r ON r.name = s.venue AND r.symbol = s.symbol
            LEFT JOIN (SELECT {ON}, last_value(close IGNORE NULLS) OVER (
                           PARTITION BY symbol, venue, timeframe ORDER BY open_us
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS price
                       FROM stands) x USING ({ON})
            WHERE j.why = 'empty'
        """)
        carried = (
            "policy = 'carry' AND (price IS NULL OR (open = price AND high = price AND low = price"
            " AND close = price))"
        )
        self._add(
            "I2",
            "has no trades, and other values than such a bar",
            f"""
            SELECT {_named("h")}, 'close', coalesce(price::VARCHAR, 'null'),
                   coalesce(close::VARCHAR, 'null')
            FROM hollow h WHERE NOT coalesce({EMPTY} AND ({carried}
                OR (policy <> 'carry' AND coalesce(open, high, low, close) IS NULL)), false)
            """,
            "Kafka",
        )
        self._add(
            "I2",
            "has no trades, in a series that has no such bars",
            f"""
            SELECT {_named("h")}, 'trades', 'some', 'none' FROM hollow h
            WHERE policy = 'omit' AND NOT EXISTS (
                SELECT 1 FROM amendments a JOIN members m ON m.venue = a.venue
                    AND m.symbol = a.symbol
                WHERE m.name = h.venue AND m.symbol = h.symbol)""",
            "Kafka",
        )

    def _count(self) -> None:
        counted = dict(
            self._db.execute(
                "SELECT coalesce(why, ''), count(*) FROM judged GROUP BY ALL ORDER BY 1"
            ).fetchall()
        )
        checked = counted.pop("", 0)
        beyond_log = counted.pop("beyond_log", 0)
        empty = counted.pop("empty", 0)
        opened = {why: counted.pop(why, 0) for why in sorted(NOT_CLOSED)}
        self._report.count(
            "I2", bars=checked + empty, empty=empty, beyond_log=beyond_log, not_audited=counted,
            **opened,
        )  # fmt: skip

    def store(self, where: str, table: str) -> None:
        """I2 and I4 of what one store holds.

        Args:
            where: Its name, for people.
            table: Its bars.
        """
        db = self._db
        if where == "Redis":
            db.execute(f"""
                CREATE OR REPLACE TEMP TABLE owed AS
                SELECT n.* FROM newest n
                LEFT JOIN redis_series s USING (symbol, venue, timeframe)
                QUALIFY row_number() OVER (PARTITION BY symbol, venue, timeframe
                                           ORDER BY open_us DESC) <= {KEPT}
                    AND (coalesce(s.bars, 0) < {KEPT} OR n.open_us >= s.oldest_us)
            """)
        else:
            db.execute("CREATE OR REPLACE TEMP TABLE owed AS SELECT * FROM newest")
        self._add("I2", "has other values", _differing("clear", table, VALUES), where)
        self._add(
            "I4",
            "is not there",
            f"""
            SELECT {_named("l")}, 'revision', revision::VARCHAR, 'none'
            FROM owed l ANTI JOIN {table} USING ({ON})""",
            where,
        )
        rank = "(l.revision, l.last_offset)", "(r.revision, r.last_offset)"
        self._add(
            "I4",
            "is older than the newest emission",
            f"""
            SELECT {_named("l")}, 'revision', l.revision || ', ' || l.last_offset,
                   r.revision || ', ' || r.last_offset
            FROM newest l JOIN {table} r USING ({ON}) WHERE {rank[0]} > {rank[1]}""",
            where,
        )
        self._add(
            "I4",
            "is newer than any emission",
            f"""
            SELECT {_named("l")}, 'revision', l.revision || ', ' || l.last_offset,
                   r.revision || ', ' || r.last_offset
            FROM newest l JOIN {table} r USING ({ON}) WHERE {rank[0]} < {rank[1]}
            AND NOT EXISTS (SELECT 1 FROM emitted m WHERE m.is_later AND m.symbol = l.symbol
                AND m.venue = l.venue AND m.timeframe = l.timeframe AND m.open_us = l.open_us)
            """,
            where,
        )
        self._add("I4", "is not the newest emission, whole", _differing(
            "newest", table, FIELDS[4:],
            f"{rank[0]} = {rank[1]} AND ({' OR '.join(_unlike(n) for n in FIELDS[4:])})",
        ), where)  # fmt: skip
        if self._is_full:
            self._add(
                "I4",
                "is not in bars.v1",
                f"""
                SELECT {_named("l")}, 'revision', 'none', l.revision::VARCHAR
                FROM {table} l ANTI JOIN emitted USING ({ON})""",
                where,
            )
        row = db.execute(f"SELECT count(*) FROM {table}").fetchone()
        self._report.count("I2", **{f"bars_{where.lower()}": int(row[0]) if row else 0})

    def history(self) -> None:
        """I4 of bar_revisions: every final emission, whole, and none newer than its bar."""
        self._add(
            "I4",
            "is an emission that the history lacks",
            f"""
            SELECT {_named("l")}, 'revision', l.revision || ', ' || l.last_offset, 'none'
            FROM (SELECT * FROM emitted WHERE revision > 0 AND NOT is_later) l
            ANTI JOIN pg_revisions r ON {_same("l", "r")} AND r.revision = l.revision
                AND r.last_offset = l.last_offset""",
            "history",
        )
        self._add("I4", "is another in the history than it was emitted", _differing(
            "(SELECT * FROM emitted WHERE revision > 0)", "pg_revisions", FIELDS[4:],
            "l.revision = r.revision AND l.last_offset = r.last_offset",
        ), "history")  # fmt: skip
        self._add(
            "I4",
            "is older in the table than in its history",
            f"""
            SELECT {_named("b")}, 'revision', max(r.revision)::VARCHAR,
                   any_value(b.revision)::VARCHAR
            FROM pg_revisions r JOIN pg_bars b USING ({ON})
            WHERE (r.revision, r.last_offset) > (b.revision, b.last_offset)
            GROUP BY b.symbol, b.venue, b.timeframe, b.open_us""",
            "history",
        )
        self._add("I4", "changed without a reason", f"""
            SELECT {_named("r")}, 'reason', 'one', reason FROM pg_revisions r
            WHERE reason = '' OR reason = 'live' OR (revision > 1 AND reason = 'final')""",
            "history")  # fmt: skip

    def _add(self, invariant: str, what: str, query: str, where: str) -> int:
        return self._report.add_query(invariant, self._db, what, query, where=where)


def _unlike(name: str) -> str:
    return f"l.{name} IS DISTINCT FROM r.{name}"


def _same(left: str, right: str) -> str:
    return " AND ".join(f"{left}.{name} = {right}.{name}" for name in KEY)
