"""One bar explained: its evidence read in the order in which it tells most, and judged.

Nothing is held but the lines that are wanted, what was refused, and the raw offsets of the bar's
ticks; so the ticks themselves are read twice. A bar that was corrected when it was final does not
name the correction's offset: where its ticks do not add up, ticks.v1 is read on until they do.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.bar_evidence import BarEvidence, Survey
from app.domain.evidence import Tick
from app.domain.explain import (
    Judge,
    Line,
    Reason,
    UsesOf,
    duplicate,
    everything,
    late_elsewhere,
    refused,
)
from app.domain.ports import Row

READ_ON = 100_000
"""Offsets read at first behind a bar that does not add up; ten times as many each time after."""


@dataclass(slots=True)
class Explanation:
    """What one bar was made of.

    Attributes:
        lines: The first of its ticks, at most so many as wanted.
        more: How many there are beside them.
        counts: Ticks by verdict.
        reasons: Ticks by the code of their reason; one may have several.
        differences: Fields in which the bar is not what its used ticks make: its value and theirs.
    """

    lines: list[Line] = field(default_factory=list)
    more: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def add(self, line: Line, limit: int) -> None:
        """Take one line, and keep it if there is room."""
        self.counts[line.verdict] += 1
        self.reasons.update(reason.code for reason in line.reasons)
        if len(self.lines) < limit:
            self.lines.append(line)
        else:
            self.more += 1


def explained(
    evidence: BarEvidence,
    emissions: Sequence[Row],
    limit: int,
    uses_of: UsesOf = everything,
) -> Explanation:
    """Return which ticks made a bar, which were refused, and why.

    Args:
        evidence: What the log says of it.
        emissions: What is known of its revisions, the newest last; at least one. A trade that was
            cancelled lies in the offsets of the earlier ones only.
        limit: Lines kept.
        uses_of: What sale conditions leave of a trade.

    Raises:
        BrokerUnavailable: Kafka did not answer.
    """
    bar = emissions[-1]
    given = [each[name] for each in emissions for name in ("first_offset", "last_offset")]
    offsets = [offset for offset in given if offset >= 0]
    span = range(min(offsets), max(offsets) + 1) if offsets else range(0)
    case = _Case(evidence, span, uses_of)
    found = case.judged(bar, limit)
    # Corrections of a final bar lie behind its last offset; without its ticks there is no telling.
    at, step = span.stop, READ_ON
    end = evidence.end() if found.differences and bar["revision"] and evidence.is_whole() else 0
    while found.differences and at < end:
        stop = min(at + step, end)
        if case.read_on(at, stop):
            found = case.judged(bar, limit)
        at, step = stop, step * 10
    return found


class _Case:
    """All that is known of one bar before its ticks are judged."""

    def __init__(self, evidence: BarEvidence, span: range, uses_of: UsesOf) -> None:
        self._evidence = evidence
        self._span = span
        self._uses_of = uses_of
        self._survey: Survey = evidence.survey(span.start, span.stop)
        self._late = evidence.late(self._survey.appended_us) if span else []
        self._unaccepted = evidence.unaccepted(self._survey)

    def read_on(self, start: int, stop: int) -> bool:
        """Look for corrections and cancels among later ticks; return whether there are any."""
        later = self._evidence.survey(start, stop, self._survey.after)
        amendments = dict(self._survey.amendments)
        for trade_id, ticks in later.amendments.items():
            amendments[trade_id] = [*amendments.get(trade_id, ()), *ticks]
        self._survey = self._survey._replace(amendments=amendments, after=later.after)
        return bool(later.amendments)

    def judged(self, bar: Row, limit: int) -> Explanation:
        """Read the ticks, and judge them."""
        late = {tick.offset: each for tick, each in self._late if tick.offset is not None}
        judge = Judge(late, self._survey.amendments, self._uses_of)
        found = Explanation()
        for line in self._lines(judge):
            found.add(line, limit)
        found.differences = judge.recount.differences(bar)
        return found

    def _lines(self, judge: Judge) -> Iterator[Line]:
        """Yield ticks and refused records by raw offset, then what stands outside that order."""
        waiting = deque(self._unaccepted)
        wanted = {tick.identity for tick, reason in self._unaccepted if reason is None}
        originals: dict[Hashable, int | None] = {}
        for block in self._evidence.ticks(self._span.start, self._span.stop):
            for tick, reason in block.bad:
                yield refused(tick, reason)
            for tick in block.ticks:
                while waiting and _is_before(waiting[0][0], tick):
                    yield _unaccepted(*waiting.popleft(), originals)
                if tick.identity in wanted:
                    originals.setdefault(tick.identity, tick.offset)
                if tick.action == "NEW":
                    yield judge.trade(tick)
        for left in waiting:
            yield _unaccepted(*left, originals)
        yield from judge.amendments()
        for tick, late in self._late:
            if tick.offset not in self._span:
                yield late_elsewhere(tick, late)


def _is_before(raw: Tick, tick: Tick) -> bool:
    return tick.raw_offset is not None and (raw.raw_offset or 0) < tick.raw_offset


def _unaccepted(tick: Tick, reason: Reason | None, originals: dict[Hashable, int | None]) -> Line:
    if reason is None:
        return duplicate(tick, originals.get(tick.identity))
    return refused(tick, reason)
