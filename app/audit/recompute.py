"""Bars once more, in SQL: from ticks of ticks.v1, chunk by chunk, to partial bars, to bars.

A chunk of one partition becomes partial bars of the shortest timeframe, which merge in any order;
bars of every timeframe are made of those.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime

import duckdb
import pyarrow as pa

from app.audit import rules
from app.audit.market import Market
from app.audit.partials import (
    AMENDMENTS,
    BEYOND,
    CODED,
    DIRTY,
    EVENT,
    NEAR,
    NEVER,
    PARTS,
    STREAMS,
    TABLES,
    TICK,
    TIMED,
)


class Recompute:
    """Partial bars of the ticks that were read.

    Args:
        db: Where the tables are made.
        market: What the series follow.

    Attributes:
        newest_raw: Highest raw offset of each partition of ticks.v1 read in order.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, market: Market) -> None:
        self._db, self._market = db, market
        self.newest_raw: dict[int, int] = {}
        db.execute(TABLES)
        db.execute(
            "CREATE TEMP TABLE coded_rows (p INTEGER, off BIGINT, name VARCHAR, uses INTEGER)"
        )

    def fold(self, chunk: pa.Table, partition: int) -> None:
        """Take a chunk that goes on where the partition's last one ended."""
        self._begin(chunk, self.newest_raw.get(partition, -1))
        highest = self._number("SELECT max(raw_offset) FROM tick")
        self.newest_raw[partition] = max(self.newest_raw.get(partition, -1), highest)
        self._db.execute(AMENDMENTS)
        values = {"never": NEVER, "base": self._market.base}
        self._db.execute(TIMED, values)
        self._db.execute(BEYOND, {"revise_us": self._market.revise_us})
        self._db.execute(STREAMS)
        self._add(everything=True)

    def fold_again(self, chunk: pa.Table, *, everything: bool) -> None:
        """Take a chunk of what was judged for lateness by an earlier run, or for `dirty` alone."""
        self._begin(chunk, -1)
        self._add(everything=everything)

    def dirty_ranges(self) -> list[tuple[int, int, int]]:
        """Take apart the bars whose trades were amended; return which ticks they are made of.

        Returns:
            Partition, first offset, and the one behind the last.
        """
        self._db.execute(DIRTY, {"width_us": self._market.widths_us[self._market.base]})
        ranges = self._db.execute("""
            SELECT p, min(first_off), max(last_off) + 1
            FROM (SELECT p.p, p.side, p.name, p.symbol, p.base_us, p.first_off, p.last_off
                  FROM parts p SEMI JOIN dirty USING (side, name, symbol, base_us))
            GROUP BY p, side, name, symbol, base_us ORDER BY ALL
        """).fetchall()
        self._db.execute("""
            DELETE FROM parts p WHERE EXISTS (
                SELECT 1 FROM dirty d WHERE d.side = p.side AND d.name = p.name
                    AND d.symbol = p.symbol AND d.base_us = p.base_us)
        """)
        return merged(ranges)

    def _begin(self, chunk: pa.Table, newest: int) -> None:
        self._db.register("chunk", chunk)
        self._db.execute(TICK, {"newest": newest})
        self._db.unregister("chunk")
        names = self._db.execute("SELECT DISTINCT venue, symbol FROM tick").fetchall()
        self._market.meet(names)
        self._db.execute(EVENT)

    def _add(self, *, everything: bool) -> None:
        self._judge_conditions()
        width = self._market.widths_us[self._market.base]
        self._db.execute(PARTS, {"width_us": width, "everything": everything})

    def _judge_conditions(self) -> None:
        """Find out what prints with sale conditions count for, one of a kind at a time."""
        self._db.execute("DELETE FROM coded_rows")
        kinds = self._db.execute(CODED).fetchall()
        if not kinds:
            return
        allowed = [
            rules.uses(codes, _day(day), conditions, is_outside=is_outside)
            for codes, day, is_outside, conditions in kinds
        ]
        columns = list(zip(*kinds, strict=True))
        table = pa.table(
            {
                "codes": columns[0], "day": columns[1], "is_outside": columns[2],
                "conditions": pa.array(columns[3], pa.list_(pa.string())), "uses": allowed,
            }
        )  # fmt: skip
        self._db.register("coded", table)
        self._db.execute("""
            INSERT INTO coded_rows
            SELECT e.p, e.off, e.name, c.uses
            FROM event e
            ASOF LEFT JOIN (SELECT * FROM spans WHERE how = 'segment') s
                ON s.profile = e.profile AND s.begin_us <= e.at_us
            JOIN coded c ON c.codes = e.codes AND c.day = e.at_us // 86400000000
                AND c.is_outside = coalesce(NOT s.is_open, false) AND c.conditions = e.conditions
        """)
        self._db.unregister("coded")

    def _number(self, query: str) -> int:
        [(found,)] = self._db.execute(query).fetchall()
        return -1 if found is None else int(found)


def _day(day: int) -> date:
    return datetime.fromtimestamp(day * 86_400, UTC).date()


def merged(ranges: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Join ranges of one partition that touch, or nearly."""
    found: list[tuple[int, int, int]] = []
    for p, start, stop in sorted(ranges):
        if found and found[-1][0] == p and start <= found[-1][2] + NEAR:
            found[-1] = p, found[-1][1], max(stop, found[-1][2])
        else:
            found.append((p, start, stop))
    return found
