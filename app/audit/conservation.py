"""I1 and I6: what became of every raw record.

Accepted ticks and dead letters are kept as one row each; raw records are then looked at chunk by
chunk, and only those that are neither are decoded. What is left must be a repeat of an accepted
tick, or have gone to another partition or name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from app.audit.contract import BROKEN
from app.audit.identity import HASHES, TICK, digest, prefix
from app.audit.records import Decoder, Fields, Message
from app.audit.report import Report

TABLES = """
CREATE TABLE accepted (p INTEGER, off BIGINT, raw_off BIGINT, prefix BLOB, venue VARCHAR,
    symbol VARCHAR, trade_id VARCHAR, event_us BIGINT, ingest_us BIGINT, append_us BIGINT,
    ident UBIGINT, same UBIGINT, content UBIGINT);
CREATE TABLE letters (topic VARCHAR, p INTEGER, off BIGINT, digest BLOB, reason VARCHAR,
    detail VARCHAR, append_us BIGINT, at_p INTEGER, at_off BIGINT);
CREATE TABLE leftover (p INTEGER, off BIGINT, venue VARCHAR, symbol VARCHAR, ident UBIGINT,
    same UBIGINT);
"""


WRONG = (
    ("I1", "is in ticks.v1 twice", """
        SELECT any_value(symbol || '@' || venue || ' ' || coalesce(trade_id, '')), 'offset',
               min(off)::VARCHAR, max(off)::VARCHAR
        FROM accepted GROUP BY ident, venue, symbol HAVING count(*) > 1"""),
    ("I1", "is in two partitions", """
        SELECT symbol, 'partition', min(p)::VARCHAR, max(p)::VARCHAR
        FROM accepted GROUP BY symbol HAVING min(p) <> max(p)"""),
    ("I6", "is in the dead letters more than once", """
        SELECT topic || ' ' || p || ':' || off, 'letters', '1', count(*)::VARCHAR
        FROM letters GROUP BY topic, p, off HAVING count(*) > 1"""),
    ("I6", "is in the dead letters without a reason", """
        SELECT topic || ' ' || p || ':' || off, 'reason', 'text', reason || ' ' || detail
        FROM letters WHERE reason = '' OR detail = ''"""),
)  # fmt: skip
"""What may never be: the invariant, how it is told, and the query of bar, field, wanted, found."""


class Conservation:
    """The tables `accepted`, `letters` and `leftover`.

    Args:
        db: Where they are made.
        decoder: Of ticks.
        letters: Decoder of dead letters.
        report: Where differences go.
    """

    def __init__(
        self, db: duckdb.DuckDBPyConnection, decoder: Decoder, letters: Decoder, report: Report
    ) -> None:
        self._db, self._decoder, self._letters, self._report = db, decoder, letters, report
        self.counts = dict.fromkeys(("raw", "accepted", "refused", "repeats", "rerouted"), 0)
        db.execute(TABLES)

    def accept(self, rows: Sequence[tuple[Message, Fields]], table: pa.Table) -> None:
        """Take ticks of ticks.v1: decoded records, and the same as a table."""
        prefixes = [prefix(message.value, fields) for message, fields in rows]
        self._db.register("chunk", table.append_column("prefix", pa.array(prefixes, pa.binary())))
        self._db.execute(f"""
            INSERT INTO accepted
            SELECT p, off, raw_offset, prefix, venue, symbol, trade_id, event_time, ingest_time,
                   append_us, {HASHES} FROM chunk
        """)
        self._report.add_query("I1", self._db, "was accepted and breaks the contract", BROKEN)
        self._db.unregister("chunk")

    def refuse(self, messages: Sequence[Message]) -> None:
        """Take dead letters."""
        rows, bad = self._letters.rows(messages)
        self._report.add("I6", ({"what": "no dead letter", "bar": f"offset {o}"} for o in bad))
        found: list[tuple[Any, ...]] = [
            (f["topic"], f["partition"], f["offset"], digest(f["key"], f["value"]), f["reason"],
             f["detail"], f["append_time"], m.partition, m.offset)
            for m, f in rows
        ]  # fmt: skip
        if found:
            names = (
                "topic",
                "p",
                "off",
                "digest",
                "reason",
                "detail",
                "append_us",
                "at_p",
                "at_off",
            )
            columns = dict(zip(names, map(list, zip(*found, strict=True)), strict=True))
            self._db.register("chunk", pa.table(columns))
            self._db.execute("INSERT INTO letters SELECT * FROM chunk")
            self._db.unregister("chunk")

    def compare(self, topic: str, messages: Sequence[Message], *, is_raw: bool) -> None:
        """Take records that letters may be of: those of the raw topic, or of another."""
        table = pa.table(
            {
                "p": pa.array([m.partition for m in messages], pa.int32()),
                "off": pa.array([m.offset for m in messages], pa.int64()),
                "append_us": pa.array([m.append_us for m in messages], pa.int64()),
                "row": range(len(messages)),
                "prefix": pa.array([prefix(m.value, None) for m in messages], pa.binary()),
                "digest": pa.array([digest(m.key, m.value) for m in messages], pa.binary()),
            }
        )
        self._db.register("chunk", table)
        self._report.add_query(
            "I6", self._db, "is not whole in the dead letters", f"""
            SELECT l.topic || ' ' || l.p || ':' || l.off, 'value', 'as it was read', l.reason
            FROM letters l JOIN chunk c USING (p, off)
            WHERE l.topic = '{topic}' AND (l.digest <> c.digest OR l.append_us <> c.append_us)
            """,
        )  # fmt: skip
        if is_raw:
            self._sort_out(topic, messages)
        self._db.unregister("chunk")

    def _sort_out(self, topic: str, messages: Sequence[Message]) -> None:
        p, low, high = messages[0].partition, messages[0].offset, messages[-1].offset
        self._db.execute(f"""
            CREATE OR REPLACE TEMP TABLE fates AS
            SELECT c.row, c.p, c.off, a.off IS NOT NULL AS is_accepted,
                   l.off IS NOT NULL AS is_refused, a.content,
                   a.prefix IS NOT DISTINCT FROM c.prefix AS is_whole
            FROM chunk c
            LEFT JOIN (SELECT p, raw_off, min(off) AS off, any_value(content) AS content,
                              any_value(prefix) AS prefix
                       FROM accepted WHERE p = {p} AND raw_off BETWEEN {low} AND {high}
                       GROUP BY p, raw_off) a ON a.p = c.p AND a.raw_off = c.off
            LEFT JOIN (SELECT DISTINCT p, off FROM letters WHERE topic = '{topic}') l
                ON l.p = c.p AND l.off = c.off
        """)
        self._report.add_query(
            "I1", self._db, "was accepted and refused",
            f"SELECT '{topic} ' || p || ':' || off, 'fate', 'one', 'both' FROM fates"
            " WHERE is_accepted AND is_refused",
        )  # fmt: skip
        self._name_phantoms(topic, f"p = {p} AND {{}} BETWEEN {low} AND {high}")
        counted = self._db.execute(
            "SELECT count(*), coalesce(sum(is_accepted::INT), 0),"
            " coalesce(sum((is_refused AND NOT is_accepted)::INT), 0) FROM fates"
        ).fetchall()[0]
        for name, number in zip(("raw", "accepted", "refused"), counted, strict=True):
            self.counts[name] += int(number)
        doubtful = self._db.execute(
            "SELECT row, content FROM fates WHERE is_accepted AND NOT is_whole ORDER BY row"
        ).fetchall()
        self._compare_content([messages[row] for row, _ in doubtful], [c for _, c in doubtful])
        left = self._db.execute(
            "SELECT row FROM fates WHERE NOT is_accepted AND NOT is_refused ORDER BY row"
        ).fetchall()
        self._keep_leftover(topic, [messages[row] for (row,) in left])

    def _name_phantoms(self, topic: str, span: str) -> None:
        """Name what tells of raw offsets of a chunk that are not there."""
        self._report.add_query(
            "I1", self._db, "was accepted and never published", f"""
            SELECT symbol || '@' || venue || ' at ' || p || ':' || off, 'raw_offset', 'one',
                   raw_off::VARCHAR
            FROM accepted a WHERE {span.format("raw_off")}
                AND NOT EXISTS (SELECT 1 FROM fates f WHERE f.off = a.raw_off)""",
        )  # fmt: skip
        self._report.add_query(
            "I6", self._db, "is a dead letter of no record", f"""
            SELECT topic || ' ' || p || ':' || off, 'offset', 'one', reason
            FROM letters l WHERE topic = '{topic}' AND {span.format("off")}
                AND NOT EXISTS (SELECT 1 FROM fates f WHERE f.off = l.off)""",
        )  # fmt: skip

    def _compare_content(self, messages: Sequence[Message], contents: Sequence[int]) -> None:
        """A record that another writer made may be the same tick in other bytes."""
        rows, bad = self._decoder.rows(messages)
        wrong = [f"offset {off}" for off in bad]
        if rows:
            by_offset = {
                (m.partition, m.offset): c for m, c in zip(messages, contents, strict=True)
            }
            self._db.register("leftovers", self._decoder.table(rows, TICK))
            found = self._db.execute(f"SELECT p, off, {HASHES} FROM leftovers").fetchall()
            self._db.unregister("leftovers")
            wrong += [f"{p}:{off}" for p, off, *_, c in found if by_offset[p, off] != c]
        self._report.add(
            "I1", ({"what": "is not in ticks.v1 as it was published", "bar": at} for at in wrong)
        )

    def _keep_leftover(self, topic: str, messages: Sequence[Message]) -> None:
        rows, bad = self._decoder.rows(messages)
        self._report.add(
            "I6", ({"what": "was refused silently", "bar": f"{topic} {off}"} for off in bad)
        )
        if rows:
            self._db.register("leftovers", self._decoder.table(rows, TICK))
            self._db.execute(f"""
                INSERT INTO leftover
                SELECT p, off, venue, symbol, ident, same FROM (SELECT *, {HASHES} FROM leftovers)
            """)
            self._db.unregister("leftovers")

    def places(self, topic: str) -> list[tuple[int, int]]:
        """Return partition and offset of each record of a topic that has a dead letter."""
        found: list[tuple[int, int]] = self._db.execute(
            "SELECT DISTINCT p, off FROM letters WHERE topic = ? ORDER BY ALL", [topic]
        ).fetchall()
        return found

    def unexplained(self) -> int:
        """Return how many raw records are no repeat of an accepted tick that is known."""
        self._db.execute("""
            CREATE OR REPLACE TABLE lost AS
            SELECT l.*, EXISTS (SELECT 1 FROM accepted a WHERE a.ident = l.ident AND a.p = l.p)
                       AS is_repeat,
                   EXISTS (SELECT 1 FROM accepted a WHERE a.same = l.same
                           AND (a.symbol <> l.symbol OR a.p <> l.p)) AS is_rerouted
            FROM leftover l
        """)
        [(count,)] = self._db.execute(
            "SELECT count(*) FROM lost WHERE NOT is_repeat AND NOT is_rerouted"
        ).fetchall()
        return int(count)

    def judge(
        self,
        raw_topic: str,
        begins: Mapping[int, int],
        starts: Mapping[int, int],
        kept: Mapping[int, int],
    ) -> None:
        """Tell what was lost, and what is there twice.

        Args:
            raw_topic: Its whole name.
            begins: First offset of ticks.v1 by partition; a repeat of what is gone is beyond_log.
            starts: Below it raw records were judged before, with all that became of them.
            kept: From it on ticks of ticks.v1 were not.
        """
        report, db = self._report, self._db
        unexplained = self.unexplained()
        counted = db.execute(
            "SELECT coalesce(sum(is_repeat::INT), 0),"
            " coalesce(sum((is_rerouted AND NOT is_repeat)::INT), 0) FROM lost"
        ).fetchall()[0]
        self.counts["repeats"], self.counts["rerouted"] = map(int, counted)
        gone = ", ".join(str(p) for p, begin in begins.items() if begin > 0) or "-1"
        lost = f"""
            SELECT symbol || '@' || venue || ' at ' || p || ':' || off, 'fate',
                   'accepted, refused, a repeat or rerouted', 'none'
            FROM lost WHERE NOT is_repeat AND NOT is_rerouted AND p NOT IN ({gone})
        """
        missing = report.add_query("I1", db, "was lost", lost)
        beyond_log = unexplained - missing
        for invariant, what, query in WRONG:
            report.add_query(invariant, db, what, query)
        for p, start in starts.items():
            again = f"""
                SELECT topic || ' ' || p || ':' || off, 'letters', '1', 'more'
                FROM letters WHERE topic = '{raw_topic}' AND p = {p} AND off < {start}"""
            report.add_query("I6", db, "is in the dead letters again", again)
            again = f"""
                SELECT symbol || '@' || venue || ' at ' || p || ':' || off, 'raw_offset',
                       'from {start} on', raw_off::VARCHAR
                FROM accepted WHERE p = {p} AND off >= {kept.get(p, 0)} AND raw_off < {start}"""
            report.add_query("I1", db, "is in ticks.v1 again", again)
        report.count("I1", **self.counts, lost=missing, beyond_log=beyond_log)
        row = db.execute(
            f"SELECT count(*), count(*) FILTER (topic = '{raw_topic}') FROM letters"
        ).fetchall()[0]
        report.count("I6", dead_letters=int(row[0]), of_raw=int(row[1]))
