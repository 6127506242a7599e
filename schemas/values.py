"""Field values to and from what Avro's plain types hold, exactly or not at all.

fastavro's own logical types round a decimal with too many digits and take a time without a zone;
here both are refused, with the field, the rule and the value.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from typing import Any

from schemas.layout import Field, Kind
from schemas.wire import Undecodable, Unencodable

Convert = Callable[[Any], Any]

YEARS_US = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""Microseconds since 1970 that are within years 1 to 9999, as Python's times are."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EXACT = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact, InvalidOperation])
_LIMITS = {Kind.INT: 1 << 31, Kind.LONG: 1 << 63}
_TYPES: dict[Kind, tuple[type, ...]] = {
    Kind.STRING: (str,),
    Kind.BYTES: (bytes,),
    Kind.INT: (int,),
    Kind.LONG: (int,),
    Kind.DOUBLE: (float, int),
    Kind.BOOLEAN: (bool,),
    Kind.TIME: (datetime,),
    Kind.DECIMAL: (Decimal,),
    Kind.ENUM: (str,),
    Kind.STRINGS: (list, tuple),
}


def reader(field: Field, record: str) -> Convert | None:
    """Return what turns a field's Avro value into ours; None where it already is.

    It raises `Undecodable` (out_of_range, not_avro) for what the field may not hold.
    """
    path = f"{record}.{field.name}"
    match field.kind:
        case Kind.TIME:
            return lambda at_us: None if at_us is None else _time(at_us, path)
        case Kind.DECIMAL:
            return lambda held: None if held is None else _decimal(held, field, path)
        case Kind.INT:
            return lambda number: None if number is None else _int(number, path)
    return None


def writer(field: Field, record: str) -> Convert:
    """Return what turns our value of a field into its Avro value.

    It raises `Unencodable` for what the field may not hold.
    """
    path = f"{record}.{field.name}"
    types = _TYPES[field.kind]

    def convert(value: Any) -> Any:
        if value is None and field.optional:
            return None
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            allowed = " or ".join(one.__name__ for one in types)
            raise Unencodable(f"{path} must be {allowed}, was {value!r}")
        return _plain(value, field, path)

    return convert


def _plain(value: Any, field: Field, path: str) -> Any:
    match field.kind:
        case Kind.DECIMAL:
            return _unscaled(value, field, path)
        case Kind.TIME:
            if value.tzinfo is None:
                raise Unencodable(f"{path} must have a time zone, was {value!r}")
            return (value - _EPOCH) // _MICROSECOND
        case Kind.INT | Kind.LONG:
            limit = _LIMITS[field.kind]
            if not -limit <= value < limit:
                raise Unencodable(f"{path} must be within +-{limit}, was {value}")
        case Kind.ENUM if value not in field.symbols:
            raise Unencodable(f"{path} must be one of {field.symbols}, was {value!r}")
        case Kind.STRING:
            _check_text(value, path)
        case Kind.STRINGS:
            for item in value:
                _check_text(item, path)
            return list(value)
    return value


def _check_text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise Unencodable(f"{path} must be str, was {value!r}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Unencodable(f"{path} must be text UTF-8 can hold: {error}") from error


def _unscaled(value: Decimal, field: Field, path: str) -> bytes:
    precision, scale = field.precision, field.scale
    if not value.is_finite():
        raise Unencodable(f"{path} must be a finite number, was {value}")
    if value and value.adjusted() >= precision - scale:
        whole = precision - scale
        raise Unencodable(f"{path} must have at most {whole} digits before the point, was {value}")
    try:
        scaled = _EXACT.scaleb(value, scale)
        unscaled = int(scaled)
    except Inexact:
        scaled, unscaled = value, 0
    if unscaled != scaled:
        raise Unencodable(f"{path} must have at most {scale} digits after the point, was {value}")
    return to_bytes(unscaled)


def to_bytes(unscaled: int) -> bytes:
    """Return the shortest big-endian two's complement."""
    bits = (unscaled + (unscaled < 0)).bit_length()
    return unscaled.to_bytes(bits // 8 + 1, "big", signed=True)


def _decimal(held: bytes, field: Field, path: str) -> Decimal:
    if not 1 <= len(held) <= field.max_bytes:
        raise Undecodable(
            "out_of_range", f"{path} must be 1 to {field.max_bytes} bytes, was {len(held)}"
        )
    unscaled = int.from_bytes(held, "big", signed=True)
    if abs(unscaled) >= 10**field.precision:
        raise Undecodable(
            "out_of_range", f"{path} must have at most {field.precision} digits, was {unscaled}"
        )
    return _EXACT.scaleb(Decimal(unscaled), -field.scale)


def _time(at_us: int, path: str) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        rule = "must be within years 1 to 9999"
        raise Undecodable("out_of_range", f"{path} {rule}, was {at_us} us") from None


def _int(number: int, path: str) -> int:
    if not -(1 << 31) <= number < 1 << 31:
        raise Undecodable("out_of_range", f"{path} must fit 32 bits, was {number}")
    return number
