"""One row of JSON or CSV, with the contract's field names, as a record of tick.avsc.

What normalization would refuse is refused here, before anything is sent, and so is what no
record could hold: a value with more digits than the contract's is never rounded.
"""

import json
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from app.domain.refuse import LARGEST, SYMBOL, VENUE
from app.domain.symbols import canonical
from app.domain.times import Instant, Unit, instant
from app.errors import InvalidTick

SCALE, PRECISION = 12, 38
NUMBERS = ("price", "size", "bid", "ask", "bid_size", "ask_size")
PARTS = ("price", "size", "bid", "ask")
ACTIONS = ("NEW", "CORRECT", "CANCEL")
NORMALIZATIONS = ("quality", "raw_offset")
"""Fields that normalization writes; a producer may send what it writes there anyway."""
FIELDS = (
    "venue", "symbol", "event_time", "ingest_time", "sequence", "trade_id", *NUMBERS,
    "action", "conditions", "source", "sector", *NORMALIZATIONS,
)  # fmt: skip
TIME_UNITS: Mapping[str, Unit] = {}
"""Venues whose numeric times are in one unit whatever their magnitude says.

None yet: between 1990 and 2100 magnitude is enough, even for BINANCE, which went from ms to µs.
"""
_FINEST = Decimal(1).scaleb(-SCALE)
_WIDE = Context(prec=2 * PRECISION)
LONGEST = 80
"""Characters of a refused value that are shown."""
INT64 = 1 << 63
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def tick(row: Mapping[str, object], *, venue: str | None = None, now_us: int) -> dict[str, Any]:
    """Return the record of one tick.

    Args:
        row: Values by the contract's field names. Decimals as text, `Decimal`, whole numbers, or
            floats by their shortest form; times as `app.domain.times` takes them; empty text is
            null, as CSV has no other.
        venue: The venue where the row names none.
        now_us: When we first saw it, for a row without ingest_time; µs since the epoch.

    Returns:
        Every field of tick.avsc; times are aware datetimes, `sequence` what the venue's time has
        beyond the microsecond where the row has none.

    Raises:
        InvalidTick: The row breaks a rule; the message names the thing, the rule and the value.
    """
    given = {name: value for name, value in row.items() if value is not None and value != ""}
    for name in given:
        if name not in FIELDS:
            raise InvalidTick(f"{_shown(name)} is no field of a tick")
    for name in NORMALIZATIONS:
        if given.get(name, 0) not in (0, "0"):
            raise _fault(name, "must be left to normalization", given[name])
    at_venue = _matching("venue", given.get("venue", venue), VENUE)
    event = _time("event_time", _required(given, "event_time"), at_venue)
    seen = _time("ingest_time", given["ingest_time"], "") if "ingest_time" in given else None
    record: dict[str, Any] = {
        "venue": at_venue,
        "symbol": _symbol(_required(given, "symbol"), at_venue),
        "event_time": event.moment(),
        "ingest_time": (seen or Instant(now_us)).moment(),
        "sequence": _whole("sequence", given["sequence"]) if "sequence" in given else event.rest_ns,
        "trade_id": _trade_id(given.get("trade_id")),
        **{name: _decimal(name, given[name]) if name in given else None for name in NUMBERS},
        "action": _action(given.get("action", "NEW")),
        "conditions": _conditions(given.get("conditions", [])),
        "source": _text("source", given.get("source", "")),
        "sector": _text("sector", given["sector"]) if "sector" in given else None,
        "quality": 0,
        "raw_offset": None,
    }
    _check_parts(record)
    return record


def _check_parts(record: Mapping[str, Any]) -> None:
    if all(record[name] is None for name in PARTS):
        raise InvalidTick("tick must have a trade part or a quote part, had neither")
    for name, other in (("price", "size"), ("size", "price")):
        if record[name] is None and record[other] is not None:
            raise InvalidTick(f"{name} must be there beside {other}, was missing")
    for name in NUMBERS:
        value = record[name]
        if value is None:
            continue
        if value < 0 or (name == "price" and value == 0):
            raise _fault(
                name, "must be above 0" if name == "price" else "must be at least 0", value
            )
        if value > LARGEST:
            raise _fault(name, "must be at most 1e15", value)
    if record["action"] != "NEW" and record["trade_id"] is None:
        raise InvalidTick(f"trade_id must name the trade that {record['action']} changes, was null")


def decimal(value: object) -> Decimal:
    """Return the exact decimal that `value` writes.

    Raises:
        ValueError: It is no number, or has more digits than decimal(38, 12). The message is the
            rule.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        number = Decimal(value.strip())
    elif isinstance(value, float):
        number = Decimal(repr(value))  # the shortest form that reads back as the same float
    elif isinstance(value, Decimal | int) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        raise ValueError("must be a decimal")
    if not number.is_finite():
        raise ValueError("must be a finite decimal")
    if number.adjusted() >= PRECISION - SCALE and number:
        raise ValueError(f"must have at most {PRECISION} digits, {SCALE} of them fractional")
    if int(number.as_tuple().exponent) >= -SCALE:
        return number
    fitting = number.quantize(_FINEST, context=_WIDE)
    if fitting != number:  # trailing zeros carry no value, so they are no digits too many
        raise ValueError(f"must have at most {SCALE} fractional digits")
    return fitting


def _decimal(name: str, value: object) -> Decimal:
    try:
        return decimal(value)
    except ValueError as error:
        raise _fault(name, str(error), value) from None


def _time(name: str, value: object, venue: str) -> Instant:
    try:
        return instant(value, TIME_UNITS.get(venue))
    except ValueError as error:
        raise _fault(name, str(error), value) from None


def _symbol(value: object, venue: str) -> str:
    name = canonical(value, venue) if isinstance(value, str) else value
    return _matching("symbol", name, SYMBOL)


def _trade_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None if value is None else _text("trade_id", value)


def _action(value: object) -> str:
    if value not in ACTIONS:
        raise _fault("action", f"must be one of {', '.join(ACTIONS)}", value)
    return str(value)


def _conditions(value: object) -> list[str]:
    items = value
    if isinstance(value, str):
        try:
            items = json.loads(value) if value.startswith("[") else value.split("|")
        except ValueError:
            raise _fault("conditions", "must be a JSON array or text divided by |", value) from None
    if not isinstance(items, list | tuple):
        raise _fault("conditions", "must be an array of text", value)
    return [_text("conditions", item) for item in items]


def _whole(name: str, value: object) -> int:
    number = value
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,19}", value.strip(), re.ASCII):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not -INT64 <= number < INT64:
        raise _fault(name, "must be a whole number of 64 bits", value)
    return number


def _text(name: str, value: object) -> str:
    # Lone surrogates have no UTF-8, and Postgres holds no NUL.
    if not isinstance(value, str) or "\0" in value or not _is_unicode(value):
        raise _fault(name, "must be Unicode text without NUL", value)
    return value


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _matching(name: str, value: object, pattern: str) -> str:
    if value is None:
        raise InvalidTick(f"{name} is missing")
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise _fault(name, f"must match {pattern}", value)
    return value


def _required(given: Mapping[str, object], name: str) -> object:
    if name not in given:
        raise InvalidTick(f"{name} is missing")
    return given[name]


def _fault(name: str, rule: str, value: object) -> InvalidTick:
    return InvalidTick(f"{name} {rule}, was {_shown(value)}")


def _shown(value: object) -> str:
    text = ascii(str(value) if isinstance(value, Decimal) else value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."
