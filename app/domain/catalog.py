"""The reviewed configuration of venues, instruments and series: which rules each series follows.

    rules = catalog.rules("KRAKEN", "BTC/USD")
    rules.profile, rules.empty, rules.clock

It comes from one file (`app.domain.catalog_file`), in three parts. Of `instruments` and of
`series`, one entry decides for a (venue, symbol), and what it leaves out is the default, never
another entry's word. Among those that match it is

    1. one that names both venue and symbol
    2. one that names one of them, and has a glob for the other
    3. one that has globs for both

and of several alike the first in the file. A glob is ``*`` (any text, ``/`` included) or ``?``
(one character) in a name. A session that the instrument does not set is its venue's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from app.domain import symbols
from app.domain.sessions import ALWAYS, Profile

Empty = Literal["omit", "carry", "null"]
Clock = Literal["event", "ingest"]
Quote = Literal["bid", "ask", "mid"]
CACHED = 100_000
"""Series whose rules are remembered: symbols come off the wire, so there is a bound."""


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """What one (venue, symbol) follows.

    Attributes:
        profile: When it trades.
        anchored: Whether bars shorter than 4 h restart with each segment of a session.
        empty: What is made of an interval of a session without a trade (S8).
        grace_s: Seconds by timeframe, ``""`` for all others; what is not there is as the settings
            say.
        conditions: The table of `app.domain.conditions` that judges its prints; "" for none.
        clock: Which time of a tick is its time (S2).
        tick_size: The least step of its price; None if not known.
        contiguous: Whether its venue numbers the trades of a symbol without holes.
        ticks: Tick bars beside the time bars: trades a bar (S17).
        volumes: Volume bars; written plainly (``f"{volume:f}"``) each is a shortest decimal.
        values: Value bars: price x size a bar, likewise.
        quotes: Of what there are quote bars (S16).
        composite_of: The venues whose trades of this symbol make the series; empty for a venue of
            its own. Their prints are judged by their own venue's conditions.
    """

    profile: Profile = ALWAYS
    anchored: bool = False
    empty: Empty = "omit"
    grace_s: Mapping[str, float] = field(default_factory=_none, hash=False)
    conditions: str = ""
    clock: Clock = "event"
    tick_size: Decimal | None = None
    contiguous: bool = False
    ticks: tuple[int, ...] = ()
    volumes: tuple[Decimal, ...] = ()
    values: tuple[Decimal, ...] = ()
    quotes: tuple[Quote, ...] = ()
    composite_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Venue:
    """What holds for all that one venue trades.

    Attributes:
        symbols: Canonical names by what the venue writes, beyond `app.domain.symbols`.
    """

    contiguous: bool = False
    conditions: str = ""
    profile: Profile = ALWAYS
    symbols: Mapping[str, str] = field(default_factory=_none, hash=False)


@dataclass(frozen=True, slots=True)
class Instrument:
    """What holds for the instruments that `venue` and `symbol` match; `profile` if not None."""

    venue: str
    symbol: str
    tick_size: Decimal | None = None
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class SeriesEntry:
    """What holds for the series that `venue` and `symbol` match; see `SeriesRules`."""

    venue: str
    symbol: str
    anchored: bool = False
    empty: Empty = "omit"
    grace_s: Mapping[str, float] = field(default_factory=_none, hash=False)
    clock: Clock = "event"
    ticks: tuple[int, ...] = ()
    volumes: tuple[Decimal, ...] = ()
    values: tuple[Decimal, ...] = ()
    quotes: tuple[Quote, ...] = ()
    composite_of: tuple[str, ...] = ()


class Entry(Protocol):
    """What has a venue and a symbol, each a name or a glob."""

    @property
    def venue(self) -> str:
        """The venue's."""

    @property
    def symbol(self) -> str:
        """The canonical symbol's."""


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, eq=False)
class Catalog:
    """The file's content, valid as a whole; made by `load_catalog`.

    Attributes:
        venues: By name; one that is not there has all defaults.
        instruments: In the order of the file; `series` likewise.
    """

    venues: Mapping[str, Venue]
    instruments: Sequence[Instrument]
    series: Sequence[SeriesEntry]
    _rules: Callable[[str, str], SeriesRules] = field(init=False, repr=False)
    _names: Callable[[str, str], str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_rules", lru_cache(CACHED)(self._combined))
        object.__setattr__(self, "_names", lru_cache(CACHED)(self._named))

    @property
    def contiguous_venues(self) -> frozenset[str]:
        """Venues that number the trades of a symbol without holes."""
        return frozenset(name for name, venue in self.venues.items() if venue.contiguous)

    def rules(self, venue: str, symbol: str) -> SeriesRules:
        """Return what the series of a canonical `symbol` follows."""
        return self._rules(venue, symbol)

    def composites(self, venue: str, symbol: str) -> tuple[str, ...]:
        """Return the composite venues that the trades of (venue, symbol) are also part of."""
        names = dict.fromkeys(entry.venue for entry in self.series if entry.composite_of)
        return tuple(name for name in names if venue in self.rules(name, symbol).composite_of)

    def canonical(self, venue: str, symbol: str) -> str:
        """Return the canonical name of what `venue` calls `symbol`; a canonical name is its own.

        A name in the venue's own list is what the list says; of all others, `symbols.canonical`
        decides.
        """
        return self._names(venue, symbol)

    def _combined(self, venue: str, symbol: str) -> SeriesRules:
        at = self.venues.get(venue, Venue())
        instrument = decisive(self.instruments, venue, symbol) or Instrument(venue, symbol)
        series = decisive(self.series, venue, symbol) or SeriesEntry(venue, symbol)
        return SeriesRules(
            profile=instrument.profile or at.profile,
            anchored=series.anchored,
            empty=series.empty,
            grace_s=series.grace_s,
            conditions=at.conditions,
            clock=series.clock,
            tick_size=instrument.tick_size,
            contiguous=at.contiguous,
            ticks=series.ticks,
            volumes=series.volumes,
            values=series.values,
            quotes=series.quotes,
            composite_of=series.composite_of,
        )

    def _named(self, venue: str, symbol: str) -> str:
        listed = self.venues[venue].symbols if venue in self.venues else {}
        if symbol in listed:
            return listed[symbol]
        # A name that the list gives is canonical, or it would be renamed again when it comes back.
        if symbol in listed.values():
            return symbol
        name = symbols.canonical(symbol, venue)
        return listed.get(name, name)


def decisive(entries: Sequence[E], venue: str, symbol: str) -> E | None:
    """Return the entry that decides for (venue, symbol), None if none matches."""
    matching = (e for e in entries if matches(e.venue, venue) and matches(e.symbol, symbol))
    return min(matching, key=lambda e: is_glob(e.venue) + is_glob(e.symbol), default=None)


def is_glob(text: str) -> bool:
    """Return whether it stands for several names."""
    return "*" in text or "?" in text


def matches(glob: str, name: str) -> bool:
    """Return whether a name, or a glob, stands for `name`."""
    return fnmatchcase(name, glob)
