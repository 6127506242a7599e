"""What a print counts for, by its sale conditions: open and close, high and low, volume.

Rules are data: one file a table in `condition_tables`, with its sources and its decisions, and a
version for each change of the rules, so that an old replay is judged as its day was. A bar takes
its high and low from `HIGH_LOW` prints, its volume from `VOLUME` prints, its open and close from
`OPEN_CLOSE` prints; `ohlcv` says it in code.

A code that a table lacks forbids nothing: a print is a trade unless a rule says what is wrong with
it. It is not passed over either: `ConditionTable.unknown` names it, for whoever counts.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import IntFlag
from functools import cache, lru_cache, reduce
from importlib.resources import files
from operator import or_
from types import MappingProxyType
from typing import Any, NamedTuple

from app.errors import ConfigError

CACHED = 4096
"""Conditions come off the wire, so what is remembered of them has a bound."""

Given = dict[str, Any]
Faults = list[str]
Flags = tuple[tuple[int, str], ...]


class Uses(IntFlag):
    """What a print may update."""

    NONE = 0
    OPEN_CLOSE = 1
    HIGH_LOW = 2
    VOLUME = 4
    ALL = 7


Rules = dict[str, Uses]
_MASK = re.compile("0x(?=.*[^0])[0-9a-fA-F]{1,16}")
_WORDS = {"open_close": Uses.OPEN_CLOSE, "high_low": Uses.HIGH_LOW, "volume": Uses.VOLUME}


@dataclass(frozen=True, eq=False)
class ConditionTable:
    """The rules of one venue during one period.

    Attributes:
        name: As in `tables`.
        version: Counts from 1.
        valid_from: First trading day it holds for; None for the first version.
        rules: By condition code.
        flags: For a feed that packs conditions into bits: the code of each mask, in the order they
            are looked for. Empty for others.
    """

    name: str
    version: int
    valid_from: date | None
    rules: Mapping[str, Uses]
    flags: Flags = ()
    _known: Callable[[tuple[str, ...]], Uses] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", lru_cache(CACHED)(self._intersection))

    def uses(self, conditions: Sequence[str]) -> Uses:
        """Return what all of a print's `conditions` allow; without any, everything."""
        return self._known(tuple(conditions))

    def unknown(self, conditions: Sequence[str]) -> tuple[str, ...]:
        """Return those of a print's `conditions` that have no rule, in their order."""
        return tuple(code for code in conditions if code not in self.rules)

    def codes(self, flags: int) -> tuple[str, ...]:
        """Return the condition codes that a feed packed into `flags`.

        Bits without a code come last, as one code in hex, which no rule knows.
        """
        found = []
        for mask, code in self.flags:
            if flags & mask == mask:
                found.append(code)
                flags &= ~mask
        return (*found, f"{flags:#x}") if flags else tuple(found)

    def _intersection(self, conditions: tuple[str, ...]) -> Uses:
        allowed = Uses.ALL
        for code in conditions:
            allowed &= self.rules.get(code, Uses.ALL)
        return allowed


class Ohlcv(NamedTuple):
    """A bar's values; a price is None where no print counted for it."""

    open: int | None
    high: int | None
    low: int | None
    close: int | None
    volume: int


def ohlcv(prints: Iterable[tuple[int, int, Uses]]) -> Ohlcv:
    """Return the bar of `prints`: (price, size, uses) in the order they count.

    Not how bars are built, but what every way to build them must give.
    """
    ends: list[int] = []
    extremes: list[int] = []
    volume = 0
    for price, size, uses in prints:
        if uses & Uses.OPEN_CLOSE:
            ends.append(price)
        if uses & Uses.HIGH_LOW:
            extremes.append(price)
        if uses & Uses.VOLUME:
            volume += size
    return Ohlcv(
        ends[0] if ends else None,
        max(extremes, default=None),
        min(extremes, default=None),
        ends[-1] if ends else None,
        volume,
    )


def table(name: str, version: int | None = None) -> ConditionTable:
    """Return a version of a table, the newest if not told which.

    Raises:
        ConfigError: There is none; the message names those there are.
    """
    versions = _versions(name)
    if version is None:
        return versions[-1]
    for found in versions:
        if found.version == version:
            return found
    known = ", ".join(str(found.version) for found in versions)
    raise ConfigError(f"condition table {name} has versions {known}, not {version}")


def table_on(name: str, day: date) -> ConditionTable:
    """Return the version of a table that held on a trading day of its venue.

    Raises:
        ConfigError: There is no such table; the message names those there are.
    """
    held, *later = _versions(name)
    for found in later:
        if found.valid_from is not None and found.valid_from <= day:
            held = found
    return held


