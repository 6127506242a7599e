"""Judge whether bytes are exactly one record of a schema, as strictly as a writer writes.

fastavro and polars both read more than Avro allows, and not the same: a negative union branch or
enum index, a boolean of 2, numbers with spare bytes. This says what is a record and, if not, why.
Spare bytes in numbers are refused although a lenient reader takes them: no writer makes them.

Source: Avro 1.12 specification, "Binary encoding".
"""

from collections.abc import Mapping
from typing import Any

from schemas.wire import Undecodable

_MOST_VARINT_BYTES = 10
_INT_LIMIT = 1 << 31
_LONG_LIMIT = 1 << 63
_FIXED_WIDTH = {"null": 0, "float": 4, "double": 8}


def check(payload: bytes, schema: Mapping[str, Any]) -> None:
    """Return if `payload` is one record of `schema`, to its last byte.

    Raises:
        Undecodable: truncated, trailing_bytes, not_avro or out_of_range, with the field's name.
    """
    walk = _Walk(payload)
    walk.value(schema, str(schema.get("name", "record")))
    if walk.at != len(payload):
        left = len(payload) - walk.at
        raise Undecodable("trailing_bytes", f"record must end the value, {left} bytes follow")


class _Walk:
    def __init__(self, payload: bytes) -> None:
        self._bytes = payload
        self._named: dict[str, Any] = {}
        self.at = 0

    def value(self, schema: Any, path: str) -> None:  # noqa: C901, PLR0911 - one case a type
        """Walk over one value."""
        if isinstance(schema, list):
            return self.value(schema[self._index(path, len(schema), "union branch")], path)
        if isinstance(schema, str):
            if schema in self._named:
                return self.value(self._named[schema], path)
            return self._primitive(schema, path)
        kind = schema["type"]
        if kind in {"record", "enum", "fixed"}:
            self._named[schema["name"]] = schema
        match kind:
            case "record":
                for field in schema["fields"]:
                    self.value(field["type"], f"{path}.{field['name']}")
                return None
            case "enum":
                self._index(path, len(schema["symbols"]), "enum index")
                return None
            case "array":
                return self._parts(path, ("items", schema["items"]))
            case "map":
                return self._parts(path, ("key", "string"), ("values", schema["values"]))
            case "fixed":
                self._take(schema["size"], path)
                return None
        return self.value(kind, path)

    def _primitive(self, kind: str, path: str) -> None:
        match kind:
            case "int":
                number = self._long(path)
                if not -_INT_LIMIT <= number < _INT_LIMIT:
                    raise Undecodable("out_of_range", f"{path} must fit 32 bits, was {number}")
            case "long":
                self._long(path)
            case "boolean":
                if self._take(1, path) not in {b"\0", b"\1"}:
                    raise Undecodable("not_avro", f"{path} must be a boolean of 0 or 1")
            case "bytes" | "string":
                held = self._take(self._length(path), path)
                if kind == "string":
                    self._utf8(held, path)
            case _:
                self._take(_FIXED_WIDTH[kind], path)

    def _parts(self, path: str, *items: tuple[str, Any]) -> None:
        """Walk over an array or a map: counted parts, a negative count before a size in bytes."""
        while count := self._long(path):
            end = None
            if count < 0:
                size = self._length(path)
                end = self.at + size
            if abs(count) > len(self._bytes) - self.at:
                raise Undecodable("truncated", f"{path} must hold {abs(count)} items, value ends")
            for _ in range(abs(count)):
                for name, item in items:
                    self.value(item, f"{path}.{name}")
            if end is not None and self.at != end:
                raise Undecodable("not_avro", f"{path} must be as long as it says")

    def _index(self, path: str, count: int, what: str) -> int:
        index = self._long(path)
        if not 0 <= index < count:
            raise Undecodable("not_avro", f"{path} {what} must be < {count}, was {index}")
        return index

    def _length(self, path: str) -> int:
        length = self._long(path)
        if length < 0:
            raise Undecodable("not_avro", f"{path} length must be >= 0, was {length}")
        return length

    def _long(self, path: str) -> int:
        shifted = 0
        for n, byte in enumerate(self._bytes[self.at : self.at + _MOST_VARINT_BYTES]):
            shifted |= (byte & 0x7F) << (7 * n)
            if byte < 0x80:  # noqa: PLR2004 - the top bit says that more follows
                self.at += n + 1
                if (byte == 0 and n) or shifted >= 2 * _LONG_LIMIT:
                    raise Undecodable("not_avro", f"{path} must be a 64-bit number, none to spare")
                return (shifted >> 1) ^ -(shifted & 1)
        if len(self._bytes) - self.at < _MOST_VARINT_BYTES:
            raise Undecodable("truncated", f"{path} must be a number, value ends")
        raise Undecodable("not_avro", f"{path} must be a number of at most 10 bytes")

    def _take(self, size: int, path: str) -> bytes:
        held = self._bytes[self.at : self.at + size]
        if len(held) < size:
            raise Undecodable("truncated", f"{path} must be {size} bytes, {len(held)} left")
        self.at += size
        return held

    def _utf8(self, held: bytes, path: str) -> None:
        try:
            held.decode()
        except UnicodeDecodeError as error:
            raise Undecodable("not_avro", f"{path} must be UTF-8: {error}") from error
