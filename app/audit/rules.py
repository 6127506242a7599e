"""The catalog's files, read as data: what each series follows."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from app.errors import ConfigError

DOMAIN = Path(__file__).parents[1] / "domain"
OPEN_CLOSE, HIGH_LOW, VOLUME = 1, 2, 4
EVERYTHING = OPEN_CLOSE | HIGH_LOW | VOLUME
WORDS = {"open_close": OPEN_CLOSE, "high_low": HIGH_LOW, "volume": VOLUME}
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class SeriesRules:
    """What one (venue, symbol) follows; see the comments of catalog.toml."""

    session: str = "24x7"
    conditions: str = ""
    anchored: bool = False
    empty: str = "omit"
    clock: str = "event"
    grace_s: Mapping[str, float] = field(default_factory=dict)
    quotes: Sequence[str] = ()
    members: Sequence[str] = ()


class Rules:
    """The rules of all series.

    Args:
        path: The catalog's file; None for the one that ships.

    Raises:
        ConfigError: It cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = path or DOMAIN / "catalog.toml"
        try:
            given = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"catalog {path} must be readable TOML ({error})") from None
        self._venues: Mapping[str, Any] = given.get("venues", {})
        self._instruments: Sequence[Any] = given.get("instruments", [])
        self._series: Sequence[Any] = given.get("series", [])
        self._composites = list(dict.fromkeys(e["venue"] for e in self._series if e.get("of")))

    def of(self, venue: str, symbol: str) -> SeriesRules:
        """Return what a series follows."""
        at = self._venues.get(venue, {})
        instrument = _deciding(self._instruments, venue, symbol)
        entry = _deciding(self._series, venue, symbol)
        conditions = at.get("conditions", "none")
        return SeriesRules(
            session=instrument.get("session") or at.get("session", "24x7"),
            conditions="" if conditions == "none" else conditions,
            anchored=entry.get("anchored", False),
            empty=entry.get("empty", "omit"),
            clock=entry.get("clock", "event"),
            grace_s=_grace_s(entry.get("grace", {})),
            quotes=tuple(entry.get("quotes", ())),
            members=tuple(entry.get("of", ())),
        )

    def composites(self, venue: str, symbol: str) -> list[str]:
        """Return the composite venues of which the trades of a series are a part, too."""
        return [name for name in self._composites if venue in self.of(name, symbol).members]


def _deciding(entries: Sequence[Any], venue: str, symbol: str) -> Mapping[str, Any]:
    """Names before globs, then the first."""
    fitting = [
        (sum("*" in e[part] or "?" in e[part] for part in ("venue", "symbol")), n, e)
        for n, e in enumerate(entries)
        if fnmatchcase(venue, e["venue"]) and fnmatchcase(symbol, e["symbol"])
    ]
    return min(fitting, key=lambda each: each[:2])[2] if fitting else {}


def _grace_s(given: Any) -> dict[str, float]:
    if isinstance(given, str):
        return {"": _seconds(given)}
    return {name: _seconds(text) for name, text in given.items()}


def _seconds(text: str) -> float:
    digits = text.rstrip("mshd")
    return float(digits) * UNITS_S[text.removeprefix(digits)]


def uses(table: str, day: date, codes: Sequence[str], *, is_outside: bool) -> int:
    """Return what a print with these condition codes counts for on a UTC day.

    Args:
        table: The venue's table of sale conditions.
        day: Of the print.
        codes: Its conditions.
        is_outside: Whether it was made outside the session.
    """
    extended = f"{table}_extended"
    name = extended if is_outside and table == "us_equities" else table
    held: Mapping[str, int] = {}
    for since, rules in _versions(name):
        if since is None or since <= day:
            held = rules
    allowed = EVERYTHING
    for code in codes:
        allowed &= held.get(code, EVERYTHING)
    return allowed


@cache
def _versions(name: str) -> Sequence[tuple[date | None, Mapping[str, int]]]:
    """Return the versions of a table, oldest first: each takes over the rules before it."""
    path = DOMAIN / "condition_tables" / f"{name}.toml"
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"condition table {name} must be readable TOML ({error})") from None
    if "extends" in given:
        changed = _bits(given["rules"])
        return [(since, {**rules, **changed}) for since, rules in _versions(given["extends"])]
    found: list[tuple[date | None, Mapping[str, int]]] = []
    rules: dict[str, int] = {}
    for version in given["versions"]:
        rules = {**rules, **_bits(version["rules"])}
        found.append((version.get("valid_from"), rules))
    return found


def _bits(rules: Mapping[str, Any]) -> dict[str, int]:
    return {code: sum(WORDS[word] for word in rule["uses"]) for code, rule in rules.items()}
