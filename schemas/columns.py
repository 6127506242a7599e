"""What a walk over plain records finds: every field's place, and the value of every number."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.packed import Packed

Sizes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The fields of n records of one schema, not yet made into values.

    Attributes:
        packed: The records, framed.
        names: Number of each field by name, in wire order.
        numbers: By field and record (fields, n). INT, LONG, TIME (µs), BOOLEAN, ENUM: the value,
            an enum's as its index. DOUBLE: its bits. STRING, BYTES, DECIMAL: where in the buffer
            its content begins. STRINGS: where the array begins. 0 for null.
        sizes: By field and record (fields, n): bytes of the content, for STRINGS of the whole
            array (1 when it is empty), 0 for numbers; -1 for null.
    """

    packed: Packed
    names: dict[str, int]
    numbers: npt.NDArray[np.int64]
    sizes: Sizes

    def __len__(self) -> int:
        return len(self.packed)

    def number(self, name: str) -> npt.NDArray[np.int64]:
        """Return a field's row of `numbers`, n."""
        row: npt.NDArray[np.int64] = self.numbers[self.names[name]]
        return row

    def size(self, name: str) -> Sizes:
        """Return a field's row of `sizes`, n."""
        row: Sizes = self.sizes[self.names[name]]
        return row

    def has_any(self, *names: str) -> bool:
        """Return whether any of the fields has a value in any record."""
        return any(bool((self.size(name) >= 0).any()) for name in names)
