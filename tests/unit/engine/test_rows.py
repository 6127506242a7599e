"""State rows know how far they go, whatever partitions come, stay and go."""

import random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from app.engine.rows import Rows

CHANGELOG = "bars-state-changelog"


class Written(NamedTuple):
    """One record of a changelog."""

    offset: int
    key: bytes
    value: bytes | None


def rows() -> Rows:
    """Return rows of a table that is none."""
    nothing: Any = SimpleNamespace(name="bars-state")
    return Rows("memory://", nothing, nothing)


def through(it: Rows, partition: int) -> int | None:
    return it.persisted_offset(TP(CHANGELOG, partition))


LOG = [
    Written(0, b"a", b"1"),
    Written(1, b"b", b"1"),
    Written(2, b"a", b"2"),
    Written(5, b"b", None),
    Written(6, b"c", b"1"),
]
"""Compaction took offsets 3 and 4."""
WHOLE = {b"a": b"2", b"c": b"1"}


def test_what_was_read_is_there_up_to_its_offset() -> None:
    it = rows()
    assert through(it, 0) is None

    it.read(0, LOG[:3])
    assert (dict(it.of(0)), through(it, 0)) == ({b"a": b"2", b"b": b"1"}, 2)
    it.read(0, LOG[3:])
    assert (dict(it.of(0)), through(it, 0)) == (WHOLE, 6)


def test_what_is_read_again_changes_nothing() -> None:
    """Faust begins with the last record that it knows of, and a fetch may be an old one."""
    it = rows()
    it.read(0, LOG)
    it.read(0, LOG[-1:])
    it.read(0, LOG[:2])

    assert (dict(it.of(0)), through(it, 0)) == (WHOLE, 6)


@pytest.mark.parametrize("seed", range(20))
def test_own_rows_that_are_read_again_give_the_same(seed: int) -> None:
    """A worker's own records are in before their offsets are known."""
    dice = random.Random(seed)
    log = [
        Written(offset, dice.choice([b"a", b"b", b"c"]), dice.choice([None, b"%d" % offset]))
        for offset in range(30)
    ]
    read, wrote = sorted(dice.sample(range(1, 30), 2))
    whole, it = rows(), rows()
    whole.read(0, log)
    it.read(0, log[:read])
    it.write(0, [(each.key, each.value) for each in log[read:wrote]])
    assert through(it, 0) == read - 1

    it.read(0, log[read:])

    assert it.of(0) == whole.of(0)
    assert through(it, 0) == 29


def test_settled_rows_need_no_reading() -> None:
    it = rows()
    it.write(0, [(b"a", b"1"), (b"b", None)])
    it.settle(0, 1)

    assert (dict(it.of(0)), through(it, 0)) == ({b"a": b"1"}, 1)


async def test_partitions_that_went_elsewhere_are_forgotten_and_begun_anew() -> None:
    """What another writes meanwhile would be missing."""
    it = rows()
    for partition in range(3):
        it.read(partition, LOG)

    await it.on_recovery_completed({TP(CHANGELOG, 0)}, {TP(CHANGELOG, 2)})

    assert [through(it, p) for p in range(3)] == [6, None, 6]
    assert [dict(it.of(p)) for p in range(3)] == [WHOLE, {}, WHOLE]
