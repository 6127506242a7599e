"""Records that must be refused, each with its reason: fault F12, for any test that reads ticks.

Written with fastavro on plain Avro types, not with our codec: a poison of our own making would
share its blind spots.
"""

import json
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_writer

SCHEMAS = Path(__file__).parents[1] / "schemas"
TICK_ID = 1
"""Of the tick schema in the committed manifest; 2 is the bar's."""
MEGABYTE = 1 << 20


class Poison(NamedTuple):
    """One record that must be refused.

    Attributes:
        name: What is wrong with it, in words.
        key: Its Kafka key.
        value: Its Kafka value.
        reason: Code that its dead letter must carry.
    """

    name: str
    key: bytes | None
    value: bytes | None
    reason: str


def plain_schema(name: str) -> Any:
    """Return a schema of the repository as plain Avro: decimals are bytes, times longs."""
    return parse_schema(_without_logical_types(json.loads((SCHEMAS / f"{name}.avsc").read_text())))


def _without_logical_types(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    if "logicalType" in schema:
        return schema["type"]
    return {name: _without_logical_types(part) for name, part in schema.items()}


_TICK = plain_schema("tick")


def unscaled(number: int) -> bytes:
    """Return an integer as the bytes of an Avro decimal, as short as they can be."""
    return number.to_bytes((number + (number < 0)).bit_length() // 8 + 1, "big", signed=True)


def tick(fields: Mapping[str, Any], schema_id: int = TICK_ID) -> bytes:
    """Return the Kafka value of a tick; prices and sizes are bytes, times microseconds."""
    out = BytesIO()
    out.write(struct.pack(">bI", 0, schema_id))
    schemaless_writer(out, _TICK, fields)
    return out.getvalue()


def trade(symbol: str, venue: str, at_us: int, trade_id: str) -> dict[str, Any]:
    """Return the fields of a trade of 1.5 at 100."""
    return {
        "venue": venue,
        "symbol": symbol,
        "event_time": at_us,
        "ingest_time": at_us,
        "sequence": None,
        "trade_id": trade_id,
        "price": unscaled(100 * 10**12),
        "size": unscaled(15 * 10**11),
        "source": "by hand",
    }


def corpus(symbol: str, venue: str, at_us: int, now_us: int, mark: str = "") -> list[Poison]:
    """Return one record of every kind.

    Args:
        symbol: The series they seem to belong to.
        venue: Likewise.
        at_us: Event time of those that have one.
        now_us: The broker's clock, for the one from the future.
        mark: Put into each, so that two corpora differ.
    """
    key = symbol.encode()
    found: list[Poison] = []

    def add(name: str, reason: str, value: bytes | None, named: bytes | None = key) -> None:
        found.append(Poison(name, named, value, reason))

    def odd(name: str, reason: str, named: bytes | None = key, **changed: Any) -> None:
        fields = trade(symbol, venue, at_us, f"{mark}poison-{len(found)}")
        add(name, reason, tick({**fields, **changed}), named)

    good = tick(trade(symbol, venue, at_us, f"{mark}poison"))
    add("JSON", "wrong_magic", b'{"symbol": "%b", "price": 1}' % mark.encode())
    add("text behind a good frame", "not_avro", good[:5] + b"\xff" * 12 + mark.encode())
    add("another magic byte", "wrong_magic", b"\x01" + good[1:])
    add("an id nobody registered", "unknown_schema", good[:1] + struct.pack(">I", 999) + good[5:])
    add("another record's id", "unknown_schema", good[:1] + struct.pack(">I", 2) + good[5:])
    add("cut within its last field but one", "truncated", good[:-2])
    add("cut in the middle", "truncated", good[: len(good) // 2])
    add("cut within the frame", "truncated", good[:3])
    add("a frame around nothing", "truncated", good[:5])
    add("one byte too long", "trailing_bytes", good + b"\x00")
    add("two ticks in one", "trailing_bytes", good + good[5:])
    add("beyond a megabyte", "too_large", good + bytes(MEGABYTE))
    add("a megabyte of zeros", "wrong_magic", b"\x02" + bytes(MEGABYTE - 1))
    odd("a price of no bytes", "out_of_range", price=b"")
    odd("a price of 17 bytes", "out_of_range", price=b"\x01" * 17)
    odd("a size of 39 digits", "out_of_range", size=unscaled(10**38))
    odd("a price below zero", "bad_price", price=unscaled(-1))
    odd("a price of zero", "bad_price", price=unscaled(0))
    odd("an absurd price", "bad_price", price=unscaled(2 * 10**27))
    odd("a size below zero", "bad_size", size=unscaled(-(10**12)))
    odd("a crossed-out bid", "bad_quote", bid=unscaled(-1))
    odd("from the future", "future_event_time", event_time=now_us + 3_600_000_000)
    odd("from 1970", "bad_event_time", event_time=1)
    odd("beyond the year 9999", "out_of_range", event_time=2**62)
    odd("no key", "bad_key", None)
    odd("another symbol's key", "bad_key", b"NOT/" + key)
    odd("a small letter in the symbol", "bad_symbol", b"btc", symbol="btc")
    odd("a venue with a space", "bad_venue", venue="NO VENUE")
    odd("neither trade nor quote", "no_parts", price=None, size=None)
    odd("a trade without a size", "incomplete_trade", size=None)
    odd("a cancellation of nothing", "no_trade_id", action="CANCEL", trade_id=None)
    odd("a correction to nothing", "incomplete_trade", action="CORRECT", price=None, size=None)
    add("empty", "empty", b"")
    add("a tombstone", "empty", None)
    return found
