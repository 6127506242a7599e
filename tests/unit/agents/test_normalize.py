"""What normalization learns from its own outputs when it takes over a partition."""

from collections.abc import Collection, Iterator, Sequence
from typing import cast

import numpy as np
import polars as pl
import pytest

from agents.normalize import Normalize
from app.domain.normalize import Normalizer
from app.engine.block import Block, Reading
from app.errors import LogShrunk
from app.outlets import Outlets
from app.tail import Tail
from app.topics import Topic
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.domain.test_normalize import NOW, RULES, run
from tests.unit.domain.ticks import block, tick


class Ends:
    """The ends of topics as they would be read from Kafka."""

    def __init__(self, published: pl.DataFrame, raw_end: int, refused: Collection[int]) -> None:
        self._published, self._raw_end, self._refused = published, raw_end, refused

    def ticks(self, _partition: int, _window: int) -> Iterator[pl.DataFrame]:
        yield self._published

    def name(self, topic: Topic) -> str:
        return f"blue.{topic.name}"

    def end(self, _topic: object, _partition: int) -> int:
        return self._raw_end

    def dead_letters_beyond(self, _topic: object, _partition: int, offset: int) -> set[int]:
        return {each for each in self._refused if each > offset}


class Written:
    """What was published: raw offsets of ticks and of dead letters."""

    def __init__(self) -> None:
        self.ticked: list[int] = []
        self.refused: list[tuple[int, str]] = []

    def ticks(self, _partition: int, _keys: object, values: Sequence[bytes]) -> None:
        self.ticked += [CODEC.decode(value)["raw_offset"] for value in values]

    def dead_letter(self, block: Block, row: int, reason: str, _detail: str) -> None:
        self.refused.append((int(block.offsets[row]), reason))

    def count(self, _done: object) -> None:
        """Metrics are another's."""


CODEC = RecordCodec("tick", built_in())


def stage(
    core: Normalizer,
    published: pl.DataFrame,
    raw_end: int,
    refused: Collection[int] = (),
    out: Written | None = None,
) -> Normalize:
    tail = cast("Tail", Ends(published, raw_end, refused))
    return Normalize(core, cast("Outlets", out), tail, CODEC)


async def test_a_replay_finds_its_ticks_new_and_learns_their_ids_again() -> None:
    """Remembered beyond the fence they would be duplicates, and their ids a gap for ever."""
    core = Normalizer(RULES, 0)
    core.offset = 0  # the checkpoint before the crash
    published = block(tick(trade_id="1", raw_offset=0), tick(trade_id="2", raw_offset=1))
    await stage(core, published, raw_end=2).begin()

    replayed = run(core, tick(trade_id="2"), first_offset=1, now=NOW)
    repeated = run(core, tick(trade_id="1"), first_offset=2, now=NOW)
    assert (replayed.duplicates, repeated.duplicates) == ([], [0])


async def test_a_raw_topic_that_ends_before_what_was_published_is_refused() -> None:
    published = block(tick(raw_offset=41))

    with pytest.raises(LogShrunk, match=r"^blue\.ticks\.raw\.v1\[0\] ends at 40, .* up to 41"):
        await stage(Normalizer(RULES, 0), published, raw_end=40).begin()


async def test_what_was_refused_before_a_crash_stays_refused_and_is_told_once() -> None:
    """Though a registry knows its schema by now: the second record is good, and has its letter."""
    out = Written()
    core = Normalizer(RULES, 0)
    agent = stage(core, block(), raw_end=5, refused=[1, 2], out=out)
    await agent.begin()
    values = [CODEC.encode(tick(trade_id=n)) for n in ("1", "2")]
    offsets = np.arange(4)
    appended_us = np.full(4, NOW)
    raw = Block("ticks.raw.v1", 0, pack([*values, b"\x07", b"\x08"]), pack([b"BTC/USD"] * 4),
                offsets, appended_us, Reading("tick", built_in(), columnar=True))  # fmt: skip

    await agent.apply(raw)
    assert out.ticked == [0]
    assert out.refused == [(3, "wrong_magic")]
    assert run(core, tick(trade_id="2"), first_offset=4, now=NOW).duplicates == []
