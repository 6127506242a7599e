"""What makes two records one: hashes of ticks in SQL, and of bytes."""

from collections.abc import Sequence
from hashlib import md5

from app.audit.records import FRAME, Fields

TICK = (
    "venue", "symbol", "event_time", "ingest_time", "sequence", "trade_id", "price", "size",
    "bid", "ask", "bid_size", "ask_size", "action", "conditions", "source", "sector", "quality",
    "raw_offset",
)  # fmt: skip
_DELIVERY = {"ingest_time", "source", "conditions", "sector", "quality", "raw_offset"}
"""What may differ between two deliveries of one tick."""


def _hash(names: Sequence[str]) -> str:
    texts = ", ".join(f"coalesce({name}::VARCHAR, chr(0))" for name in names)
    return f"md5_number_lower(concat_ws(chr(31), {texts}))"


CONTENT = [name for name in TICK if name not in {"quality", "raw_offset"}]
SAME = [name for name in TICK if name not in _DELIVERY]
HASHES = f"""
    CASE WHEN trade_id IS NOT NULL AND action = 'NEW'
         THEN {_hash(["venue", "symbol", "trade_id"])} ELSE {_hash(SAME)} END AS ident,
    {_hash([name for name in SAME if name != "symbol"])} AS same,
    {_hash(CONTENT)} AS content
"""
"""ident: what makes two deliveries one tick; same: likewise whatever its symbol is called."""


def prefix(value: bytes | None, fields: Fields | None) -> bytes | None:
    """Return a hash of a tick's bytes without the last two fields, which normalization writes.

    Without `fields` they are taken to be what producers leave there: 0 and null, a byte each.
    """
    if value is None:
        return None
    size = 2
    if fields is not None:
        raw = fields["raw_offset"]
        size = _varint(fields["quality"]) + 1 + (0 if raw is None else _varint(raw))
    return md5(value[FRAME.size : -size]).digest()  # noqa: S324 - nothing is kept secret by it


def _varint(number: int) -> int:
    zigzag = number * 2 if number >= 0 else -number * 2 - 1
    return max(1, -(-zigzag.bit_length() // 7))


def digest(key: bytes | None, value: bytes | None) -> bytes:
    """Return a hash of a record, whole."""
    parts = (b"n" if part is None else b"%d:" % len(part) + part for part in (key, value))
    return md5(b"".join(parts)).digest()  # noqa: S324 - nothing is kept secret by it
