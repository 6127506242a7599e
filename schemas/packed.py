"""Kafka values side by side in one buffer, as loops over a whole block want them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import overload

import numpy as np
import numpy.typing as npt

from schemas.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]

PADDING = 16
"""Bytes that follow the last value in the buffer, so that a word may be read at any position."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed(Sequence[bytes | None]):
    """n values, each bytes or None.

    Attributes:
        buffer: Holds all values, in any order, and `PADDING` bytes more; writable.
        starts: Where each begins, n.
        ends: Where each ends, n; one less than its start for None.
    """

    buffer: Bytes
    starts: Positions
    ends: Positions

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, at: int) -> bytes | None: ...
    @overload
    def __getitem__(self, at: slice) -> "Packed": ...
    def __getitem__(self, at: int | slice) -> "bytes | Packed | None":
        if isinstance(at, slice):
            return self.take(at)
        start, end = self.starts[at], self.ends[at]
        return None if end < start else self.buffer[start:end].tobytes()

    def __iter__(self) -> Iterator[bytes | None]:
        # Reading on is twice as fast as slicing: no positions, no slices, no interpreter.
        sizes = self.ends - self.starts
        read = BytesIO(self.joined().data).read
        values: list[bytes | None] = list(map(read, np.maximum(sizes, 0).tolist()))
        for row in np.flatnonzero(sizes < 0).tolist():
            values[row] = None
        return iter(values)

    def take(self, rows: slice | Positions) -> "Packed":
        """Return some of the values; the buffer is shared."""
        return Packed(
            self.buffer,
            np.ascontiguousarray(self.starts[rows]),
            np.ascontiguousarray(self.ends[rows]),
        )

    def joined(self, before: bytes = b"", after: bytes = b"") -> Bytes:
        """Return all values, each behind the one before it, between `before` and `after`."""
        sizes = np.maximum(self.ends - self.starts, 0)
        begin, end = len(before), len(before) + int(sizes.sum())
        out = np.empty(end + len(after), np.uint8)
        out[:begin] = np.frombuffer(before, np.uint8)
        out[end:] = np.frombuffer(after, np.uint8)
        _copy(self.buffer, self.starts, self.ends, out, begin)
        return out


def pack(values: Iterable[bytes | None]) -> Packed:
    """Return the values in a buffer of their own."""
    held = list(values)
    filled = [value or b"" for value in held]
    # Of a bytearray, as an array of bytes could not be written to.
    buffer = np.frombuffer(bytearray().join((*filled, bytes(PADDING))), np.uint8)
    sizes = np.fromiter(map(len, filled), np.int64, len(filled))
    ends = np.cumsum(sizes)
    starts = ends - sizes
    if None in held:
        ends[[value is None for value in held]] -= 1
    return Packed(buffer, starts, ends)


@compiled
def _copy(buffer: Bytes, starts: Positions, ends: Positions, out: Bytes, at: int) -> None:
    for row in range(len(starts)):
        size = ends[row] - starts[row]
        if size <= 0:
            continue
        if starts[row] < 0 or ends[row] > len(buffer):
            raise IndexError("a value must lie in the buffer")
        # Unsigned, or numba would look for negative indices, one byte at a time.
        to, begin = np.uint64(at), np.uint64(starts[row])
        for n in range(np.uint64(size)):
            out[to + n] = buffer[begin + n]
        at += size
