"""Bytes that lenient readers take, take differently, or stumble over, each around one tick."""

from dataclasses import dataclass
from decimal import Decimal

from schemas.wire import MAX_BYTES, frame

BEFORE = bytes.fromhex("0c4b52414b454e0e4254432f555344a0e2cf9ed9b48906a0e2cf9ed9b48906")
"""venue, symbol, event_time, ingest_time."""

SEQUENCE = bytes.fromhex("020e")
TRADE_ID = bytes.fromhex("02043737")
PRICE = bytes.fromhex("020c5b2d45a38400")
BETWEEN = bytes.fromhex("020c02ba7def300000000000")
"""size and the quote."""

ACTION, CONDITIONS = b"\x00", b"\x00"
AFTER = bytes.fromhex("087465737400")
"""source, sector."""

QUALITY, RAW_OFFSET = b"\x00", b"\x00"


def value(  # noqa: PLR0913 - one a field under test
    *,
    before: bytes = BEFORE,
    sequence: bytes = SEQUENCE,
    trade_id: bytes = TRADE_ID,
    price: bytes = PRICE,
    action: bytes = ACTION,
    conditions: bytes = CONDITIONS,
    quality: bytes = QUALITY,
    raw_offset: bytes = RAW_OFFSET,
) -> bytes:
    """Return a framed tick with some fields' bytes as given."""
    fields = (before, sequence, trade_id, price, BETWEEN, action, conditions, AFTER, quality)
    return frame(1, b"".join((*fields, raw_offset)))


@dataclass(frozen=True)
class Trap:
    """A value, and what every codec must say of it.

    Attributes:
        value: The Kafka value.
        reason: Why it is no record; None when it is one.
        holds: What its fields then are, as far as they matter.
    """

    value: bytes | None
    reason: str | None = None
    holds: dict[str, object] | None = None


TRAPS = {
    "no value": Trap(None, "empty"),
    "no bytes": Trap(b"", "empty"),
    "a frame cut short": Trap(b"\x00\x00\x00", "truncated"),
    "a frame and nothing": Trap(frame(1, b""), "truncated"),
    "no magic byte": Trap(b'{"price": 1}', "wrong_magic"),
    "an unknown schema": Trap(frame(99, value()[5:]), "unknown_schema"),
    "another record's schema": Trap(frame(8, value()[5:]), "unknown_schema"),
    "over a megabyte": Trap(value() + bytes(MAX_BYTES), "too_large"),
    "a whole record over a megabyte": Trap(
        value(trade_id=b"\x02\x80\x80\x80\x01" + b"7" * MAX_BYTES), "too_large"
    ),
    "a byte missing": Trap(value()[:-1], "truncated"),
    "a byte too many": Trap(value() + b"\x00", "trailing_bytes"),
    "a text longer than the value": Trap(value(before=b"\xfe\x01" + BEFORE[1:]), "truncated"),
    "a text of petabytes": Trap(value(before=b"\xfe" * 8 + b"\x01"), "truncated"),
    "a text of negative length": Trap(value(before=b"\x0d" + BEFORE[1:]), "not_avro"),
    "a length with a spare byte": Trap(value(before=b"\x8c\x00" + BEFORE[1:]), "not_avro"),
    "invalid UTF-8": Trap(value(trade_id=b"\x02\x04\xc3\x28"), "not_avro"),
    "invalid UTF-8 in an array": Trap(value(conditions=b"\x02\x02\xff\x00"), "not_avro"),
    "valid UTF-8": Trap(value(trade_id=b"\x02\x04\xc3\xa9"), holds={"trade_id": "é"}),
    "a union branch beyond": Trap(value(sequence=b"\x04\x0e"), "not_avro"),
    "a union branch beyond and no value": Trap(value(raw_offset=b"\x04"), "not_avro"),
    "a negative union branch": Trap(value(sequence=b"\x01\x0e"), "not_avro"),
    "an enum index beyond": Trap(value(action=b"\x06"), "not_avro"),
    "a negative enum index": Trap(value(action=b"\x01"), "not_avro"),
    "a long with a spare byte": Trap(value(sequence=b"\x02\x8e\x00"), "not_avro"),
    "a long of 11 bytes": Trap(value(sequence=b"\x02" + b"\x80" * 10 + b"\x01"), "not_avro"),
    "a long beyond 64 bits": Trap(value(sequence=b"\x02" + b"\xff" * 9 + b"\x02"), "not_avro"),
    "the lowest long": Trap(
        value(sequence=b"\x02" + b"\xff" * 9 + b"\x01"), holds={"sequence": -(1 << 63)}
    ),
    "an int beyond 32 bits": Trap(value(quality=b"\x80\x80\x80\x80\x10"), "out_of_range"),
    "an int of 40 bits": Trap(value(quality=b"\x80\x80\x80\x80\x80\x40"), "out_of_range"),
    "the highest int": Trap(
        value(quality=b"\xfe\xff\xff\xff\x0f"), holds={"quality": (1 << 31) - 1}
    ),
    "a time after year 9999": Trap(
        value(before=BEFORE[:-8] + b"\xfe" * 8 + b"\x7f"), "out_of_range"
    ),
    "a decimal of no bytes": Trap(value(price=b"\x02\x00"), "out_of_range"),
    "a decimal of 17 bytes": Trap(value(price=b"\x02\x22" + bytes(16) + b"\x05"), "out_of_range"),
    "a decimal of 39 digits": Trap(value(price=b"\x02\x20\x7f" + b"\xff" * 15), "out_of_range"),
    "a decimal with spare sign bytes": Trap(
        value(price=b"\x02\x06\x00\x00\x05"), holds={"price": Decimal("5E-12")}
    ),
    "a negative decimal with spare sign bytes": Trap(
        value(price=b"\x02\x20" + b"\xff" * 15 + b"\xfb"), holds={"price": Decimal("-5E-12")}
    ),
    "an array in two parts": Trap(
        value(conditions=b"\x02\x02@\x02\x02T\x00"), holds={"conditions": ["@", "T"]}
    ),
    "an array part with its size": Trap(
        value(conditions=b"\x03\x08\x02@\x02T\x00"), holds={"conditions": ["@", "T"]}
    ),
    "an array part with a wrong size": Trap(
        value(conditions=b"\x03\x0a\x02@\x02T\x00"), "not_avro"
    ),
    "an array part with a negative size": Trap(value(conditions=b"\x01\x01\x02@\x00"), "not_avro"),
    "an array of a trillion": Trap(value(conditions=b"\x80" * 5 + b"\x40"), "truncated"),
    "an array without its end": Trap(value(conditions=b"\x02\x02@"), "truncated"),
    "an array closed by another byte": Trap(value(conditions=b"\x02\x02@\x05"), "truncated"),
    "an array of twenty": Trap(
        value(conditions=b"\x28" + b"\x02@" * 20 + b"\x00"), holds={"conditions": ["@"] * 20}
    ),
}
