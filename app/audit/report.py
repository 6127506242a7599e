"""What an audit found: differences, bounded in what is kept of them, and numbers by invariant."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

Difference = Mapping[str, Any]
"""bar (or place), what, and where it applies field, expected and found."""


@dataclass
class Report:
    """One audit.

    Attributes:
        limit: Differences of each kind that are kept; all are counted.
        differences: As JSON takes them, each with its invariant.
        counts: Differences by invariant.
        numbers: What was looked at, by invariant.
    """

    limit: int = 20
    differences: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _kept: Counter[tuple[str, Any, Any]] = field(default_factory=Counter)
    _began_s: float = field(default_factory=time.monotonic)

    def add(self, invariant: str, differences: Iterable[Difference], more: int = 0) -> None:
        """Note differences, and how many there are beside them."""
        for each in differences:
            self.counts[invariant] += 1
            kind = invariant, each.get("what"), each.get("where")
            self._kept[kind] += 1
            if self._kept[kind] <= self.limit:
                self.differences.append({"invariant": invariant, **each})
        self.counts[invariant] += more

    def add_query(
        self, invariant: str, db: duckdb.DuckDBPyConnection, what: str, query: str, **place: Any
    ) -> int:
        """Note each row (bar, field, expected, found) of a query; return how many there are."""
        found = db.execute(
            f"SELECT *, count(*) OVER () FROM ({query}) LIMIT {self.limit}"
        ).fetchall()
        names = ("bar", "field", "expected", "found")
        rows = [{**dict(zip(names, row[:-1], strict=True)), "what": what, **place} for row in found]
        count = int(found[0][-1]) if found else 0
        self.add(invariant, rows, count - len(rows))
        return count

    def count(self, invariant: str, **numbers: Any) -> None:
        """Note numbers of an invariant."""
        self.numbers.setdefault(invariant, {}).update(numbers)

    @property
    def mismatches(self) -> int:
        """How many differences there are."""
        return self.counts.total()

    def line(self, **more: Any) -> dict[str, Any]:
        """Return the last line: numbers, for programs."""
        return {
            "bars_checked": self.numbers.get("I2", {}).get("bars", 0),
            "mismatches": self.mismatches,
            "seconds": round(time.monotonic() - self._began_s, 3),
            "differences": {name: count for name, count in self.counts.items() if count},
            **self.numbers,
            **more,
        }
