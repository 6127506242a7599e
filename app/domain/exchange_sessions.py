"""When exchanges trade, by exchange-calendars: half days, lunch breaks, holidays, daylight saving.

The schedule runs from 1990 to 2049, or as far as the calendar knows, whatever the day it is read
on: a replay cuts the same bars years later. Another version of exchange-calendars or of the time
zone data may know a holiday better; `requirements.lock` holds the first.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from app.domain.sessions import ALWAYS, EPOCH, FX_WEEK, Profile, Span, Stretch

FIRST_DAY = "1990-01-01"
LAST_DAY = "2049-12-31"
_CODES = (
    "AIXK ASEX BVMF CMES IEPA XAMS XASX XBDA XBEL XBKK XBOG XBOM XBRA XBRU XBSE XBUD XBUE "
    "XCBF XCSE XCYS XDUB XDUS XEEE XETR XEUR XFRA XHAM XHEL XHKG XICE XIDX XIST XJSE XKAR "
    "XKLS XKRX XLIM XLIS XLIT XLJU XLON XLUX XMAD XMEX XMIL XMOS XNYS XNZE XOSL XPAR XPHS "
    "XPRA XRIS XSAU XSES XSGO XSHG XSTO XSTU XSWX XTAE XTAI XTAL XTKS XTSE XWAR XWBO XZAG"
)
EXCHANGES = frozenset(_CODES.split())
"""What exchange-calendars knows, by market identifier code (ISO 10383, or its own for AIXK, ASEX,
BVMF, CMES, IEPA). Listed here because asking it costs 60 MB and a third of a second."""


class BeyondSchedule(ValueError):
    """A time before the first or after the last session that a schedule knows."""


@dataclass(frozen=True, slots=True)
class Exchange(Profile):
    """The sessions of one of `EXCHANGES`; its schedule is read at the first question.

    They are as exchange-calendars draws them: no pre-market, auction or post-market belongs to a
    session, and CMES is Globex from 17:00 to 17:00 Chicago without its maintenance hour, closed
    at noon on the holidays on which most of its products close.
    """

    name: str

    @property
    def grain_us(self) -> int:
        """Half an hour for most, 1 minute at the least."""
        return schedule(self.name).grain_us

    def session(self, at_us: int) -> Span | None:
        """Return the session that holds `at_us`."""
        return schedule(self.name).session(at_us)

    def stretch(self, at_us: int) -> Stretch:
        """Return the segment, or the night, weekend, holiday or lunch break."""
        return schedule(self.name).stretch(at_us)


def profile(name: str) -> Profile:
    """Return the profile called `name`, without reading its schedule yet.

    Raises:
        ValueError: There is none of that name.
    """
    for known in (ALWAYS, FX_WEEK):
        if name == known.name:
            return known
    if name not in EXCHANGES:
        raise ValueError(
            f"session profile must be {ALWAYS.name}, {FX_WEEK.name}, or an exchange's code in "
            f"exchange-calendars ({' '.join(sorted(EXCHANGES))}), was {name!r}"
        )
    return Exchange(name)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The sessions of one exchange, in order.

    Attributes:
        code: The exchange.
        opens: Where each session begins, µs; `sessions` has both its bounds, lunch included.
        begins: Where each of `stretches` begins, µs: they are the segments and the closed times
            between them, from the first open to the last close, without a hole.
        grain_us: The widest interval that divides every bound.
    """

    code: str
    opens: tuple[int, ...]
    sessions: tuple[Span, ...]
    begins: tuple[int, ...]
    stretches: tuple[Stretch, ...]
    grain_us: int

    def session(self, at_us: int) -> Span | None:
        """Return the session that holds `at_us`."""
        n = bisect_right(self.opens, at_us) - 1
        if n < 0 or at_us >= self.sessions[-1].close_us:
            raise self._beyond(at_us)
        span = self.sessions[n]
        return span if at_us < span.close_us else None

    def stretch(self, at_us: int) -> Stretch:
        """Return the segment, or the closed time, that holds `at_us`."""
        n = bisect_right(self.begins, at_us) - 1
        if n < 0 or at_us >= self.sessions[-1].close_us:
            raise self._beyond(at_us)
        return self.stretches[n]

    def _beyond(self, at_us: int) -> BeyondSchedule:
        first, last = self.opens[0], self.sessions[-1].close_us
        return BeyondSchedule(
            f"session profile {self.code} must be asked for a time from {_text(first)} to before "
            f"{_text(last)}, as far as exchange-calendars knows, was {_text(at_us)}"
        )


@cache
def schedule(code: str) -> Schedule:
    """Return the sessions of an exchange; the first call takes up to 3 s and 100 MB.

    Raises:
        KeyError: `code` is none of `EXCHANGES`.
    """
    if code not in EXCHANGES:
        raise KeyError(code)
    import exchange_calendars  # noqa: PLC0415 - 60 MB and 0.3 s, for exchanges alone

    calendar_of = type(exchange_calendars.get_calendar(code))
    earliest, latest = calendar_of.bound_min(), calendar_of.bound_max()
    calendar: Any = calendar_of(
        start=FIRST_DAY if earliest is None else max(FIRST_DAY, str(earliest.date())),
        end=LAST_DAY if latest is None else min(LAST_DAY, str(latest.date())),
    )
    opens, breaks, resumes, closes = (
        _microseconds(calendar.schedule[column])
        for column in ("open", "break_start", "break_end", "close")
    )
    has_break = breaks >= 0
    bounds = np.sort(np.concatenate([opens, breaks[has_break], resumes[has_break], closes]))
    # Segments and closed times alternate; the one between segments that touch holds no instant.
    stretches = tuple(
        Stretch(Span(begin_us, end_us), is_open=n % 2 == 0)
        for n, (begin_us, end_us) in enumerate(pairwise(bounds.tolist()))
    )
    return Schedule(
        code,
        tuple(opens.tolist()),
        tuple(Span(*bounds) for bounds in zip(opens.tolist(), closes.tolist(), strict=True)),
        tuple(stretch.span.open_us for stretch in stretches),
        stretches,
        int(np.gcd.reduce(bounds)),
    )


def _microseconds(times: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return a column of pandas times as µs since the epoch, -1 where there is none."""
    micros = times.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(micros), -1, micros.astype(np.int64))


def _text(at_us: int) -> str:
    return (EPOCH + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
