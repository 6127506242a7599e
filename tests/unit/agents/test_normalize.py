"""What normalization learns from its own outputs when it takes over a partition."""

from collections.abc import Iterator
from typing import cast

import polars as pl
import pytest

from agents.normalize import Normalize
from app.domain.normalize import Normalizer
from app.errors import LogShrunk
from app.outlets import Outlets
from app.tail import Tail
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.domain.test_normalize import NOW, RULES, run
from tests.unit.domain.ticks import block, tick


class Ends:
    """The ends of topics as they would be read from Kafka."""

    def __init__(self, published: pl.DataFrame, raw_end: int) -> None:
        self._published, self._raw_end = published, raw_end

    def ticks(self, _partition: int, _window: int) -> Iterator[pl.DataFrame]:
        yield self._published

    def end(self, _topic: object, _partition: int) -> int:
        return self._raw_end

    def dead_letters_through(self, _topic: object, _partition: int) -> int:
        return -1


def stage(core: Normalizer, published: pl.DataFrame, raw_end: int) -> Normalize:
    tail = cast("Tail", Ends(published, raw_end))
    codec = RecordCodec("tick", built_in())
    return Normalize(core, cast("Outlets", None), tail, codec)


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

    with pytest.raises(LogShrunk, match=r"ticks.raw.v1\[0\] ends at 40, .* up to 41"):
        await stage(Normalizer(RULES, 0), published, raw_end=40).begin()
