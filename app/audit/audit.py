"""One audit, from the cut of the logs to the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from app import topics
from app.audit.bars import Bars
from app.audit.conservation import Conservation
from app.audit.cut import Cut, cut
from app.audit.emissions import Emissions
from app.audit.hot import Hot
from app.audit.identity import TICK
from app.audit.judge import Judge
from app.audit.log import Log, Offsets
from app.audit.market import Market
from app.audit.recompute import Recompute
from app.audit.records import Decoder, Message
from app.audit.report import Report
from app.audit.rules import Rules
from app.audit.scope import Scope
from app.audit.stores import Stores
from app.audit.warm import Warm
from app.settings import Settings
from app.topics import Topic


class Audit:
    """The steps of one audit, over one database.

    Args:
        settings: Where all is, and the timeframes.
        scope: What is audited.
        db: An empty database.
        log: The logs.
        report: What is found.
    """

    def __init__(
        self,
        settings: Settings,
        scope: Scope,
        db: duckdb.DuckDBPyConnection,
        log: Log,
        report: Report,
    ) -> None:
        self._settings, self.scope, self.db, self.log = settings, scope, db, log
        self.report = report
        url = settings.schema_registry_url
        self._ticks, self._clocks = Decoder("tick", url), Decoder("clock", url)
        rules = Rules(Path(settings.catalog) if settings.catalog else None)
        self.market = Market(db, settings, rules)
        self.recompute = Recompute(db, self.market)
        self.bars = Bars(db)
        self.emissions = Emissions(db, Decoder("bar", url))
        letters = Decoder("dead_letter", url)
        self.conservation = Conservation(db, self._ticks, letters, report)
        self.warm = Warm(db, settings.postgres_url)
        self.hot = Hot(db, settings.redis_url, settings.redis_prefix)
        db.execute("CREATE TABLE wanted (symbol VARCHAR, venue VARCHAR, timeframe VARCHAR,"
                   " open_us BIGINT)")  # fmt: skip
        db.execute("CREATE TABLE begins (p INTEGER, begin_off BIGINT)")

    def cut(self) -> Cut:
        """Wait for the groups, and learn where the logs begin and are cut."""
        at = cut(self.log, self._settings, self.report, has_stores=self.scope.has_stores)
        self.begins = self.log.begins(topics.TICKS)
        self.db.executemany("INSERT INTO begins VALUES (?, ?)", sorted(self.begins.items()))
        return at

    def full(self) -> None:
        """Audit all that the logs and the stores hold."""
        at = self.cut()
        self.read_clocks({})
        self.read_ticks({}, at.ticks)
        self.read_bars({}, at.bars)
        self.read_letters({}, at.letters)
        self.compare_raw({}, at.raw)
        self.conservation.judge(self.name(topics.RAW), self.begins, {}, {})
        self.amend(at.ticks)
        self.bars.make()
        if self.scope.has_stores:
            self.warm.take_all()
            digests = self.hot.take_all(self.report)
            self.report.count("I3", redis=digests, **self.warm.digest())
        self.read_later(at.bars)
        self.emissions.settle()
        self.db.execute(
            "INSERT INTO wanted SELECT symbol, venue, timeframe, open_us FROM expected"
            " UNION SELECT symbol, venue, timeframe, open_us FROM newest"
        )
        self.judge(is_full=True)

    def name(self, topic: Topic) -> str:
        """Return a topic's name on the broker."""
        return self._settings.topic(topic)

    def judge(self, *, is_full: bool, is_to_the_end: bool = True) -> None:
        """Compare all that was read."""
        self.emissions.judge(self.report)
        Judge(
            self.db, self.report, self._settings.timeframes,
            is_full=is_full, is_to_the_end=is_to_the_end,
        ).bars()  # fmt: skip
        if self.scope.has_stores:
            Stores(self.db, self.report, is_full=is_full).judge()

    def take_stores(self, query: str) -> None:
        """Take from the stores the bars whose keys a query gives."""
        if self.scope.has_stores:
            keys = self.db.execute(query).fetchall()
            self.warm.take(keys)
            self.hot.take(keys, self.report)

    def correctable_since(self, partition: int, append_us: int) -> int:
        """Return the first offset of ticks.v1 that an amendment of a time may change."""
        reach_us = round(self._settings.correct_for_s * 1e6)
        return self.log.since(topics.TICKS, partition, append_us - reach_us)

    def amendable_until(self, partition: int, offset: int) -> int:
        """Return the offset of ticks.v1 up to which ticks before another may be amended."""
        [(append_us,)] = self.db.execute(
            "SELECT max(append_us) FROM accepted WHERE p = ? AND off < ?", [partition, offset]
        ).fetchall()
        if append_us is None:
            return offset
        reach_us = round(self._settings.correct_for_s * 1e6)
        return self.log.since(topics.TICKS, partition, int(append_us) + reach_us)

    def read_clocks(self, starts: Mapping[int, int]) -> Offsets:
        """Take the ticks of the clock, each at its append; return where they end."""
        ends = self.log.ends(topics.CLOCK)
        for p, end in ends.items():
            for messages in self.log.read(topics.CLOCK, p, starts.get(p, 0), end):
                rows, _ = self._clocks.rows(messages)
                found = [(m.partition, f["tick_offset"], m.append_us) for m, f in rows]
                if found:
                    self.db.executemany("INSERT INTO clocks VALUES (?, ?, ?)", found)
        return ends

    def read_ticks(
        self, starts: Mapping[int, int], stops: Mapping[int, int], *, is_folded: bool = True
    ) -> None:
        """Take ticks in order, for I1 and for the bars."""
        for p, stop in stops.items():
            for messages in self.log.read(topics.TICKS, p, starts.get(p, 0), stop):
                table = self._decoded(messages)
                if table is not None and is_folded:
                    self.recompute.fold(table, p)

    def _decoded(self, messages: Sequence[Message]) -> pa.Table | None:
        rows, bad = self._ticks.rows(messages)
        self.report.add("I1", ({"what": "no tick", "bar": f"ticks.v1 offset {off}"} for off in bad))
        if not rows:
            return None
        table = self._ticks.table(rows, TICK)
        self.conservation.accept(rows, table)
        return table

    def read_again(self, p: int, start: int, stop: int, *, everything: bool) -> None:
        """Take ticks of which lateness was judged before: all, or those of dirty bars."""
        for messages in self.log.read(topics.TICKS, p, start, stop):
            rows, _ = self._ticks.rows(messages)
            if rows:
                table = self._ticks.table(rows, TICK)
                self.recompute.fold_again(table, everything=everything)

    def read_bars(self, starts: Mapping[int, int], stops: Mapping[int, int]) -> None:
        """Take emissions."""
        for p, stop in stops.items():
            for messages in self.log.read(topics.BARS, p, starts.get(p, 0), stop):
                self.emissions.add(messages, self.report)

    def read_later(self, starts: Mapping[int, int]) -> None:
        """Take what was emitted since the cut: those bars are not at rest."""
        for p, stop in self.log.ends(topics.BARS).items():
            for messages in self.log.read(topics.BARS, p, starts.get(p, 0), stop):
                self.emissions.add(messages, self.report, is_later=True)

    def read_letters(self, starts: Mapping[int, int], stops: Mapping[int, int]) -> None:
        """Take dead letters."""
        for p, stop in stops.items():
            for messages in self.log.read(topics.DEAD_LETTERS, p, starts.get(p, 0), stop):
                self.conservation.refuse(messages)

    def compare_raw(self, starts: Mapping[int, int], stops: Mapping[int, int]) -> None:
        """See what became of raw records; and whether letters of other topics are whole."""
        name = self._settings.topic(topics.RAW)
        for p, stop in stops.items():
            for messages in self.log.read(topics.RAW, p, starts.get(p, 0), stop):
                self.conservation.compare(name, messages, is_raw=True)
        for topic in (topics.TICKS, topics.BARS):
            name = self._settings.topic(topic)
            for p, off in self.conservation.places(name):
                for messages in self.log.read(topic, p, off, off + 1):
                    self.conservation.compare(name, messages, is_raw=False)

    def amend(self, stops: Mapping[int, int]) -> None:
        """Compute the bars anew whose trades were corrected or cancelled."""
        for p, start, stop in self.recompute.dirty_ranges():
            self.read_again(p, start, min(stop, stops[p]), everything=False)
