"""A block's views of its values, and what is left of it beyond an offset."""

import numpy as np
import pytest

from app.engine.block import Block, Reading
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.schemas.records import tick

CODEC = RecordCodec("tick", built_in())
BROKEN = b"no tick"


def value(sequence: int) -> bytes:
    return CODEC.encode(tick(sequence=sequence))


def block(
    *offsets: int, broken: tuple[int, ...] = (), columnar: bool = True, walked: bool = False
) -> Block:
    """Return a block of ticks whose sequence, key and time are made of their offset."""
    return Block(
        "ticks.v1",
        3,
        pack(BROKEN if at in broken else value(at) for at in offsets),
        pack(f"key {at}".encode() for at in offsets),
        np.array(offsets, np.int64),
        np.array([1_000_000 + at for at in offsets], np.int64),
        Reading("tick", built_in(), columnar=columnar, walked=walked),
        epoch=7,
    )


def shown(of: Block) -> list[tuple[int, bytes | None, bytes | None, int]]:
    return list(zip(of.offsets.tolist(), of.values, of.keys, of.appended_us.tolist(), strict=True))


def rows(of: Block) -> list[tuple[int, int, int]]:
    """Return row, offset and sequence of the good ones."""
    return of.decoded().frame.select("row", "offset", "sequence").rows()


@pytest.mark.parametrize("offsets", [(4,), (4, 5, 6), (4, 5, 9, 10, 40)])
@pytest.mark.parametrize("ready", [False, True])
def test_what_is_beyond_an_offset_is_what_a_block_of_it_alone_would_be(
    offsets: tuple[int, ...], ready: bool
) -> None:
    for beyond in range(2, 42):
        whole = block(*offsets, broken=(5, 10))
        if ready:
            whole.decoded()
            whole.columns()
            whole.records()
        rest = whole.after(beyond)

        kept = [at for at in offsets if at > beyond]
        if rest is None:
            assert kept == []
            continue
        alone = block(*kept, broken=(5, 10))
        assert shown(rest) == shown(alone)
        assert rows(rest) == rows(alone)
        assert rest.decoded().bad == alone.decoded().bad
        assert rest.records() == alone.records()
        assert (rest.topic, rest.partition, rest.epoch) == ("ticks.v1", 3, 7)
        assert (rest.last_offset, len(rest)) == (kept[-1], len(kept))


def test_a_block_wholly_beyond_is_the_same_one() -> None:
    whole = block(4, 5)
    assert whole.after(3) is whole
    assert whole.after(-1) is whole


def test_columns_of_what_is_beyond_are_of_those_records_alone() -> None:
    whole = block(4, 5, 6)
    assert whole.columns() is not None
    rest = whole.after(4)
    assert rest is not None
    found = rest.columns()
    assert found is not None
    assert found.number("sequence").tolist() == [5, 6]


def test_last_offset_and_time_are_plain_numbers() -> None:
    """They go into records and JSON, which take none of numpy's."""
    last = block(4, 9)
    assert (type(last.last_offset), last.last_offset) == (int, 9)
    assert (type(last.append_us), last.append_us) == (int, 1_000_009)


def test_offsets_stand_beside_the_good_records() -> None:
    found = block(4, 5, 9, 10, broken=(5,))
    assert rows(found) == [(0, 4, 4), (2, 9, 9), (3, 10, 10)]
    assert [bad.row for bad in found.decoded().bad] == [1]


def test_records_come_one_by_one_with_their_rows() -> None:
    good, bad = block(4, 5, 9, broken=(4,)).records()
    assert [(row, record["sequence"]) for row, record in good] == [(1, 5), (2, 9)]
    assert [each.row for each in bad] == [0]


def test_there_are_columns_only_if_every_record_is_plain() -> None:
    found = block(4, 5).columns()
    assert found is not None
    assert found.number("sequence").tolist() == [4, 5]
    assert block(4, 5, broken=(5,)).columns() is None


@pytest.mark.parametrize(
    ("of", "made"),
    [
        (block(4, columnar=True), {"_decoded"}),
        (block(4, columnar=False), {"_records"}),
        (block(4, walked=True), {"_columns"}),
        (block(4, 5, walked=True, broken=(5,)), {"_decoded"}),
    ],
)
def test_what_is_prepared_is_what_agents_want(of: Block, made: set[str]) -> None:
    of.prepare()
    views = {"_decoded", "_records", "_columns"}
    assert {name for name in views if getattr(of, name) is not None} == made
    first = {name: getattr(of, name) for name in made}
    _ = of.decoded(), of.records(), of.columns()
    assert all(getattr(of, name) is view for name, view in first.items())
