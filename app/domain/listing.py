"""All that is kept of one (venue, symbol) for its bars."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from app.domain.amendments import Amendment
from app.domain.ids import Ids, Missing
from app.domain.plan import Plan
from app.domain.series import Series

MOST_EARLY = 1_000
"""Amendments kept that came before their trade; beyond it the oldest is forgotten."""


@dataclass(slots=True)
class Listing:
    """One symbol at one venue.

    Attributes:
        plan: What it follows.
        series: Its time bars.
        ids: Which trade ids are missing, where its venue numbers trades without holes.
        early: Amendments of trades that have not come, or came after them, by trade id.
    """

    plan: Plan
    series: Series
    ids: Ids | None
    early: dict[str, Amendment] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan) -> "Listing":
        """Return a new one."""
        ids = Ids() if plan.rules.contiguous else None
        return cls(plan, Series(plan.ladder, plan.empties), ids)

    def keep_early(self, amendment: Amendment) -> None:
        """Keep an amendment until its trade comes, and as long as its bar may be recomputed."""
        self.early.pop(amendment.trade_id, None)
        self.early[amendment.trade_id] = amendment
        while len(self.early) > MOST_EARLY:
            del self.early[next(iter(self.early))]

    def state(self) -> list[Any]:
        """Return all that is not in the bars, as JSON takes it."""
        ids = None if self.ids is None else astuple(self.ids)
        return [self.series.state(), ids, list(self.early.values())]

    def restore_state(self, state: Sequence[Any]) -> None:
        """Put back what `state` returned, be it through JSON."""
        series, ids, early = state
        self.series.restore_state(series)
        if ids is not None:
            next_id, last_us, missing = ids
            held = [Missing(first, last, (*hole,)) for first, last, hole in missing]
            self.ids = Ids(next_id, last_us, held)
        self.early = {each.trade_id: each for each in (Amendment(*row) for row in early)}