def tables(texts: Mapping[str, str]) -> dict[str, tuple[ConditionTable, ...]]:
    """Return the versions of each table, oldest first.

    Args:
        texts: The TOML of each table, by its name.

    Raises:
        ConfigError: A text breaks the format; the message names every fault of all of them.
    """
    faults: Faults = []
    given: dict[str, Given] = {}
    for name, text in texts.items():
        try:
            given[name] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            faults.append(f"condition table {name}: {error}")
    bases = {name: content for name, content in given.items() if "extends" not in content}
    found = {name: _read(name, content, faults) for name, content in bases.items()}
    for name, content in given.items():
        if name not in bases:
            base = content["extends"] if content["extends"] in [*bases] else ""
            found[name] = _extended(name, content, found.get(base), faults)
    if faults:
        raise ConfigError("; ".join(faults))
    return found


@cache
def _shipped() -> dict[str, tuple[ConditionTable, ...]]:
    entries = sorted((files("app.domain") / "condition_tables").iterdir(), key=lambda e: e.name)
    return tables(
        {e.name.removesuffix(".toml"): e.read_text() for e in entries if e.name.endswith(".toml")}
    )


def _versions(name: str) -> tuple[ConditionTable, ...]:
    if found := _shipped().get(name):
        return found
    raise ConfigError(f"condition table must be one of {', '.join(_shipped())}, was {name!r}")


def _read(name: str, content: Given, faults: Faults) -> tuple[ConditionTable, ...]:
    """Return the versions a file holds; each takes over the rules before it, and changes some."""
    place = f"condition table {name}"
    _refuse_others(place, content, {"versions", "flags"}, faults)
    versions = content.get("versions")
    if not (isinstance(versions, list) and versions and all(isinstance(v, dict) for v in versions)):
        faults.append(f"{place}: versions must be an array of tables, was {versions!r}")
        return ()
    found: list[tuple[date | None, Rules]] = []
    before, rules = date.min, Rules()
    for number, version in enumerate(versions, 1):
        at = f"{place}, version {number}"
        _refuse_others(at, version, {"number", "valid_from", "rules"}, faults)
        if version.get("number") != number:
            faults.append(f"{at}: number must be {number}, was {version.get('number')!r}")
        since = version.get("valid_from")
        if number == 1 and since is not None:
            faults.append(f"{at}: valid_from must be left out of the first, was {since!r}")
        elif number > 1 and not (type(since) is date and since > before):
            faults.append(f"{at}: valid_from must be a date after {before}, was {since!r}")
        elif since is not None:
            before = since
        rules = rules | _rules(at, version.get("rules"), faults)
        found.append((since, rules))
    flags = _flags(place, content.get("flags", {}), rules, faults)
    return tuple(
        ConditionTable(name, number, since, MappingProxyType(rules), flags)
        for number, (since, rules) in enumerate(found, 1)
    )


def _extended(
    name: str, content: Given, base: tuple[ConditionTable, ...] | None, faults: Faults
) -> tuple[ConditionTable, ...]:
    """Return the versions of another table, with some rules changed in each."""
    place = f"condition table {name}"
    _refuse_others(place, content, {"extends", "rules"}, faults)
    if base is None:
        faults.append(
            f"{place}: extends must name a table with versions, was {content['extends']!r}"
        )
    changed = _rules(place, content.get("rules"), faults)
    return tuple(
        replace(t, name=name, rules=MappingProxyType({**t.rules, **changed})) for t in base or ()
    )


def _rules(place: str, given: object, faults: Faults) -> Rules:
    if not isinstance(given, dict) or not given:
        faults.append(f"{place}: rules must be a table, was {given!r}")
        return {}
    found: Rules = {}
    for code, rule in given.items():
        at = f"{place}, code {code!r}"
        if not isinstance(rule, dict):
            faults.append(f"{at}: must be a table of name and uses, was {rule!r}")
            continue
        _refuse_others(at, rule, {"name", "uses"}, faults)
        if not isinstance(rule.get("name"), str) or not rule["name"]:
            faults.append(f"{at}: name must be text, was {rule.get('name')!r}")
        words = rule.get("uses")
        if not isinstance(words, list) or not all(word in [*_WORDS] for word in words):
            faults.append(f"{at}: uses must be an array of {', '.join(_WORDS)}, was {words!r}")
            continue
        if "open_close" in words and "high_low" not in words:
            # Or a bar could open above its high.
            faults.append(f"{at}: uses with open_close must have high_low, was {words!r}")
        found[code] = reduce(or_, (_WORDS[word] for word in words), Uses.NONE)
    return found


def _flags(place: str, given: object, rules: Rules, faults: Faults) -> Flags:
    if not isinstance(given, dict):
        faults.append(f"{place}: flags must be a table, was {given!r}")
        return ()
    for mask, code in given.items():
        if not _MASK.fullmatch(mask):
            faults.append(f"{place}: a flag must be a mask in hex above 0, was {mask!r}")
        if code not in [*rules]:
            faults.append(f"{place}, flag {mask}: must be a code with a rule, was {code!r}")
    return tuple((int(mask, 16), code) for mask, code in given.items() if _MASK.fullmatch(mask))


def _refuse_others(place: str, given: Given, allowed: set[str], faults: Faults) -> None:
    faults += [f"{place}: {key!r} is not known" for key in given if key not in allowed]
