import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.packed import PADDING, Packed, pack

VALUES = [b"abc", None, b"", b"d" * 300, None]

values = st.lists(st.none() | st.binary(max_size=40), max_size=8)


@given(values)
def test_values_come_back_as_they_were(held: list[bytes | None]) -> None:
    packed = pack(held)

    assert len(packed) == len(held)
    assert list(packed) == [packed[row] for row in range(len(held))] == held
    assert len(packed.buffer) == sum(len(value or b"") for value in held) + PADDING


@given(values, st.data())
def test_any_rows_may_be_taken_in_any_order(held: list[bytes | None], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.sampled_from(range(len(held))))) if held else []
    start, stop = data.draw(st.integers(-9, 9)), data.draw(st.integers(-9, 9))
    packed = pack(held)

    assert list(packed.take(np.array(rows, np.int64))) == [held[row] for row in rows]
    assert list(packed[start:stop]) == held[start:stop]
    assert list(packed.take(slice(start, stop, 2))) == held[start:stop:2]


def test_values_are_joined_in_their_own_order() -> None:
    packed = pack(VALUES).take(np.array([3, 1, 0, 0]))

    assert packed.joined(b"<", b">").tobytes() == b"<" + b"d" * 300 + b"abcabc>"
    assert pack([]).joined().tobytes() == b""


def test_positions_are_contiguous_and_the_buffer_writable() -> None:
    """Or every loop over them would be compiled again."""
    taken = pack(VALUES)[::2]

    for array in (taken.buffer, taken.starts, taken.ends):
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert (taken.buffer.dtype, taken.starts.dtype, taken.ends.dtype) == ("u1", "i8", "i8")


@pytest.mark.parametrize("by", [-1, PADDING + 1, 1 << 40])
def test_a_value_beyond_the_buffer_is_not_read(by: int) -> None:
    packed = pack([b"abc"])
    astray = Packed(packed.buffer, packed.starts + by, packed.ends + by)

    with pytest.raises(IndexError, match="a value must lie in the buffer"):
        astray.joined()
