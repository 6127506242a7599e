"""Bars of every timeframe from partial ones, where each series' sessions put them."""

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from app.audit.partials import LIMB, NEVER
from app.audit.sessions import DAY_US

AT_ONCE = 20_000

BASES = """
CREATE OR REPLACE TABLE bases AS
SELECT side, name, symbol, base_us, any_value(p) AS p, min(opened) AS opened, max(closed) AS closed,
       max(high) AS high, min(low) AS low, sum(volume) AS volume, sum(n2) AS n2, sum(n1) AS n1,
       sum(n0) AS n0, sum(n) AS n, min(first_off) AS first_off, max(last_off) AS last_off,
       bool_or(is_maybe) AS is_maybe
FROM parts GROUP BY side, name, symbol, base_us
"""

PLACED = f"""
WITH on_rungs AS (
    SELECT b.*, r.timeframe, r.width_us, r.how, r.profile, r.grace_us
    FROM {{source}} b JOIN rungs r ON r.name = b.name AND r.symbol = b.symbol
    LEFT JOIN series s ON s.name = b.name AND s.symbol = b.symbol
    WHERE b.side = '' OR list_contains(s.sides, b.side)
), within AS (
    SELECT o.*, base_us - base_us % width_us AS even_us, s.begin_us, s.end_us, s.is_open
    FROM on_rungs o ASOF LEFT JOIN spans s
        ON s.profile = o.profile AND s.how = o.how AND s.begin_us <= o.base_us
), placed AS (
    SELECT *, CASE
            WHEN how = 'aligned' THEN even_us
            WHEN how = 'midnight' THEN base_us - base_us % {DAY_US} % width_us
            WHEN base_us >= end_us OR begin_us IS NULL THEN NULL
            WHEN is_open THEN base_us - (base_us - begin_us) % width_us
            ELSE greatest(even_us, begin_us)
        END AS open_us, CASE
            WHEN how = 'aligned' THEN even_us + width_us
            WHEN how = 'midnight' THEN least(
                base_us - base_us % {DAY_US} % width_us + width_us,
                base_us - base_us % {DAY_US} + {DAY_US})
            WHEN is_open THEN least(base_us - (base_us - begin_us) % width_us + width_us, end_us)
            ELSE least(even_us + width_us, end_us)
        END AS close_us
    FROM within
)
"""

EXPECTED = """
CREATE OR REPLACE TABLE expected AS
{placed}
, made AS (
    SELECT p.symbol, p.name AS venue,
           timeframe || CASE WHEN side = '' THEN '' ELSE '.' || side END AS timeframe,
           open_us, any_value(close_us) AS close_us, min(opened).price AS open,
           max(high) AS high, min(low) AS low, max(closed).price AS close, sum(volume) AS volume,
           sum(n2) AS n2, sum(n1) AS n1, sum(n0) AS n0,
           CASE WHEN side = '' THEN sum(n) ELSE 0 END AS trades,
           CASE WHEN side = '' THEN 0 ELSE sum(n) END AS quotes,
           any_value(p.p) AS source_partition, min(first_off) AS first_offset,
           max(last_off) AS last_offset, any_value(grace_us) AS grace_us,
           any_value(CASE WHEN side = '' THEN 'trade' ELSE 'quote' END) AS kind,
           bool_or(is_maybe) AS is_maybe
    FROM placed p WHERE open_us IS NOT NULL
    GROUP BY p.symbol, p.name, timeframe, side, open_us
)
SELECT m.* EXCLUDE (kind, grace_us), close_us + grace_us AS over_us,
       close_us + grace_us <= s.stream_us AS is_over,
       close_us + grace_us <= greatest(s.stream_us, coalesce(c.now_us + s.ahead_us, {never}))
           AS may_be_over,
       NULL::VARCHAR AS notional, NULL::HUGEINT AS vwap
FROM made m
LEFT JOIN streams s ON s.kind = m.kind AND s.name = m.venue AND s.symbol = m.symbol
LEFT JOIN (SELECT p, max(now_us) AS now_us FROM clocks GROUP BY p) c ON c.p = m.source_partition
"""


class Bars:
    """The table `expected`: all bars that the partial ones make.

    Args:
        db: Where `parts`, `streams` and the market's tables are.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db

    def make(self) -> None:
        """Make the table anew."""
        self._db.execute(BASES)
        self._db.execute(EXPECTED.format(placed=PLACED.format(source="bases"), never=NEVER))
        self._db.execute(
            "CREATE OR REPLACE TEMP TABLE sums (row BIGINT, notional VARCHAR, vwap HUGEINT)"
        )
        for table in self._sums():
            self._db.register("summed", table)
            self._db.execute("INSERT INTO sums SELECT row, notional, vwap::HUGEINT FROM summed")
            self._db.unregister("summed")
        self._db.execute(
            "UPDATE expected SET notional = s.notional, vwap = s.vwap"
            " FROM sums s WHERE s.row = expected.rowid"
        )

    def holding(self, bases: str) -> str:
        """Return a query of the keys of all bars that hold some of the shortest.

        Args:
            bases: A table of side, name, symbol and base_us.
        """
        return f"""
            {PLACED.format(source=bases)}
            SELECT DISTINCT symbol, name AS venue,
                   timeframe || CASE WHEN side = '' THEN '' ELSE '.' || side END AS timeframe,
                   open_us
            FROM placed WHERE open_us IS NOT NULL
        """

    def _sums(self) -> Iterator[pa.Table]:
        """Yield notional and VWAP of each bar: whole numbers of 80 digits are Python's."""
        cursor = self._db.cursor()
        cursor.execute("SELECT rowid, volume, n2, n1, n0 FROM expected")
        while rows := cursor.fetchmany(AT_ONCE):
            notionals = [(n2 * LIMB + n1) * LIMB + n0 for _, _, n2, n1, n0 in rows]
            yield pa.table(
                {
                    "row": [row for row, *_ in rows],
                    "notional": [str(notional) for notional in notionals],
                    "vwap": pa.array(
                        [
                            str(half_even(notional, volume)) if volume else None
                            for notional, (_, volume, *_) in zip(notionals, rows, strict=True)
                        ],
                        pa.string(),
                    ),
                }
            )


def half_even(dividend: int, divisor: int) -> int:
    """Return the quotient of two whole numbers, rounded half to even; the divisor is above 0."""
    whole, rest = divmod(dividend, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))
