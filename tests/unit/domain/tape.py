"""One series, fed a trade at a time in the order of its log, as the bar builder feeds it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.bars import Bar, Rank
from app.domain.empties import Empties
from app.domain.holes import Hole
from app.domain.series import Emission, Series
from app.domain.sessions import ALWAYS, Profile
from app.domain.timeframes import Ladder, ladder
from tests.unit.domain.ticks import us

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rungs(
    *names: str,
    grace_s: int = 30,
    revise_for_s: int = 3600,
    profile: Profile = ALWAYS,
    anchored: bool = False,
) -> Ladder:
    """Return a ladder with one grace for all."""
    grace_us = dict.fromkeys(names, grace_s * SECOND_US)
    return ladder(names, grace_us, revise_for_s * SECOND_US, profile, anchored=anchored)


def part(at_us: int, price: int = 100, size: int = 1, offset: int = 0) -> Bar:
    """Return the partial M1 of one trade."""
    rank: Rank = (at_us, offset, "", price, size)
    open_us = at_us - at_us % MINUTE_US
    values = (price, price, price, price, size, price * size, 1)
    return Bar(open_us, rank, rank, *values, offset, offset)


def clock(at_us: int) -> str:
    """Return a time as HH:MM, with the day when it is another than the test day, the fourth."""
    at = EPOCH + timedelta(microseconds=at_us)
    return f"{at:%H:%M}" if at.day == 4 else f"{at.day}. {at:%H:%M}"


class Tape:
    """A series of M1 and more; times are clocks of the test day, or µs since the epoch."""

    def __init__(self, ladder: Ladder, empties: Empties = Empties.OMIT) -> None:
        self.series = Series(ladder, empties)
        self.names = [rung.timeframe.name for rung in ladder.rungs]
        self.offset = -1

    def trade(
        self,
        at: str | int,
        price: int = 100,
        *,
        appended: str | int | None = None,
        reason: str = "late",
        repairs: Iterable[Hole] = (),
    ) -> bool:
        """Feed one trade; return whether it was used."""
        self.offset += 1
        at_us = _us(at)
        bar = part(at_us, price, offset=self.offset)
        base = self.series.ladder.base
        before_us = self.series.stream_us
        appended_us = at_us if appended is None else _us(appended)
        if bar.open_us + base.timeframe.width_us + base.grace_us <= before_us:
            used = self.series.revise(bar, before_us, reason, repairs)
            self.series.advance(before_us, appended_us)
            return used
        self.series.fold(bar)
        self.series.advance(at_us, appended_us)
        return True

    def told(self, *fields: str, frame: str | None = None) -> list[tuple[Any, ...]]:
        """Return timeframe, open time and some fields of what was emitted since the last call."""
        return [
            (self.names[e.rung], clock(e.bar.open_us), *(_value(e, name) for name in fields))
            for e in self.series.emissions()
            if frame is None or self.names[e.rung] == frame
        ]

    def revisions(self, frame: str | None = None) -> list[tuple[Any, ...]]:
        """Return the same of finals and revisions: revision, reason and close."""
        found = self.told("revision", "reason", "close", frame=frame)
        return [row for row in found if row[2]]


def prices(row: Bar) -> tuple[int | None, ...]:
    """Return open, high, low and close."""
    return row.open, row.high, row.low, row.close


def _us(at: str | int) -> int:
    return us(at) if isinstance(at, str) else at


def _value(emission: Emission, name: str) -> Any:
    if name in Emission._fields:
        value = getattr(emission, name)
        return clock(value) if name == "close_us" else value
    if name == "prices":
        return prices(emission.bar)
    return getattr(emission.bar, name)
