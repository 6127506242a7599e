"""Records for tests of the codecs: a boring one, any that a schema allows, and broken ones."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from schemas.layout import Field, Kind, layout

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = datetime(2024, 3, 4, 10, 0, 0, 250_000, tzinfo=UTC)
DECIMALS = ("price", "size", "bid", "ask", "bid_size", "ask_size")


def tick(**changed: Any) -> dict[str, Any]:
    """Return one trade; decimals may be given as text."""
    boring = {
        "venue": "KRAKEN", "symbol": "BTC/USD", "event_time": AT, "ingest_time": AT,
        "sequence": 7, "trade_id": "77", "price": "100.25", "size": "3", "bid": None, "ask": None,
        "bid_size": None, "ask_size": None, "action": "NEW", "conditions": [], "source": "test",
        "sector": None, "quality": 0, "raw_offset": None,
    }  # fmt: skip
    record = {**boring, **changed}
    for name in DECIMALS:
        if isinstance(record[name], str):
            record[name] = Decimal(record[name])
    return record


def records(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of every record that the schema called `name` allows."""
    return st.fixed_dictionaries({field.name: _values(field) for field in layout(name)})


def _values(field: Field) -> st.SearchStrategy[Any]:
    values = _of_kind(field)
    return st.none() | values if field.optional else values


def _of_kind(field: Field) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one return a kind
    text = st.text(max_size=8)
    match field.kind:
        case Kind.STRING:
            return text | st.text("AB", min_size=60, max_size=70)
        case Kind.STRINGS:
            return st.lists(text, max_size=18)
        case Kind.BYTES:
            return st.binary(max_size=70)
        case Kind.INT:
            return st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-70, 70)
        case Kind.LONG:
            return st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-70, 70)
        case Kind.DOUBLE:
            return st.floats(allow_nan=False)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.TIME:
            micros = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
            return micros.map(lambda at_us: EPOCH + timedelta(microseconds=at_us))
        case Kind.ENUM:
            return st.sampled_from(field.symbols)
    return decimals(field)


def decimals(field: Field) -> st.SearchStrategy[Decimal]:
    """Return a strategy of decimals of any length up to the field's digits."""
    limit = 10**field.precision - 1
    edges = [sign * (1 << bits) + by for bits in (7, 63, 64, 119, 126) for sign in (1, -1)
             for by in (-1, 0, 1) if (1 << bits) < limit]  # fmt: skip
    unscaled = st.integers(-limit, limit) | st.integers(-300, 300) | st.sampled_from(edges)
    return unscaled.map(
        lambda number: Decimal((number < 0, tuple(map(int, str(abs(number)))), -field.scale))
    )


def mutated(value: bytes, data: st.DataObject) -> bytes:
    """Return `value` with a byte changed, removed or put in, or its end cut off."""
    at = data.draw(st.integers(0, len(value)))
    byte = bytes([data.draw(st.sampled_from([0, 1, 2, 3, 4, 34, 127, 128, 255]))])
    match data.draw(st.sampled_from(["change", "remove", "insert", "cut"])):
        case "change":
            return value[:at] + byte + value[at + 1 :]
        case "remove":
            return value[:at] + value[at + 1 :]
        case "insert":
            return value[:at] + byte + value[at:]
    return value[:at]
