"""What the bars of each series follow: its rules from the catalog, as the bars' core wants them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from app.domain.activity import Spec, spec
from app.domain.catalog import Catalog, SeriesRules
from app.domain.conditions import ConditionTable, table_on
from app.domain.empties import Empties
from app.domain.exchange_sessions import BeyondSchedule
from app.domain.partials import EVERYTHING, Uses
from app.domain.timeframes import Ladder
from app.domain.trades import Name, Trades, alike
from app.errors import ConfigError

EXTENDED = "_extended"
"""Ends the name of the table that judges prints outside the session, where there is one."""
_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one series follows.

    Attributes:
        rules: As the catalog has them.
        ladder: Its timeframes, graces and sessions.
        empties: What is made of intervals without a trade.
        specs: Its tick, volume and value bars.
    """

    rules: SeriesRules
    ladder: Ladder
    empties: Empties
    specs: tuple[Spec, ...]


class Plans:
    """The plans of all series.

    Args:
        catalog: The reviewed rules.
        ladder_of: Timeframes and graces that go with them.
    """

    def __init__(self, catalog: Catalog, ladder_of: Callable[[SeriesRules], Ladder]) -> None:
        self._catalog = catalog
        self._ladder_of = lru_cache(_KEPT)(ladder_of)
        self._plan_of = lru_cache(_KEPT)(self._made)
        self._composites_of = lru_cache(_KEPT)(catalog.composites)
        self.base = ladder_of(SeriesRules()).base
        self.timeframes = tuple(r.timeframe.name for r in ladder_of(SeriesRules()).rungs)
        self._has_composites = any(entry.composite_of for entry in catalog.series)
        self._has_ingest = any(entry.clock == "ingest" for entry in catalog.series)
        self._has_quotes = any(entry.quotes for entry in catalog.series)

    def require(self) -> None:
        """Make the plan of every entry of the catalog once.

        Raises:
            ConfigError: With a line for each that does not fit the timeframes.
        """
        catalog = self._catalog
        names = [
            *((each.venue, each.symbol) for each in catalog.instruments),
            *((each.venue, each.symbol) for each in catalog.series),
            *((venue, "*") for venue in catalog.venues),
        ]
        faults = []
        for venue, symbol in names:
            try:
                self._made((venue, symbol))
            except ValueError as error:
                faults.append(f"catalog {venue} {symbol}: {error}")
        if faults:
            raise ConfigError("\n".join(faults))

    def of(self, name: Name) -> Plan:
        """Return what a series follows."""
        return self._plan_of(name)

    def composites(self, name: Name) -> tuple[Name, ...]:
        """Return the composite series that the trades of a series are also part of."""
        if not self._has_composites:
            return ()
        return tuple((venue, name[1]) for venue in self._composites_of(*name))

    def members(self, name: Name) -> list[Name]:
        """Return the series whose trades make up a series: itself, unless it is composite."""
        venues = self.of(name).rules.composite_of
        return [(venue, name[1]) for venue in venues] if venues else [name]

    def has_quote_bars(self, names: Iterable[Name]) -> bool:
        """Return whether there are quote bars of any of these, or of a composite of theirs."""
        return self._has_quotes and any(
            self.of(each).rules.quotes for name in names for each in (name, *self.composites(name))
        )

    def clocked(self, trades: Trades) -> Trades:
        """Return the ticks with their ingest time where that is their series' clock (S2)."""
        if not self._has_ingest:
            return trades
        by_ingest = [self.of(name).rules.clock == "ingest" for name in trades.names]
        if not any(by_ingest):
            return trades
        rows = np.array(by_ingest)[trades.series]
        return replace(trades, at_us=np.where(rows, trades.ingest_us, trades.at_us))

    def uses(self, trades: Trades) -> Uses:
        """Return what each tick counts for, n, by the sale conditions of its venue (S9)."""
        uses = np.full(len(trades), EVERYTHING, np.uint8)
        for row, conditions in trades.conditions.items():
            name = trades.names[trades.series[row]]
            uses[row] = self.allowed(name, conditions, int(trades.at_us[row]))
        return uses

    def allowed(self, name: Name, conditions: Sequence[str], at_us: int) -> int:
        """Return what a print of a series with these conditions counts for at that time, µs."""
        rules = self.of(name).rules
        return int(_table(rules, at_us).uses(conditions)) if rules.conditions else EVERYTHING

    def joined(self, trades: Trades) -> Iterator[tuple[Trades, np.ndarray]]:
        """Yield the ticks of each composite series under its name, and their rows."""
        found: dict[Name, list[int]] = {}
        for code, name in enumerate(trades.names):
            for composite in self.composites(name):
                found.setdefault(composite, []).append(code)
        for composite, codes in found.items():
            rows = np.flatnonzero(np.isin(trades.series, codes))
            yield alike(trades.take(rows), composite), rows

    def _made(self, name: Name) -> Plan:
        rules = self._catalog.rules(*name)
        return Plan(rules, self._ladder_of(rules), Empties(rules.empty), _specs(rules))


def _specs(rules: SeriesRules) -> tuple[Spec, ...]:
    names: Sequence[str] = (
        *(f"T{ticks}" for ticks in rules.ticks),
        *(f"V{volume:f}" for volume in rules.volumes),
        *(f"N{value:f}" for value in rules.values),
    )
    return tuple(map(spec, names))


def _table(rules: SeriesRules, at_us: int) -> ConditionTable:
    """Return the table that judged prints on that day, in or outside the session."""
    try:
        is_outside = not rules.profile.is_open(at_us)
    except BeyondSchedule:
        is_outside = False
    return _dated(rules.conditions, at_us // 86_400_000_000, is_outside=is_outside)


@lru_cache(4096)
def _dated(name: str, day: int, *, is_outside: bool) -> ConditionTable:
    date = datetime.fromtimestamp(day * 86_400, UTC).date()
    return table_on(name + EXTENDED if is_outside and name == "us_equities" else name, date)
