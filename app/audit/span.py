"""The bars that open in a span of time, audited by the ticks from their first to their last."""

from app.audit.audit import Audit
from app.audit.emissions import KEY
from app.audit.recompute import merged

ON = ", ".join(KEY)
RANGES = f"""
SELECT p, min(first_off), max(last_off) + 1 FROM (
    SELECT source_partition AS p, first_offset AS first_off, last_offset AS last_off
    FROM newest WHERE first_offset >= 0
    UNION ALL
    SELECT source_partition, first_offset, last_offset
    FROM pg_revisions SEMI JOIN newest USING ({ON}) WHERE first_offset >= 0
) GROUP BY p
"""


class Span:
    """One audit of [start, end).

    Args:
        audit: Its steps, over an empty database.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit, self._db = audit, audit.db

    def run(self) -> None:
        """Judge the bars; what became of raw records is not asked."""
        audit, db = self._audit, self._db
        at = audit.cut()
        within = audit.scope.within()
        audit.read_clocks({})
        for p, stop in at.bars.items():
            audit.read_bars({}, {p: stop})
            db.execute(f"DELETE FROM emitted WHERE NOT ({within})")
        audit.emissions.settle()
        audit.take_stores(f"SELECT {ON} FROM newest")
        audit.read_letters({}, at.letters)
        for p, start, stop in merged(db.execute(RANGES).fetchall()):
            end = min(stop, at.ticks.get(p, 0))
            audit.read_ticks({p: start}, {p: end})
            # Amendments of its last trades come later.
            until = min(audit.amendable_until(p, end), at.ticks.get(p, 0))
            audit.read_ticks({p: end}, {p: until})
        audit.amend(at.ticks)
        audit.bars.make()
        audit.read_later(at.bars)
        db.execute(f"INSERT INTO wanted SELECT {ON} FROM expected WHERE {within}")
        db.execute(f"INSERT INTO wanted SELECT {ON} FROM newest")
        audit.judge(is_full=False, is_to_the_end=False)
