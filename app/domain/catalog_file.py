"""The catalog's file: TOML, as `catalog.toml` describes it, valid as a whole or refused.

catalog = load_catalog(None)  # the one that ships
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_args

from app.domain import catalog_values as values
from app.domain.catalog import (
    Catalog,
    Clock,
    Empty,
    Instrument,
    Quote,
    SeriesEntry,
    Venue,
    is_glob,
    matches,
)
from app.domain.refuse import VENUE
from app.domain.sessions import ALWAYS
from app.errors import ConfigError

SHIPPED = "catalog.toml"
T = TypeVar("T")
D = TypeVar("D")


def load_catalog(path: Path | None) -> Catalog:
    """Return the catalog of a file, or the one that ships.

    Raises:
        ConfigError: With a line for each fault: place, key, rule and value.
    """
    if path is None:
        return parse(SHIPPED, files("app.domain").joinpath(SHIPPED).read_text("utf-8"))
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"catalog {path} must be a readable file ({error})") from None
    return parse(str(path), text)


def parse(name: str, text: str) -> Catalog:
    """Return the catalog that `text` holds; `name` is for the faults.

    Raises:
        ConfigError: With a line for each fault: place, key, rule and value.
    """
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"catalog {name} must be TOML ({error})") from None
    faults: list[str] = []
    top = _Section("", given, faults)
    venues = {
        venue: _venue(venue, _Section(f"venue {venue}: ", content, faults))
        for venue, content in top.take("venues", values.tables_by_name, {}).items()
    }
    instruments = _entries(top, "instruments", _instrument, faults)
    series = _entries(top, "series", _series, faults)
    top.end()
    faults += [
        *_strangers(venues, instruments, series),
        *_repeats(instruments, series),
        *_composite_faults(venues, series),
    ]
    if faults:
        raise ConfigError("\n".join(f"catalog {name}, {fault}" for fault in faults))
    return Catalog(MappingProxyType(venues), tuple(instruments.values()), tuple(series.values()))


class _Section:
    """One table of the file: keys are taken from it one by one, and what is left is a fault."""

    def __init__(self, place: str, given: Mapping[str, object], faults: list[str]) -> None:
        self._place, self._given, self._faults = place, given, faults
        self._known: list[str] = []

    def take(self, key: str, parse: Callable[[object], T], default: D) -> T | D:
        """Return the key's value; the default where it is not there, or is a fault."""
        self._known.append(key)
        if key not in self._given:
            return default
        return self._checked(key, parse, default)

    def require(self, key: str, parse: Callable[[object], T], default: D) -> T | D:
        """Return the key's value; the default where it is a fault, as it is to be left out."""
        self._known.append(key)
        return self._checked(key, parse, default)

    def must(self, key: str, rule: str, *, holds: bool) -> None:
        """Name a rule that does not hold."""
        if not holds:
            self._faults.append(f"{self._place}{key} must {rule}")

    def end(self) -> None:
        """Name the keys that nobody took."""
        for key in self._given:
            if key not in self._known:
                close = difflib.get_close_matches(key, self._known, 1)
                hint = f"; is it {close[0]}?" if close else ""
                self._faults.append(f"{self._place}{key} is no key of the catalog{hint}")

    def _checked(self, key: str, parse: Callable[[object], T], default: D) -> T | D:
        value = self._given.get(key)
        try:
            return parse(value)
        except ValueError as rule:
            was = f", was {value!r}" if key in self._given else ""
            self._faults.append(f"{self._place}{key} {rule}{was}")
            return default


Entries = dict[str, T]
"""By their place in the file, such as ``series 2``."""


def _entries(
    top: _Section, key: str, read: Callable[[_Section], T], faults: list[str]
) -> Entries[T]:
    given = top.take(key, values.tables(f"[[{key}]]"), [])
    places = {f"{key} {n}": content for n, content in enumerate(given, 1)}
    return {
        place: read(_Section(f"{place}: ", content, faults)) for place, content in places.items()
    }


