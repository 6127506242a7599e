"""The scan alone: behind it polars may read on into a neighbour without a word."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import grammar
from schemas.layout import layout
from schemas.record import RecordCodec
from schemas.registry import built_in, current
from schemas.scan import PADDING, plain
from schemas.wire import Undecodable
from tests.unit.schemas.records import records, tick
from tests.unit.schemas.traps import TRAPS

TICK = RecordCodec("tick", built_in())
PAYLOADS = {
    name: trap.value[5:]
    for name, trap in TRAPS.items()
    if trap.value is not None and trap.value[:5] == b"\0\0\0\0\x01"
}


def is_plain(payload: bytes, *, ascii_only: bool = False) -> bool:
    """Return what the scan says of a tick between two others."""
    between = TICK.encode(tick())[5:]
    ends = np.cumsum([len(between), len(payload), len(between)])
    starts = np.concatenate(([0], ends[:-1]))
    buffer = between + payload + between + bytes(PADDING)
    marks = plain(buffer, starts, ends, layout("tick"), ascii_only=ascii_only)
    assert marks[0] == marks[2] == True  # noqa: E712 - of numpy
    return bool(marks[1])


@pytest.mark.parametrize("name", PAYLOADS)
def test_what_is_no_record_is_not_plain(name: str) -> None:
    """Texts aside, which are polars' to check; a whole record too long is the block's."""
    if is_plain(PAYLOADS[name]):
        reason = TRAPS[name].reason
        assert reason is None or "UTF-8" in name or "megabyte" in name


@settings(max_examples=80, deadline=None)
@given(records("tick"), st.integers(0, 60), st.integers(0, 255))
def test_plain_is_a_record_whatever_byte_is_changed(
    record: dict[str, Any], at: int, byte: int
) -> None:
    payload = TICK.encode(record)[5:]
    changed = payload[:at] + bytes([byte]) + payload[at + 1 :]

    if is_plain(changed, ascii_only=True):
        grammar.check(changed, current("tick"))


def test_an_ordinary_tick_is_plain() -> None:
    """Or every block would go the slow way, and no other test would tell."""
    full = dict.fromkeys(("bid", "ask", "bid_size", "ask_size"), "1.5")
    ordinary = tick(**full, conditions=["@", "T"], sector="x" * 100, quality=5, raw_offset=1 << 40)

    assert is_plain(TICK.encode(tick())[5:], ascii_only=True)
    assert is_plain(TICK.encode(ordinary)[5:], ascii_only=True)


def test_a_text_beyond_ascii_is_plain_unless_ascii_is_asked_for() -> None:
    payload = TICK.encode(tick(source="é", conditions=["é"]))[5:]

    assert is_plain(payload)
    assert not is_plain(payload, ascii_only=True)


def test_the_grammar_refuses_what_the_record_codec_refuses() -> None:
    for name, payload in PAYLOADS.items():
        if TRAPS[name].reason in {"not_avro", "truncated", "trailing_bytes"}:
            with pytest.raises(Undecodable):
                grammar.check(payload, current("tick"))
