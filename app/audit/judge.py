"""I2, and I4 of finality: the bars of bars.v1 beside those that the ticks make.

The table `wanted` says which bars are asked for. Of these `judged` are closed, with all their
ticks read; the others have the reason why they are not: open, beyond_log, activity, ...
"""

from collections.abc import Sequence

import duckdb

from app.audit.differing import ON, Differing
from app.audit.emissions import FIELDS
from app.audit.report import Report

VALUES = (
    "close_us", "open", "high", "low", "close", "volume", "notional", "vwap", "trades", "quotes",
    "first_offset", "last_offset", "source_partition",
)  # fmt: skip
"""What is recomputed; with the lineage, so that a bar says which ticks it is made of."""
TIME_BARS = r"[SMHD][1-9][0-9]{0,4}(\.(bid|ask|mid))?"
NOT_CLOSED = ("moving", "open")
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
"""What is known of each bar: its newest emission, or else what Postgres has."""
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
HOLLOW = f"""
CREATE OR REPLACE TABLE hollow AS
SELECT s.*, coalesce(r.empty, 'omit') AS policy, x.price
FROM judged j JOIN stands s USING ({ON})
LEFT JOIN series r ON r.name = s.venue AND r.symbol = s.symbol
LEFT JOIN (SELECT {ON}, last_value(close IGNORE NULLS) OVER (
               PARTITION BY symbol, venue, timeframe ORDER BY open_us
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS price
           FROM stands) x USING ({ON})
WHERE j.why = 'empty'
"""


class Judge:
    """Compares; the report takes the differences.

    Args:
        db: Where all the tables are.
        report: What was found.
        timeframes: Those of the settings.
        is_full: Whether everything was read: then what is not there is missing.
        is_to_the_end: Whether ticks were read up to the cut, and so all that closes a bar.
    """

    def __init__(
        self,
        db: duckdb.DuckDBPyConnection,
        report: Report,
        timeframes: Sequence[str],
        *,
        is_full: bool,
        is_to_the_end: bool = True,
    ) -> None:
        self._db, self._report, self._differing = db, report, Differing(db, report)
        self._timeframes = list(timeframes)
        self._is_full, self._is_to_the_end = is_full, is_to_the_end

    def bars(self) -> None:
        """I2: bars.v1 against the recompute; I4: what is over must be final, and nothing else."""
        self._db.execute(STANDS)
        self._db.execute(JUDGED, {"timeframes": self._timeframes})
        self._db.execute(f"""
            CREATE OR REPLACE TABLE clear AS
            SELECT e.* FROM expected e SEMI JOIN (SELECT * FROM judged WHERE why IS NULL) j
            USING ({ON})
        """)
        self._differing.values("I2", "has other values", ("clear", "newest"), VALUES, "Kafka")
        there = "newest" if self._is_full else "stands"
        self._name("I2", "is not there", ("trades", "l.trades + l.quotes", "'none'"),
                   f"FROM clear l ANTI JOIN {there} USING ({ON})")  # fmt: skip
        self._name("I2", "is made of no tick", ("trades", "0", "l.trades + l.quotes"),
                   "FROM stands l SEMI JOIN (SELECT * FROM judged WHERE why IS NULL) j"
                   f" USING ({ON})"
                   f" ANTI JOIN clear USING ({ON})")  # fmt: skip
        both = f"FROM clear l JOIN stands s USING ({ON})"
        self._name("I4", "must be final, its time is over", ("is_final", "true", "false"),
                   f"{both} WHERE l.is_over AND NOT s.is_final")  # fmt: skip
        if self._is_to_the_end:
            self._name("I4", "is final before its time is over", ("is_final", "false", "true"),
                       f"{both} WHERE s.is_final AND NOT l.may_be_over")  # fmt: skip
        self._empty()
        self._count()

    def _empty(self) -> None:
        """Bars without trades: of intervals without one, or which lost their last to a cancel."""
        self._db.execute(HOLLOW)
        carries = (
            "open = price AND high = price AND low = price AND close = price OR price IS NULL"
            if self._is_full
            else "true"
        )
        right = f"CASE policy WHEN 'carry' THEN {carries} ELSE close IS NULL AND open IS NULL END"
        self._name("I2", "has no trades, and other values than such a bar",
                   ("close", "coalesce(l.price::VARCHAR, 'null')",
                    "coalesce(l.close::VARCHAR, 'null')"),
                   f"FROM hollow l WHERE NOT coalesce({EMPTY} AND ({right}), false)")  # fmt: skip
        self._name("I2", "has no trades, in a series without such bars",
                   ("trades", "'some'", "'none'"),
                   "FROM hollow l WHERE policy = 'omit' AND NOT EXISTS (SELECT 1 FROM amendments a"
                   " JOIN members m ON m.venue = a.venue AND m.symbol = a.symbol"
                   " WHERE m.name = l.venue AND m.symbol = l.symbol)")  # fmt: skip

    def _count(self) -> None:
        counted = dict(
            self._db.execute(
                "SELECT coalesce(why, ''), count(*) FROM judged GROUP BY ALL ORDER BY 1"
            ).fetchall()
        )
        if not self._is_full:
            [(carried,)] = self._db.execute(
                "SELECT count(*) FROM hollow WHERE policy = 'carry'"
            ).fetchall()
            counted |= {"carried_price": int(carried)} if carried else {}
        checked, empty = counted.pop("", 0), counted.pop("empty", 0)
        beyond_log = counted.pop("beyond_log", 0)
        going = {why: counted.pop(why, 0) for why in NOT_CLOSED}
        self._report.count(
            "I2", bars=checked + empty, empty=empty, beyond_log=beyond_log, not_audited=counted,
            **going,
        )  # fmt: skip

    def _name(self, invariant: str, what: str, fields: tuple[str, str, str], of: str) -> None:
        self._differing.bars(invariant, what, "Kafka", fields, of)