def _venue(name: str, given: _Section) -> Venue:
    given.must("name", f"be {VENUE}", holds=re.fullmatch(VENUE, name) is not None)
    venue = Venue(
        contiguous=given.take("contiguous_ids", values.truth, default=False),
        conditions=given.take("conditions", values.condition_table, ""),
        profile=given.take("session", values.session, ALWAYS),
        symbols=MappingProxyType(given.take("symbols", values.symbols, {})),
    )
    given.end()
    return venue


def _instrument(given: _Section) -> Instrument:
    instrument = Instrument(
        venue=given.require("venue", values.venue_glob, ""),
        symbol=given.require("symbol", values.symbol_glob, ""),
        tick_size=given.take("tick_size", values.decimal, None),
        profile=given.take("session", values.session, None),
    )
    given.end()
    return instrument


def _series(given: _Section) -> SeriesEntry:
    series = SeriesEntry(
        venue=given.require("venue", values.venue_glob, ""),
        symbol=given.require("symbol", values.symbol_glob, ""),
        anchored=given.take("anchored", values.truth, default=False),
        empty=given.take("empty", values.one_of(get_args(Empty)), "omit"),
        grace_s=MappingProxyType(given.take("grace", values.grace_s, {})),
        clock=given.take("clock", values.one_of(get_args(Clock)), "event"),
        ticks=given.take("ticks", values.several(values.whole), ()),
        volumes=given.take("volumes", values.several(values.decimal), ()),
        values=given.take("values", values.several(values.decimal), ()),
        quotes=given.take("quotes", values.several(values.one_of(get_args(Quote))), ()),
        composite_of=given.take("of", values.venues_together, ()),
    )
    given.end()
    return series


def _strangers(
    venues: Mapping[str, Venue], instruments: Entries[Instrument], series: Entries[SeriesEntry]
) -> Iterator[str]:
    """Yield what names a venue that is not there: a slip of the pen would else do nothing."""
    composites = {entry.venue for entry in series.values() if entry.composite_of}
    entries: Entries[Instrument | SeriesEntry] = {**instruments, **series}
    for place, entry in entries.items():
        known = any(matches(entry.venue, venue) for venue in (*venues, *composites))
        if not known and entry.venue not in {"", "*"}:
            yield f"{place}: venue must be in [venues], {_was(entry.venue, venues)}"
    for place, composite in series.items():
        for venue in composite.composite_of:
            if venue not in venues:
                yield f"{place}: of must be venues in [venues], {_was(venue, venues)}"


def _was(venue: str, venues: Mapping[str, Venue]) -> str:
    close = difflib.get_close_matches(venue, venues, 1)
    return f"was {venue!r}" + (f"; is it {close[0]}?" if close else "")


def _repeats(*lists: Mapping[str, Instrument | SeriesEntry]) -> Iterator[str]:
    for entries in lists:
        for (place, entry), (later, other) in combinations(entries.items(), 2):
            if entry.venue and (entry.venue, entry.symbol) == (other.venue, other.symbol):
                yield f"{later}: venue and symbol must not be those of {place}, which decides"


def _composite_faults(venues: Mapping[str, Venue], series: Entries[SeriesEntry]) -> Iterator[str]:
    """Yield what breaks a rule of composites: each a name of its own, and made of real venues."""
    composites = {entry.venue for entry in series.values() if entry.composite_of}
    for place, entry in series.items():
        if entry.composite_of and is_glob(entry.venue):
            yield f"{place}: venue must be one name, as it has of, was {entry.venue!r}"
        elif entry.composite_of and entry.venue in venues:
            yield f"{place}: venue must not be in [venues], as it has of, was {entry.venue!r}"
        elif entry.venue in composites and not entry.composite_of:
            yield f"{place}: of must be there, as another entry of {entry.venue} has it"
        elif entry.composite_of and entry.clock != "event":
            yield f"{place}: clock must be that of its venues, as it has of, was {entry.clock!r}"
