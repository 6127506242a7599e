import pytest

from schemas.registry import UnknownId, built_in
from schemas.wire import Undecodable, frame, unframe


def test_a_frame_is_byte_0_the_id_and_the_payload() -> None:
    assert frame(258, b"xyz") == b"\x00\x00\x00\x01\x02xyz"
    assert unframe(frame(258, b"xyz")) == (258, b"xyz")


def test_ids_use_all_32_bits() -> None:
    assert unframe(frame((1 << 32) - 1, b"")) == ((1 << 32) - 1, b"")


def test_a_reason_outside_the_set_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Undecodable("because", "")


def test_an_id_outside_the_manifest_is_unknown() -> None:
    with pytest.raises(UnknownId, match="was 4711"):
        built_in().writer(4711)
