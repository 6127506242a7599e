"""How the text of one environment variable becomes a value: each parser names its rule."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.domain.timeframes import timeframe

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|)")
_WORD = re.compile(r"[A-Za-z0-9._-]*")
_BROKER = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MORE_THAN_ZERO = "must be a duration > 0, such as 500ms, 30s or 6h"


class Broken(ValueError):
    """A value that keeps no rule; the message is the rule, such as ``must be true or false``."""


def duration_s(text: str) -> float:
    """Return seconds: ``500ms``, ``30s``, ``5m``, ``6h``, ``1d``, or a plain number of seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise Broken("must be a duration >= 0, such as 500ms, 30s or 6h")
    # Divided, because 200 x 0.001 is not 0.2.
    return float(match[1]) / 1000 if match[2] == "ms" else float(match[1]) * UNITS_S[match[2]]


def interval_s(text: str) -> float:
    """Return seconds above 0."""
    try:
        seconds = duration_s(text)
    except Broken:
        raise Broken(_MORE_THAN_ZERO) from None
    if seconds <= 0:
        raise Broken(_MORE_THAN_ZERO)
    return seconds


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`, both inclusive."""

    def parse(text: str) -> int:
        digits = text.strip()
        if not (digits.isascii() and digits.isdigit() and low <= int(digits) <= high):
            raise Broken(f"must be a whole number from {low} to {high}")
        return int(digits)

    return parse


def share(text: str) -> float:
    """Return a relative change above 0: ``0.10`` is 10 %."""
    match = re.fullmatch(r"[0-9]*\.?[0-9]+", text.strip())
    if match is None or float(text) <= 0:
        raise Broken("must be a number > 0, such as 0.10 for 10 %")
    return float(text)


def truth(text: str) -> bool:
    """Return whether the text says yes."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.strip().lower() not in known:
        raise Broken("must be true or false")
    return known[text.strip().lower()]


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of `words`, in any case."""

    def parse(text: str) -> str:
        if text.strip().upper() not in words:
            raise Broken(f"must be one of {', '.join(words)}")
        return text.strip().upper()

    return parse


def word(text: str) -> str:
    """Return text that may be part of a Kafka topic's or group's name."""
    if not _WORD.fullmatch(text):
        raise Broken("must be letters, digits, '.', '_' and '-' only")
    return text


def brokers(text: str) -> str:
    """Return ``host:port``, one or several with commas between."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_BROKER.fullmatch(part) for part in parts):
        raise Broken("must be host:port, or several with commas between")
    return ",".join(parts)


def url(*schemes: str) -> Callable[[str], str]:
    """Return a parser of URLs with one of `schemes`."""

    def parse(text: str) -> str:
        scheme, mark, rest = text.strip().partition("://")
        if not mark or not rest or scheme.lower() not in schemes:
            raise Broken(
                f"must be a URL that begins with {' or '.join(f'{s}://' for s in schemes)}"
            )
        return text.strip()

    return parse


def host(text: str) -> str:
    """Return an address or a host's name to listen on."""
    name = text.strip().removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(name):
        raise Broken("must be an address or a host's name, such as 127.0.0.1")
    return name


def is_loopback(name: str) -> bool:
    """Return whether only this machine reaches a host of that name; never asks the resolver."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def origins(text: str) -> tuple[str, ...]:
    """Return web origins as browsers send them: ``https://desk.example.com,http://h:3000``."""
    found = tuple(part.strip().lower() for part in text.split(","))
    if not all(map(_ORIGIN.fullmatch, found)):
        raise Broken(
            "must be origins such as https://desk.example.com with commas between, without a path,"
            " and not *"
        )
    return found


def jwks(text: str) -> str:
    """Return where a JSON Web Key Set is: a file, or a URL that nobody on the way can change."""
    place = text.strip()
    scheme, mark, _ = place.partition("://")
    if not mark:
        return place
    where = urlsplit(place)
    is_safe = scheme.lower() == "https" or (
        scheme.lower() == "http" and is_loopback(where.hostname or "")
    )
    if not where.hostname or not is_safe:
        raise Broken("must be a file, an https:// URL, or http:// on a loopback address")
    return place


def names_of_timeframes(text: str) -> tuple[str, ...]:
    """Return timeframes in the order given: ``M1,M5``."""
    names = tuple(name.strip() for name in text.split(","))
    try:
        widths = {timeframe(name).width_us for name in names}
    except ValueError:
        raise Broken("must be timeframes such as M1,M5,H1") from None
    if len(widths) < len(names):
        raise Broken("must not name one timeframe twice")
    return names


def durations_by_timeframe(text: str) -> Mapping[str, float]:
    """Return seconds by timeframe, with ``""`` for all others: ``30s`` or ``30s,D1=60s``."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, mark, duration = part.strip().rpartition("=")
        if (mark and not name) or name in found:
            raise Broken("must name each timeframe once, such as 30s,D1=60s")
        try:
            if name:
                timeframe(name)
            found[name] = duration_s(duration)
        except Broken:
            raise Broken("must be a duration >= 0, such as 30s or 30s,D1=60s") from None
        except ValueError:
            raise Broken("must be by timeframe, such as 30s,D1=60s") from None
    return found
