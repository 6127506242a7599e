"""Missing trade ids of one series whose venue numbers its trades without holes.

A hole is judged a gap when stream time has moved `patience` past its discovery, so that trades
out of order are not reported. A gap stays in the ledger until its last missing trade comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_OPEN = 1_000
"""Unrepaired gaps remembered per series; the oldest beyond it stay open in the ledger."""


@dataclass(slots=True)
class Gap:
    """One range of ids that has not arrived.

    Attributes:
        from_id: First missing id; `to_id` is the last.
        after_us: Event time of the trade before the range; `before_us` of the one after it.
        found_us: Stream time when the hole was seen.
        detected_us: Stream time when it was judged a gap; None before.
        missing: What is still missing, as inclusive ranges in order.
        repaired_us: Stream time when the last missing trade came; None before.
        repaired_by: Source of that trade.
    """

    from_id: int
    to_id: int
    after_us: int
    before_us: int
    found_us: int
    detected_us: int | None = None
    missing: list[tuple[int, int]] = field(default_factory=list)
    repaired_us: int | None = None
    repaired_by: str | None = None

    def fill(self, trade_id: int) -> bool:
        """Take one id out of what is missing; return whether it was."""
        for n, (low, high) in enumerate(self.missing):
            if low <= trade_id <= high:
                rest = [(low, trade_id - 1), (trade_id + 1, high)]
                self.missing[n : n + 1] = [(a, b) for a, b in rest if a <= b]
                return True
        return False


@dataclass(slots=True)
class IdLedger:
    """The ids of one series: how far they go and what is missing below.

    Attributes:
        high: Highest id seen; None before the first.
        low: Every id from here to `high` was seen, except what is missing.
        high_us: Event time of that trade.
        gaps: Holes and gaps, by from_id.
    """

    high: int | None = None
    high_us: int = 0
    low: int = 0
    gaps: list[Gap] = field(default_factory=list)

    def add(self, trades: Iterable[tuple[int, int, str]], stream_us: int) -> list[Gap]:
        """Take trades of one block in order: (id, event time us, source).

        Returns:
            Judged gaps that were completed by them.
        """
        repaired = []
        for trade_id, at_us, source in trades:
            if self.high is None or trade_id > self.high:
                if self.high is not None and trade_id > self.high + 1:
                    low, high = self.high + 1, trade_id - 1
                    self.gaps.append(
                        Gap(low, high, self.high_us, at_us, stream_us, None, [(low, high)])
                    )
                self.low = trade_id if self.high is None else self.low
                self.high, self.high_us = trade_id, at_us
                continue
            if trade_id == self.low - 1:
                self.low = trade_id
            for gap in self.gaps:
                if gap.from_id <= trade_id <= gap.to_id and gap.fill(trade_id):
                    if not gap.missing:
                        self.gaps.remove(gap)
                        if gap.detected_us is not None:
                            gap.repaired_us, gap.repaired_by = max(stream_us, at_us), source
                            repaired.append(gap)
                    break
        return repaired

    def has(self, trade_id: int) -> bool:
        """Return whether the ids alone prove that this trade was seen."""
        if self.high is None or not self.low <= trade_id <= self.high:
            return False
        return not any(low <= trade_id <= high for gap in self.gaps for low, high in gap.missing)

    def judge(self, stream_us: int, patience_us: int) -> list[Gap]:
        """Return the holes that have become gaps by `stream_us`, each exactly once."""
        judged: list[Gap] = []
        for gap in [g for g in self.gaps if g.detected_us is None]:
            if gap.found_us + patience_us > stream_us:
                continue
            at = self.gaps.index(gap)
            parts = [
                Gap(low, high, gap.after_us, gap.before_us, gap.found_us, stream_us, [(low, high)])
                for low, high in gap.missing
            ]
            self.gaps[at : at + 1] = parts
            judged += parts
        excess = max(0, len(self.gaps) - MAX_OPEN)
        if excess:
            self.low = max(self.low, self.gaps[excess - 1].to_id + 1)
            del self.gaps[:excess]
        return judged
