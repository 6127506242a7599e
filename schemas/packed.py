"""Kafka values side by side in one buffer, as loops over a whole block want them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

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
        held = self.buffer.tobytes()
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield None if end < start else held[start:end]

    def take(self, rows: slice | Positions) -> "Packed":
        """Return some of the values; the buffer is shared."""
        return Packed(
            self.buffer,
            np.ascontiguousarray(self.starts[rows]),
            np.ascontiguousarray(self.ends[rows]),
        )


def pack(values: Iterable[bytes | None]) -> Packed:
    """Return the values in a buffer of their own."""
    held = list(values)
    joined = b"".join(value for value in held if value)
    buffer = np.zeros(len(joined) + PADDING, np.uint8)
    buffer[: len(joined)] = np.frombuffer(joined, np.uint8)
    sizes = np.array([-1 if value is None else len(value) for value in held], np.int64)
    ends = np.cumsum(np.maximum(sizes, 0))
    starts = ends - np.maximum(sizes, 0)
    return Packed(buffer, starts, starts + sizes)
