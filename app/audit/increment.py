"""The cheap audit: what came since the last one, and the ticks of the bars to be judged.

A bar is judged once it is final, or over by the event times of its own series. Its ticks are
read where its emissions say they are, and where this audit itself has seen some.
"""

import time
from collections.abc import Mapping

from app import topics
from app.audit.audit import Audit
from app.audit.cursor import Cursor
from app.audit.cut import Cut
from app.audit.emissions import KEY
from app.audit.log import AT_ONCE, Offsets
from app.audit.recompute import merged
from app.errors import LogShrunk

ON = ", ".join(KEY)
MOST_WRONG = 1_000
"""Bars found wrong that are looked at again."""

OPEN = """
CREATE OR REPLACE TABLE open_bars AS
SELECT {on}, any_value(over_us) AS over_us, any_value(p) AS p, min(first_off) AS first_off,
       max(last_off) AS last_off, max(wrong_off) AS wrong_off
FROM (SELECT * FROM held UNION ALL
      SELECT symbol, venue, timeframe, open_us, over_us, source_partition, first_offset,
             last_offset, NULL FROM expected)
GROUP BY ALL
"""
OVER = """
SELECT o.symbol, o.venue, o.timeframe, o.open_us FROM open_bars o
LEFT JOIN streams s ON s.name = o.venue AND s.symbol = o.symbol
    AND s.kind = CASE WHEN contains(o.timeframe, '.') THEN 'quote' ELSE 'trade' END
WHERE o.over_us <= s.stream_us OR o.wrong_off IS NOT NULL
"""
RANGES = """
SELECT p, min(first_off), max(last_off) + 1 FROM (
    SELECT {on}, source_partition AS p, first_offset AS first_off, last_offset AS last_off
    FROM newest SEMI JOIN wanted USING ({on}) WHERE first_offset >= 0
    UNION ALL
    SELECT {on}, source_partition, first_offset, last_offset
    FROM pg_revisions SEMI JOIN wanted USING ({on}) WHERE first_offset >= 0
    UNION ALL
    SELECT {on}, p, first_off, last_off FROM open_bars SEMI JOIN wanted USING ({on})
) GROUP BY p, {on}
"""
HELD = """
CREATE TABLE held (symbol VARCHAR, venue VARCHAR, timeframe VARCHAR, open_us BIGINT,
    over_us BIGINT, p INTEGER, first_off BIGINT, last_off BIGINT, wrong_off BIGINT)
"""
STATE = {
    "streams": "SELECT * FROM streams",
    "clocks": "SELECT p, max(tick_off), max(now_us) FROM clocks GROUP BY p",
    "amendments": "SELECT * REPLACE (false AS is_new, price::VARCHAR AS price,"
    " size::VARCHAR AS size) FROM amendments ORDER BY append_us DESC LIMIT 10000",
    "excluded": "SELECT * FROM excluded ORDER BY off DESC LIMIT 10000",
}  # fmt: skip
"""What goes from one audit to the next; of amendments and late ticks the newest."""


