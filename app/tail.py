"""How far our own outputs go: read from their ends when a partition is taken over.

An output record carries the offset of what caused it and outputs of a partition are in that
order, so the last one tells what a replay need not publish again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import polars as pl

from app import topics
from app.log_reader import TO_THE_END, LogReader
from app.topics import Topic
from schemas.block import decode
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.wire import Undecodable

STEP = 1_000
SHALLOWEST, DEEPEST = 16, 256
"""Records looked at for each tick kept a series, at first and at most."""
BROKERS_DIFFER_US = 600_000_000
"""How much the clocks of two brokers, whose append times are compared, may differ."""

OffsetOf = Callable[[Mapping[str, Any]], int]


class Tail:
    """The ends of the topics that this worker writes.

    Args:
        reader: Reads ranges of them.
        registry: How their values are read.
    """

    def __init__(self, reader: LogReader, registry: Registry) -> None:
        self._reader = reader
        self._registry = registry

    def name(self, topic: Topic) -> str:
        """Return a topic's name on the broker."""
        return self._reader.prefix + topic.name

    def end(self, topic: Topic, partition: int) -> int:
        """Return the offset that the next record of a partition gets."""
        return self._reader.bounds(topic, partition)[1]

    def ticks(self, partition: int, window: int) -> Iterator[pl.DataFrame]:
        """Yield the last `window` ticks of a partition of ticks.v1, oldest first, in blocks."""
        for values in self._last(topics.TICKS, partition, window):
            yield decode(values, topics.TICKS.schema, self._registry).frame

    def dead_letters_beyond(self, source: Topic, partition: int, offset: int) -> set[int]:
        """Return the offsets of `source` beyond one that are in the dead letters of a partition.

        They are there in order, and those of other topics between: the end is read in growing
        steps until an earlier one of `source` is met.
        """
        codec = RecordCodec(topics.DEAD_LETTERS.schema, self._registry)
        name = self._reader.prefix + source.name
        step = STEP
        while True:
            found, read = set(), 0
            for values in self._last(topics.DEAD_LETTERS, partition, step):
                read += len(values)
                for value in values:
                    with suppress(Undecodable):
                        letter = codec.decode(value or b"")
                        if letter["topic"] == name:
                            found.add(letter["offset"])
            if read < step or (found and min(found) <= offset):
                return {each for each in found if each > offset}
            step *= 10

    def refused_through(self, source: Topic, partition: int, by: str, start: int) -> int:
        """Return the highest offset at or beyond `start` that agent `by` has refused, or -1.

        A dead letter is appended after its record: none older than the record at `start` is read.
        """
        began = next(self._reader.records(source, partition, start, TO_THE_END), None)
        if began is None:
            return -1
        append_us = began[0].timestamp()[1] * 1000 - BROKERS_DIFFER_US
        first = self._reader.since(topics.DEAD_LETTERS, partition, max(0, append_us))
        through = -1
        place = f"{self._reader.prefix}{source.name}|{partition}|"
        for letters in self._reader.records(topics.DEAD_LETTERS, partition, first, TO_THE_END):
            for letter in letters:
                key = (letter.key() or b"").decode(errors="replace")
                if key.startswith(place) and key.endswith(f"|{by}"):
                    through = max(through, int(key.split("|")[2]))
        return through if through >= start else -1

    def newest_ticks(self, partition: int, keep: int) -> Iterator[pl.DataFrame]:
        """Yield ticks from the end of a partition of ticks.v1, with their `offset`, newest first.

        As far back as it takes until each series met has `keep` of them; `DEEPEST` times `keep`
        records at most.
        """
        first, stop = self._reader.bounds(topics.TICKS, partition)
        end, depth = stop, SHALLOWEST
        met: Counter[tuple[str, str]] = Counter()
        while first < stop:
            start = max(first, end - depth * keep)
            for messages in self._reader.records(topics.TICKS, partition, start, stop):
                values = [message.value() for message in messages]
                frame = decode(values, topics.TICKS.schema, self._registry).frame
                offsets = pl.Series("offset", [message.offset() for message in messages])
                yield frame.with_columns(offsets.gather(frame["row"]))
                counts = frame.group_by("symbol", "venue").len().iter_rows()
                met.update({(symbol, venue): count for symbol, venue, count in counts})
            if depth >= DEEPEST or (met and min(met.values()) >= keep):
                return
            stop, depth = start, 4 * depth

    def late_through(self, partition: int) -> int:
        """Return the highest offset of ticks.v1 among the late ticks of a partition, or -1."""
        return self._through(topics.LATE, partition, lambda late: late["tick_offset"])

    def whole(self, topic: Topic, partition: int) -> Iterator[list[dict[str, Any]]]:
        """Yield every record of a partition, in blocks; what is no record is passed over."""
        codec = RecordCodec(topic.schema, self._registry)
        for values in self._last(topic, partition, TO_THE_END):
            records = []
            for value in values:
                with suppress(Undecodable):
                    records.append(codec.decode(value or b""))
            yield records

    def _through(self, topic: Topic, partition: int, offset_of: OffsetOf) -> int:
        codec = RecordCodec(topic.schema, self._registry)
        step = STEP
        while True:
            found, read = -1, 0
            for values in self._last(topic, partition, step):
                read += len(values)
                for value in values:
                    try:
                        found = max(found, offset_of(codec.decode(value or b"")))
                    except Undecodable:
                        continue
            if found >= 0 or read < step:
                return found
            step *= 10

    def _last(self, topic: Topic, partition: int, count: int) -> Iterator[list[bytes | None]]:
        """Yield the values of the last `count` records in blocks, fewer when there are fewer."""
        _, end = self._reader.bounds(topic, partition)
        for messages in self._reader.records(topic, partition, max(0, end - count), end):
            yield [message.value() for message in messages]
