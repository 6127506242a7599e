"""Where the logs are cut, so that a running flow is judged as if it stood still; and I5.

The groups are given time to commit what the logs held when the audit began. Outputs come before
commits, so what was made of the records below the cut is in the logs then.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app import topics
from app.audit.log import Log, Offsets
from app.audit.report import Report
from app.settings import Settings
from app.topics import Topic

WITHIN_S = 30.0
POLL_S = 0.25
STORES: Mapping[str, Sequence[Topic]] = {
    "hot": (topics.TICKS, topics.BARS, topics.QUOTES),
    "warm": (topics.TICKS, topics.BARS),
}


class Cut(NamedTuple):
    """Offsets below which each log is judged, by partition."""

    raw: Offsets
    ticks: Offsets
    bars: Offsets
    letters: Offsets


def cut(log: Log, settings: Settings, report: Report, *, has_stores: bool) -> Cut:
    """Wait for the groups, and return where they were.

    A group that does not come so far in time is a difference of I5; what it has not done is left
    to the next audit.
    """
    deadline_s = time.monotonic() + WITHIN_S
    waits = _Waits(log, settings, deadline_s)
    bars = log.ends(topics.BARS)
    raw = waits.reach("compute", topics.RAW, log.ends(topics.RAW))
    ticks_end = log.ends(topics.TICKS)
    ticks = waits.reach("compute", topics.TICKS, ticks_end)
    letters = log.ends(topics.DEAD_LETTERS)
    if has_stores:
        for role, read in STORES.items():
            for topic in read:
                ends = {topics.BARS: bars, topics.TICKS: ticks}.get(topic)
                waits.reach(role, topic, log.ends(topic) if ends is None else ends)
    report.add("I5", waits.behind)
    report.count("I5", lag=waits.lag, waited_s=round(waits.waited_s, 1))
    return Cut(raw, ticks, bars, letters)


class _Waits:
    def __init__(self, log: Log, settings: Settings, deadline_s: float) -> None:
        self._log, self._settings, self._deadline_s = log, settings, deadline_s
        self.behind: list[dict[str, object]] = []
        self.lag = 0
        self.waited_s = 0.0

    def reach(self, role: str, topic: Topic, ends: Offsets) -> Offsets:
        """Wait until a group has committed offsets; return how far it came, at most those."""
        group, began_s = self._settings.group_of(role), time.monotonic()
        while True:
            found = self._log.committed(group, topic)
            short = {p: end for p, end in ends.items() if max(found.get(p, 0), 0) < end}
            if not short or time.monotonic() >= self._deadline_s:
                break
            time.sleep(POLL_S)
        self.waited_s += time.monotonic() - began_s
        for p, end in short.items():
            committed = max(found.get(p, 0), 0)
            self.lag += end - committed
            self.behind.append(
                {
                    "what": "has not committed the log's end", "bar": f"{group} {topic.name} {p}",
                    "field": "offset", "expected": str(end), "found": str(committed),
                }
            )  # fmt: skip
        return {p: min(end, max(found.get(p, 0), 0)) for p, end in ends.items()}
