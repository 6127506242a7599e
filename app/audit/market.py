"""What each series follows, as tables that the recompute joins with."""

from collections.abc import Iterable
from typing import Any

import duckdb
import pyarrow as pa

from app.audit import sessions
from app.audit.rules import Rules
from app.settings import Settings

WIDTHS_US = {"S": 1_000_000, "M": 60_000_000, "H": sessions.HOUR_US, "D": sessions.DAY_US}
FOLLOWS_SESSION_US = 4 * sessions.HOUR_US

TABLES = """
CREATE TABLE members (venue VARCHAR, symbol VARCHAR, name VARCHAR, clock VARCHAR, codes VARCHAR,
    profile VARCHAR);
CREATE TABLE series (name VARCHAR, symbol VARCHAR, empty VARCHAR, sides VARCHAR[]);
CREATE TABLE rungs (name VARCHAR, symbol VARCHAR, timeframe VARCHAR, width_us BIGINT,
    how VARCHAR, profile VARCHAR, grace_us BIGINT);
CREATE TABLE spans (profile VARCHAR, how VARCHAR, begin_us BIGINT, end_us BIGINT, is_open BOOLEAN);
"""
"""members: each (venue, symbol), and the series that its ticks belong to; name is the venue of
the series, clock, codes and profile are the venue's own. spans: where bars are counted from."""


def width_us(timeframe: str) -> int:
    """Return the width of S1, M5, H4, ..."""
    return WIDTHS_US[timeframe[0]] * int(timeframe[1:])


class Market:
    """The series seen so far.

    Args:
        db: Where the tables are made.
        settings: Timeframes and graces.
        rules: The catalog.
    """

    def __init__(self, db: duckdb.DuckDBPyConnection, settings: Settings, rules: Rules) -> None:
        self._db, self._settings, self._rules = db, settings, rules
        self.widths_us = {name: width_us(name) for name in settings.timeframes}
        self.base = min(settings.timeframes, key=width_us)
        self.revise_us = round(settings.revise_for_s * 1e6)
        self._known: set[tuple[str, str]] = set()
        self._series: set[tuple[str, str]] = set()
        self._profiles: set[str] = set()
        db.execute(TABLES)

    def meet(self, names: Iterable[tuple[str, str]]) -> None:
        """Take (venue, symbol) pairs into the tables; those known change nothing."""
        members: list[tuple[Any, ...]] = []
        for venue, symbol in names:
            if (venue, symbol) in self._known:
                continue
            self._known.add((venue, symbol))
            own = self._rules.of(venue, symbol)
            self._draw(own.session)
            for name in (venue, *self._rules.composites(venue, symbol)):
                members.append((venue, symbol, name, own.clock, own.conditions, own.session))
                self._take(name, symbol)
        self._insert("members", members)

    def _take(self, name: str, symbol: str) -> None:
        if (name, symbol) in self._series:
            return
        self._series.add((name, symbol))
        rules = self._rules.of(name, symbol)
        self._draw(rules.session)
        self._insert("series", [(name, symbol, rules.empty, list(rules.quotes))])
        rungs = []
        for timeframe, width in self.widths_us.items():
            how = self._how(rules.session, width, anchored=rules.anchored)
            # One duration for all of a series yields to none of the settings'; one by name does.
            known = rules.grace_s.get("", self._settings.grace_s(timeframe))
            grace_us = round(rules.grace_s.get(timeframe, known) * 1e6)
            rungs.append((name, symbol, timeframe, width, how, rules.session, grace_us))
        self._insert("rungs", rungs)

    def _how(self, profile: str, width: int, *, anchored: bool) -> str:
        if profile == sessions.ALWAYS:
            restarts = anchored and width < sessions.DAY_US and sessions.DAY_US % width
            return "midnight" if restarts else "aligned"
        if width >= FOLLOWS_SESSION_US:
            return "session"
        return "segment" if anchored and sessions.hours(profile).grain_us % width else "aligned"

    def _draw(self, profile: str) -> None:
        if profile in self._profiles or profile == sessions.ALWAYS:
            return
        self._profiles.add(profile)
        drawn = sessions.hours(profile)
        for how, spans in (("session", drawn.sessions), ("segment", drawn.stretches)):
            table = pa.table(
                {
                    "profile": [profile] * len(spans), "how": [how] * len(spans),
                    "begin_us": [s.begin_us for s in spans], "end_us": [s.end_us for s in spans],
                    "is_open": [s.is_open for s in spans],
                }
            )  # fmt: skip
            self._db.register("drawn", table)
            self._db.execute("INSERT INTO spans SELECT * FROM drawn")
            self._db.unregister("drawn")

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
