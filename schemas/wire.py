"""Confluent framing: byte 0, 4-byte big-endian schema id, Avro binary.

Two errors: `Undecodable`, the bytes are no record (to the dead letters), and `Unencodable`, a
value its schema refuses (to the caller, before anything is sent).
"""

import struct

MAX_BYTES = 1 << 20
"""Longest value accepted: Kafka's own default limit of a record."""

PREFIX_BYTES = 5

REASONS = frozenset(
    {
        "empty",  # no value at all, or no bytes
        "too_large",  # more than `MAX_BYTES`
        "wrong_magic",  # does not begin with byte 0
        "unknown_schema",  # the id is not registered, or is another record's
        "registry_unavailable",  # nobody could say whether the id is registered: try it again later
        "truncated",  # ends within the frame or a field
        "trailing_bytes",  # goes on behind the last field
        "not_avro",  # a union branch, length, boolean, text or number no writer makes
        "out_of_range",  # well-formed, but more than the field may hold
    }
)
"""Why bytes are no record: a closed set, used as a label of metrics and of dead letters."""

_FRAME = struct.Struct(">bI")


class Undecodable(ValueError):
    """The bytes are no record.

    Attributes:
        reason: One of `REASONS`.
        detail: The thing, the rule and the value.
    """

    def __init__(self, reason: str, detail: str) -> None:
        if reason not in REASONS:
            raise AssertionError(f"reason must be one of {sorted(REASONS)}, was {reason!r}")
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Unencodable(ValueError):
    """A record its schema refuses; the message names the field, the rule and the value."""


def prefix(schema_id: int) -> bytes:
    """Return the five bytes before every payload of that schema."""
    return _FRAME.pack(0, schema_id)


def frame(schema_id: int, payload: bytes) -> bytes:
    """Return the Kafka value that carries an Avro payload."""
    return prefix(schema_id) + payload


def unframe(value: bytes | None) -> tuple[int, bytes]:
    """Return the schema id and the Avro payload of a Kafka value.

    Raises:
        Undecodable: The value is no frame: empty, too_large, wrong_magic or truncated.
    """
    if not value:
        raise Undecodable("empty", "value must hold a record, was " + repr(value))
    if len(value) > MAX_BYTES:
        raise Undecodable("too_large", f"value must be <= {MAX_BYTES} bytes, was {len(value)}")
    if value[0] != 0:
        raise Undecodable("wrong_magic", f"first byte must be 0x00, was 0x{value[0]:02x}")
    if len(value) < PREFIX_BYTES:
        raise Undecodable("truncated", f"frame must be >= 5 bytes, was {len(value)}")
    return _FRAME.unpack_from(value)[1], value[PREFIX_BYTES:]
