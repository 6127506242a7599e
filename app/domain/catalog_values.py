"""How a value of the catalog's file becomes one of ours: each parser names its rule.

A parser takes what TOML gave and raises ValueError with the rule, ``must be true or false``.
"""

import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from app.domain import conditions
from app.domain.exchange_sessions import EXCHANGES, profile
from app.domain.refuse import SYMBOL, VENUE
from app.domain.sessions import Profile
from app.domain.timeframes import timeframe
from app.errors import ConfigError

MAX_DIGITS, MAX_DECIMALS = 14, 12
"""Of a decimal: what `app.domain.activity` takes as a threshold."""
T = TypeVar("T")

_VENUE_GLOB = re.compile(r"[A-Z0-9_*?]{1,32}")
_SYMBOL_GLOB = re.compile(r"[A-Z0-9._/*?-]{1,32}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")


def truth(value: object) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")  # noqa: TRY004 - one kind of error for a rule
    return value


def one_of(words: Collection[T]) -> Callable[[object], T]:
    """Return a parser that takes one of `words`."""

    def parse(value: object) -> T:
        for word in words:
            if value == word:
                return word
        raise ValueError(f"must be one of {', '.join(map(str, words))}")

    return parse


def session(value: object) -> Profile:
    """Return a session profile by its name."""
    try:
        return profile(str(value))
    except ValueError:
        raise ValueError(
            "must be 24x7, 24x5, or an exchange's code in exchange-calendars "
            f"({' '.join(sorted(EXCHANGES))})"
        ) from None


def condition_table(value: object) -> str:
    """Return the name of a table of sale conditions, "" for none."""
    if value == "none":
        return ""
    try:
        return conditions.table(str(value)).name
    except ConfigError as error:
        raise ValueError(f"must be none or the name of a table ({error})") from None


def decimal(value: object) -> Decimal:
    """Return a number above 0, without needless zeros."""
    match = _DECIMAL.fullmatch(str(value)) if type(value) in {str, int} else None
    if match is not None:
        whole, decimals = match[1].lstrip("0"), (match[2] or "").rstrip("0")
        fits = len(whole) <= MAX_DIGITS and len(decimals) <= MAX_DECIMALS
        if fits and (whole or decimals):
            return Decimal(f"{whole or 0}.{decimals}" if decimals else whole)
    raise ValueError(
        'must be a decimal > 0 in quotes, such as "0.01", of at most '
        f"{MAX_DIGITS} whole digits and {MAX_DECIMALS} decimals"
    )


def whole(value: object) -> int:
    """Return a whole number above 0."""
    if type(value) is not int or not 0 < value < 10**MAX_DIGITS:
        raise ValueError(f"must be whole numbers > 0, of at most {MAX_DIGITS} digits")
    return value


def several(parse: Callable[[object], T]) -> Callable[[object], tuple[T, ...]]:
    """Return a parser of arrays without repeats; `parse` takes each value."""

    def parse_all(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ValueError("must be an array")  # noqa: TRY004
        found = tuple(map(parse, value))
        if len(set(found)) < len(found):
            raise ValueError("must name each once")
        return found

    return parse_all


def grace_s(value: object) -> dict[str, float]:
    """Return seconds by timeframe, with ``""`` for all others."""
    if isinstance(value, str):
        return {"": _seconds(value)}
    if not isinstance(value, dict):
        raise ValueError(_GRACE)  # noqa: TRY004
    try:
        return {timeframe(name).name: _seconds(text) for name, text in value.items()}
    except ValueError:
        raise ValueError(_GRACE) from None


_GRACE = 'must be a duration, such as "30s", or one by timeframe, such as { M1 = "5s" }'


def _seconds(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_GRACE)
    return float(Decimal(match[1]) * _MS[match[2]] / 1000)


def venue_glob(value: object) -> str:
    """Return a venue, or a glob of venues."""
    if not isinstance(value, str) or not _VENUE_GLOB.fullmatch(value):
        raise ValueError(f"must be a venue ({VENUE}), with * and ? for any text and character")
    return value


def symbol_glob(value: object) -> str:
    """Return a canonical symbol, or a glob of them."""
    if not isinstance(value, str) or not _SYMBOL_GLOB.fullmatch(value):
        raise ValueError(f"must be a symbol ({SYMBOL}), with * and ? for any text and character")
    return value


def venues_together(value: object) -> tuple[str, ...]:
    """Return the venues that a composite is made of."""
    found = several(venue_glob)(value)
    if len(found) < 2 or any("*" in name or "?" in name for name in found):  # noqa: PLR2004
        raise ValueError("must be two venues or more, without globs")
    return found


def symbols(value: object) -> dict[str, str]:
    """Return canonical symbols by what a venue writes."""
    if not isinstance(value, dict):
        raise ValueError("must be a table of our names by the venue's")  # noqa: TRY004
    for name in value.values():
        if not isinstance(name, str) or not re.fullmatch(SYMBOL, name):
            raise ValueError(f"must give names of the contract, {SYMBOL}")
        if name in value:
            raise ValueError(f"must not rename {name}, which it also gives")
    return value


def tables_by_name(value: object) -> dict[str, Mapping[str, Any]]:
    """Return the content of [venues.NAME] by name."""
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError("must be tables [venues.NAME]")
    return value


def tables(heading: str) -> Callable[[object], list[Mapping[str, Any]]]:
    """Return a parser of arrays of tables."""

    def parse(value: object) -> list[Mapping[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise ValueError(f"must be tables {heading}")
        return value

    return parse
