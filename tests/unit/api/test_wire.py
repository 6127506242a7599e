import pytest
from websockets.frames import Frame, Opcode

from app.api.wire import frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
@pytest.mark.parametrize("binary", [False, True])
def test_a_frame_is_what_a_library_makes(size: int, *, binary: bool) -> None:
    opcode = Opcode.BINARY if binary else Opcode.TEXT

    assert frame(b"x" * size, binary=binary) == Frame(opcode, b"x" * size).serialize(mask=False)
