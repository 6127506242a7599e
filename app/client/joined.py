"""History and live bars as one: each emission once, none between the two left out.

The stream is opened first and says which bar is newest. Then the history is asked for, until it
holds that bar: then it holds all before it. What came meanwhile waits in the connection. Each bar
is let out where its (revision, last_offset) is greater than what was let out of it before.
"""

from collections.abc import Iterable
from datetime import datetime

from app.client.calls import bar_values
from app.client.effects import Emit, Pause, Steps
from app.client.errors import ApiProblem
from app.client.frames import Row, row
from app.client.messages import Message

TRIES, BETWEEN_S = 25, 0.2
"""So long a history that does not have the newest bar yet is waited for."""
LEAST_KEPT = 500
"""Bars whose emissions are remembered."""
_NOT_FOUND = 404
Rank = tuple[int, int]


class Joined:
    """The bars of one series.

    Args:
        series: ``SYMBOL@VENUE``.
        timeframe: Such as ``M1``.
        history: Bars before the live ones.
        provisional: Whether bars are let out before they are final, too.
    """

    def __init__(self, series: str, timeframe: str, history: int, *, provisional: bool) -> None:
        if history < 1:
            raise ValueError(f"history must be at least 1, was {history}")
        self._series, self._timeframe, self._history = series, timeframe, history
        self._provisional = provisional
        self._ranks: dict[datetime, Rank] = {}
        self._lacks_history, self._was_joined = True, False
        self._newest: Row | None = None
        self._tries = TRIES

    def handle(self, message: Message | None) -> Steps[None]:
        """Let out what a message brings, and what it says to be missing."""
        if message is not None and message.type == "status" and not message.connected:
            return
        rows = message.rows if message else []
        if message and (message.type == "snapshot" or message.missed):
            self._lacks_history, self._tries = True, TRIES
            self._newest = message.row or self._newest
        # After so many tries only once a heartbeat, so that live bars are not kept waiting.
        if self._lacks_history and (self._tries or message is None):
            rows = [*(yield from self._fetched()), *rows]
        yield from self._let_out(rows)

    def _fetched(self) -> Steps[list[Row]]:
        """Return the history, and note whether it is whole."""
        while True:
            found = yield from self._asked()
            if self._newest is None or any(_covers(each, self._newest) for each in found):
                self._lacks_history, self._was_joined = False, True
                return found
            self._tries = max(self._tries - 1, 0)
            if not self._tries:
                return found
            yield Pause(BETWEEN_S)

    def _asked(self) -> Steps[list[Row]]:
        since = min(self._ranks, default=None) if self._was_joined else None
        limit = self._history if since is None else None
        try:
            values = yield from bar_values(self._series, self._timeframe, since, None, limit)
        except ApiProblem as problem:
            if problem.status != _NOT_FOUND:
                raise
            return []  # it has no bar yet
        return [row("bar", each) for each in values]

    def _let_out(self, rows: Iterable[Row]) -> Steps[None]:
        newest: dict[datetime, Row] = {}
        for each in rows:
            held = newest.get(each["open_time"])
            if held is None or _rank(held) < _rank(each):
                newest[each["open_time"]] = each
        for open_time, each in sorted(newest.items()):
            known = self._ranks.get(open_time)
            if known is not None and known >= _rank(each):
                continue
            self._remember(open_time, _rank(each))
            if self._provisional or each["is_final"]:
                yield Emit(each)

    def _remember(self, open_time: datetime, rank: Rank) -> None:
        self._ranks[open_time] = rank
        if len(self._ranks) > max(self._history, LEAST_KEPT):
            del self._ranks[min(self._ranks)]


def _rank(bar: Row) -> Rank:
    return bar["revision"], bar["last_offset"]


def _covers(held: Row, newest: Row) -> bool:
    """Return whether a history with this bar has all that was emitted before `newest`."""
    if held["open_time"] == newest["open_time"]:
        return _rank(held) >= _rank(newest)
    return bool(held["open_time"] > newest["open_time"])
