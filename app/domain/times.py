"""Instants as venues write them: Unix s, ms, µs or ns, or ISO 8601 with an offset.

The unit of a number is known by its magnitude, unless the venue's rule names it: between 1990 and
2100 the four units' ranges do not overlap. Nothing is rounded: what is finer than a microsecond
comes back beside it, to order the ticks of one microsecond.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal, NamedTuple

Unit = Literal["s", "ms", "us", "ns"]
UNITS_NS: Mapping[Unit, int] = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
OLDEST_NS = 631_152_000 * 10**9
"""1990-01-01."""
YOUNGEST_NS = 4_102_444_800 * 10**9
"""2100-01-01, exclusive."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s?([Zz]|[+-]\d\d(?::?\d\d)?)",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_RULE = "must be Unix s, ms, us or ns, or ISO 8601 with an offset, between 1990 and 2100"


class Instant(NamedTuple):
    """A point in time.

    Attributes:
        us: Whole microseconds since the epoch.
        rest_ns: Nanoseconds beyond them, 0 to 999; None where the venue's time has no such digits.
    """

    us: int
    rest_ns: int | None = None

    def moment(self) -> datetime:
        """Return it as an aware datetime, without `rest_ns`."""
        return EPOCH + timedelta(microseconds=self.us)


def instant(value: object, unit: Unit | None = None) -> Instant:
    """Return the instant that `value` names.

    Args:
        value: A number (int, Decimal, float by its shortest form, or their text), ISO 8601 text,
            or an aware datetime.
        unit: The venue's rule for numbers; None detects it by magnitude.

    Raises:
        ValueError: It fits no unit or no form, is before 1990 or after 2099, has no offset, or is
            finer than a nanosecond. The message is the rule.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(_RULE)
        return _in_range(((value - EPOCH) // timedelta(microseconds=1)) * 1000, is_fine=False)
    if isinstance(value, str):
        if match := _ISO.fullmatch(value.strip()):
            return _of_iso(match)
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError(_RULE)
        return _of_number(Decimal(value.strip()), unit)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(_RULE)  # noqa: TRY004 - one kind of error for all that is no time
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > 30:  # noqa: PLR2004 - beyond any time
        raise ValueError(_RULE)
    return _of_number(number, unit)


def _of_number(number: Decimal, unit: Unit | None) -> Instant:
    numerator, denominator = number.as_integer_ratio()
    for name in (unit,) if unit else UNITS_NS:
        if OLDEST_NS <= numerator * UNITS_NS[name] // denominator < YOUNGEST_NS:
            ns, beyond = divmod(numerator * UNITS_NS[name], denominator)
            if beyond:
                raise ValueError("must have at most 9 digits of a second")
            return _in_range(ns, is_fine=name == "ns" or ns % 1000 != 0)
    raise ValueError(_RULE if unit is None else f"must be Unix {unit} between 1990 and 2100")


def _of_iso(match: re.Match[str]) -> Instant:
    day, clock, fraction, offset = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}{offset.upper()}")
        seconds = (whole - EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{_RULE} ({error})") from None
    digits = (fraction or "").rstrip("0")
    if len(digits) > 9:  # noqa: PLR2004 - nanoseconds
        raise ValueError("must have at most 9 digits of a second")
    return _in_range(seconds * 10**9 + int(digits.ljust(9, "0")), is_fine=len(fraction or "") > 6)  # noqa: PLR2004


def _in_range(ns: int, *, is_fine: bool) -> Instant:
    if not OLDEST_NS <= ns < YOUNGEST_NS:
        raise ValueError(_RULE)
    return Instant(ns // 1000, ns % 1000 if is_fine else None)