class Increment:
    """One audit behind another.

    Args:
        audit: Its steps, over an empty database.
        known: What the last one left.
    """

    def __init__(self, audit: Audit, known: Cursor) -> None:
        self._audit, self._known = audit, known
        self._db, self._log = audit.db, audit.log

    def run(self) -> Cursor:
        """Audit, and return what is left for the next.

        Raises:
            LogShrunk: A log ends before what was audited of it.
        """
        audit, known, db = self._audit, self._known, self._db
        at = audit.cut()
        self._check(at)
        self._put_back()
        clocks = audit.read_clocks(known.clock)
        audit.read_ticks(known.kept, known.ticks, is_folded=False)
        audit.read_ticks(known.ticks, at.ticks)
        audit.read_bars(known.bars, at.bars)
        self._read_wrong()
        audit.read_letters(known.letters, at.letters)
        audit.compare_raw(known.raw, at.raw)
        self._look_back()
        audit.conservation.judge(audit.name(topics.RAW), audit.begins, known.raw, known.kept)
        audit.bars.make()
        db.execute(OPEN.format(on=ON))
        audit.emissions.settle()
        dirty = audit.recompute.dirty_ranges()
        db.execute(f"INSERT INTO wanted SELECT {ON} FROM newest WHERE is_final")
        db.execute(f"INSERT INTO wanted {OVER.format(on=ON)}")
        db.execute(f"INSERT INTO wanted {audit.bars.holding('dirty')}")
        audit.take_stores(f"SELECT {ON} FROM newest UNION SELECT {ON} FROM wanted")
        ranges = merged(db.execute(RANGES.format(on=ON)).fetchall())
        for p, start, stop in ranges:
            audit.read_again(p, start, min(stop, known.ticks.get(p, 0)), everything=True)
        for p, start, stop in dirty:
            seen = max(start, known.ticks.get(p, 0))
            audit.read_again(p, seen, min(stop, at.ticks[p]), everything=False)
        audit.bars.make()
        audit.read_later(at.bars)
        audit.judge(is_full=False)
        return self._left(at, clocks)

    def _check(self, at: Cut) -> None:
        for topic, known, found in (
            (topics.RAW, self._known.raw, at.raw),
            (topics.TICKS, self._known.ticks, at.ticks),
            (topics.BARS, self._known.bars, at.bars),
        ):
            for p, offset in known.items():
                end = self._log.ends(topic).get(p, 0)
                if offset > end:
                    raise LogShrunk(
                        f"{topic.name}[{p}] ends at {end}, but was audited up to {offset}"
                    )
                found[p] = max(found.get(p, 0), offset)

    def _put_back(self) -> None:
        known, db = self._known, self._db
        db.execute(HELD)
        for table in (*STATE, "held"):
            rows = known.open if table == "held" else getattr(known, table)
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        self._audit.recompute.newest_raw.update(known.newest_raw)
        names = db.execute("SELECT DISTINCT venue, symbol FROM amendments").fetchall()
        self._audit.market.meet(names)

    def _read_wrong(self) -> None:
        """Read again the emissions that were found wrong, unless newer ones have come."""
        rows = self._db.execute(
            "SELECT DISTINCT p, wrong_off FROM held WHERE wrong_off IS NOT NULL ORDER BY ALL"
        ).fetchall()
        for p, offset in rows:
            if offset < self._known.bars.get(p, 0):
                self._audit.read_bars({p: offset}, {p: offset + 1})

    def _look_back(self) -> None:
        """Read ticks backwards until repeats and amendments have found theirs, or none is left."""
        audit, db = self._audit, self._db
        at = {p: self._known.kept.get(p, 0) for p in self._known.ticks}
        floors = dict(audit.begins)
        while any(at[p] > floors.get(p, 0) for p in at):
            if not audit.conservation.unexplained():
                changed = db.execute("""
                    SELECT p, min(append_us) FROM amendments x
                    WHERE is_new AND NOT EXISTS (
                        SELECT 1 FROM accepted a WHERE a.venue = x.venue
                            AND a.symbol = x.symbol AND a.trade_id = x.trade_id)
                    GROUP BY p""").fetchall()
                floors = {p: at[p] for p in at}
                for p, append_us in changed:
                    if p in at:
                        floors[p] = min(at[p], audit.correctable_since(p, append_us))
            for p, stop in list(at.items()):
                start = max(stop - AT_ONCE, floors.get(p, 0))
                audit.read_ticks({p: start}, {p: stop}, is_folded=False)
                at[p] = start

    def _left(self, at: Cut, clocks: Offsets) -> Cursor:
        db, known = self._db, self._known
        state = {
            table: [list(row) for row in db.execute(query).fetchall()]
            for table, query in STATE.items()
        }
        left = db.execute(f"""
            SELECT {ON}, over_us, p, first_off, last_off, NULL FROM open_bars
            ANTI JOIN (SELECT {ON} FROM wanted) USING ({ON}) ANTI JOIN wrong USING ({ON})
            UNION ALL (
                SELECT {ON}, coalesce(o.over_us, 0), n.p, coalesce(o.first_off, n.first_offset),
                       coalesce(o.last_off, n.last_offset), n.off
                FROM newest n SEMI JOIN wrong USING ({ON}) LEFT JOIN open_bars o USING ({ON})
                LIMIT {MOST_WRONG})
        """).fetchall()
        return Cursor(
            raw=at.raw,
            ticks=at.ticks,
            kept=self._next("accepted", "off", "raw_off", at.raw, at.ticks, known.kept),
            bars=at.bars,
            letters=self._next(
                "(SELECT at_p AS p, at_off, off FROM letters WHERE topic = "
                f"'{self._audit.name(topics.RAW)}')", "at_off", "off", at.raw, at.letters, {},
            ),
            clock=clocks,
            newest_raw=dict(self._audit.recompute.newest_raw),
            open=[list(row) for row in left],
            at_s=time.time(),
            **state,
        )  # fmt: skip

    def _next(  # noqa: PLR0913 - one query, for two logs
        self,
        table: str,
        off: str,
        raw_off: str,
        raw: Offsets,
        ends: Offsets,
        starts: Mapping[int, int],
    ) -> Offsets:
        """Return where the records of raw ones at or beyond the cut begin."""
        found = {}
        for p, end in ends.items():
            [(first,)] = self._db.execute(
                f"SELECT min({off}) FROM {table} WHERE p = ? AND {raw_off} >= ? AND {off} >= ?",
                [p, raw.get(p, 0), starts.get(p, 0)],
            ).fetchall()
            found[p] = end if first is None else int(first)
        return found
