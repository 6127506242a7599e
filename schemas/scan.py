"""Tell which of many records are plain, all at once, without decoding any.

Every record is walked from its own start, field by field, in columns: a wrong length in one
shifts nothing in another. Plain is narrower than legal: what is not plain here (an array in
several parts, a 16-byte decimal) may still be a record, and is judged by `schemas.grammar`.
What is plain is legal, and polars reads it as fastavro does, its texts aside: UTF-8 is polars' to
check.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from schemas.layout import Field, Kind

PADDING = 16
"""Bytes that must follow the last record in the buffer, of any value."""

Positions = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]
Step = tuple[Positions, Marks]

_CONTINUES = np.uint64(0x8080808080808080)
_LOW_BITS = np.uint64(0x0101010101010101)
_ONE = np.uint64(1)
_SEVEN = np.uint64(7)
_INT_BYTES = 4
_LAST_ASCII = 127
_MOST_PLAIN_ITEMS = 15
_PLAIN_DECIMAL = range(2, 2 * 15 + 1)
"""Zigzag lengths 1 to 15: no decimal of 15 bytes has more than 38 digits."""


def plain(
    buffer: bytes,
    starts: Positions,
    ends: Positions,
    fields: tuple[Field, ...],
    *,
    ascii_only: bool = False,
) -> Marks:
    """Return which of the n records are plain.

    Args:
        buffer: Holds the records' payloads, and at least `PADDING` bytes behind the last.
        starts: Where each begins, n.
        ends: Where each ends, n.
        fields: What each is made of.
        ascii_only: Whether a text with a byte above 127 makes a record not plain.
    """
    scan = _Scan(buffer, starts, ascii_only=ascii_only)
    for field in fields:
        scan.field(field)
    is_plain: Marks = scan.is_plain & (scan.at == ends)
    return is_plain


class _Scan:
    """The walk of n records side by side.

    Positions only grow, so a record that ran over its end is seen at the end.
    """

    def __init__(self, buffer: bytes, starts: Positions, *, ascii_only: bool) -> None:
        self._bytes = np.frombuffer(buffer, np.uint8)
        self._above_before: Positions | None = None
        if ascii_only:
            self._above_before = np.zeros(len(buffer) + 1, np.int64)
            np.cumsum(self._bytes > _LAST_ASCII, out=self._above_before[1:])
        words = len(buffer) - 7
        self._words = np.ndarray((words,), np.dtype("<u8"), buffer, strides=(1,))
        self._last_word = words - 1
        self.at = starts
        self.is_plain = np.ones(len(starts), np.bool_)
        self._steps: dict[Kind, Callable[[Positions], Step]] = {
            Kind.STRING: self._text,
            Kind.BYTES: self._sized,
            Kind.LONG: self._long,
            Kind.TIME: self._long,
            Kind.INT: self._int,
            Kind.DOUBLE: self._double,
            Kind.DECIMAL: self._decimal,
            Kind.BOOLEAN: self._boolean,
        }

    def field(self, field: Field) -> None:
        """Walk one field of all records."""
        if field.kind is Kind.STRINGS:
            self._strings()
        elif field.optional:
            self._optional(self._step_of(field))
        else:
            width, is_plain = self._step_of(field)(self.at)
            self.is_plain &= is_plain
            self.at = self.at + width

    def _step_of(self, field: Field) -> Callable[[Positions], Step]:
        if field.kind is Kind.ENUM:
            last = 2 * (len(field.symbols) - 1)
            return lambda at: self._index(at, last)
        return self._steps[field.kind]

    def _byte(self, at: Positions) -> npt.NDArray[np.uint8]:
        return self._bytes.take(at, mode="clip")

    def _optional(self, step: Callable[[Positions], Step]) -> None:
        branch = self._byte(self.at)
        inner = self.at + 1
        if not branch.any():
            self.at = inner
            return
        is_present = branch == 2  # noqa: PLR2004 - zigzag 1, the second branch
        width, is_plain = step(inner)
        self.is_plain &= (is_present & is_plain) | (branch == 0)
        self.at = inner + width * is_present

    def _strings(self) -> None:
        count = self._byte(self.at)
        self.at = self.at + 1
        if not count.any():
            return
        left = (count >> 1).astype(np.int64)
        self.is_plain &= ((count & 1) == 0) & (left <= _MOST_PLAIN_ITEMS)
        left *= self.is_plain
        closes = left > 0
        while (rows := np.flatnonzero(left)).size:
            width, is_plain = self._text(self.at[rows])
            self.is_plain[rows] &= is_plain
            self.at[rows] += width
            left[rows] -= 1
        self.is_plain &= ~closes | (self._byte(self.at) == 0)
        self.at += closes

    def _word(self, at: Positions) -> npt.NDArray[np.uint64]:
        word: npt.NDArray[np.uint64] = self._words[np.minimum(at, self._last_word)]
        return word

    def _long(self, at: Positions) -> Step:
        """A varint of at most 8 bytes, none to spare: no time of 8 bytes is beyond year 2600."""
        word = self._word(at)
        stops = ~word & _CONTINUES
        stop = stops & (~stops + _ONE)
        width = np.bitwise_count((stop - _ONE) & _LOW_BITS)
        last = word & (stop - (stop >> _SEVEN))
        return width.astype(np.int64), (stop != 0) & ((width == 1) | (last != 0))

    def _int(self, at: Positions) -> Step:
        width, is_plain = self._long(at)
        return width, is_plain & (width <= _INT_BYTES)

    def _sized(self, at: Positions) -> Step:
        """A length, then as many bytes."""
        first = self._byte(at)
        if not (first & 0x81).any():
            return (first >> 1).astype(np.int64) + 1, np.ones(len(at), np.bool_)
        word = self._word(at)
        width, is_plain = self._long(at)
        length = np.zeros(len(at), np.uint64)
        for n in range(_INT_BYTES):
            group = (word >> np.uint64(8 * n)) & np.uint64(0x7F)
            length |= np.where(width > n, group << np.uint64(7 * n), 0).astype(np.uint64)
        is_plain &= (width <= _INT_BYTES) & ((length & _ONE) == 0)
        return width + (length >> _ONE).astype(np.int64), is_plain

    def _text(self, at: Positions) -> Step:
        width, is_plain = self._sized(at)
        if self._above_before is not None:
            # From the second byte on: of a length, only the last byte is below 128.
            edges = (at + 1, at + width)
            begin, end = (self._above_before.take(edge, mode="clip") for edge in edges)
            is_plain = is_plain & (begin == end)
        return width, is_plain

    def _decimal(self, at: Positions) -> Step:
        first = self._byte(at)
        is_plain = (
            ((first & 1) == 0) & (first >= _PLAIN_DECIMAL.start) & (first < _PLAIN_DECIMAL.stop)
        )
        return (first >> 1).astype(np.int64) + 1, is_plain

    def _boolean(self, at: Positions) -> Step:
        return np.ones(len(at), np.int64), self._byte(at) <= 1

    def _double(self, at: Positions) -> Step:
        return np.full(len(at), 8), np.ones(len(at), np.bool_)

    def _index(self, at: Positions, last: int) -> Step:
        first = self._byte(at)
        return np.ones(len(at), np.int64), ((first & 1) == 0) & (first <= last)
