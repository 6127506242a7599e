"""The log as the bars' core looks back into it: ticks, clock ticks and bars already published."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from confluent_kafka import Message

from app import topics
from app.domain.amender import Published
from app.domain.trades import Name, Trades, of_columns, of_frame
from app.log_reader import TO_THE_END, LogReader
from app.topics import Topic
from schemas.block import columns, decode
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import Registry

NOTHING = Published(0, 0)


class ClockTick(NamedTuple):
    """A clock tick: its time, µs, and the offset of ticks.v1 after which it counts."""

    at_us: int
    tick_offset: int


class TickLog:
    """What was written to one partition of our topics.

    Args:
        reader: Reads ranges of them.
        registry: How their values are read.
        partition: The partition.
    """

    def __init__(self, reader: LogReader, registry: Registry, partition: int) -> None:
        self._reader = reader
        self._registry = registry
        self._partition = partition

    def ticks(self, start: int, stop: int) -> Iterator[Trades]:
        """Yield the ticks of [start, stop) of ticks.v1, in blocks, in order."""
        for messages in self._records(topics.TICKS, start, stop):
            values = pack(message.value() for message in messages)
            offsets = np.fromiter((m.offset() for m in messages), np.int64, len(messages))
            appended_us = np.zeros(len(messages), np.int64)
            found = columns(values, topics.TICKS.schema, self._registry)
            if found is not None:
                yield of_columns(found, offsets, appended_us)
                continue
            frame = decode(values, topics.TICKS.schema, self._registry).frame
            rows = frame["row"].to_numpy()
            numbered = frame.with_columns(pl.Series("offset", offsets[rows]))
            yield of_frame(numbered, appended_us[rows])

    def since(self, append_us: int) -> int:
        """Return the first offset of ticks.v1 appended at or after a time."""
        return self._reader.since(topics.TICKS, self._partition, append_us)

    def clocks(self, after: int) -> list[ClockTick]:
        """Return the clock ticks that count at or beyond an offset of ticks.v1, in order.

        Each counts at the time at which it was appended. One that counts earlier than the one
        before it was written by a zombie, and never counted.
        """
        codec = RecordCodec(topics.CLOCK.schema, self._registry)
        found: list[ClockTick] = []
        newest = -1
        for messages in self._records(topics.CLOCK, 0, TO_THE_END):
            for message in messages:
                record = codec.decode(message.value())
                offset = record["tick_offset"]
                if offset < newest:
                    continue
                newest = offset
                if offset >= after:
                    found.append(ClockTick(message.timestamp()[1] * 1000, offset))
        return found

    def first(self) -> int:
        """Return the first offset of ticks.v1 that is still there."""
        return self._reader.bounds(topics.TICKS, self._partition)[0]

    def published(
        self, name: Name, opens: Mapping[str, Collection[int]]
    ) -> dict[tuple[str, int], Published]:
        """Return what stands of some bars in bars.v1, by timeframe and open time, µs."""
        wanted = pl.DataFrame(
            [(frame, at) for frame, each in opens.items() for at in each],
            schema={"timeframe": pl.String, "at": pl.Int64},
            orient="row",
        )
        newest: dict[tuple[str, int], Published] = {}
        venue, symbol = name
        for messages in self._records(topics.BARS, 0, TO_THE_END):
            values = pack(message.value() for message in messages)
            bars = decode(values, topics.BARS.schema, self._registry).frame
            mine = bars.filter((pl.col("symbol") == symbol) & (pl.col("venue") == venue)).select(
                "timeframe", pl.col("open_time").to_physical().alias("at"), "revision", "late"
            )
            for frame, at, *stands in mine.join(wanted, on=["timeframe", "at"]).iter_rows():
                known = newest.get((frame, at), NOTHING)
                newest[frame, at] = max(known, Published(*stands))
        return newest

    def _records(self, topic: Topic, start: int, stop: int) -> Iterator[list[Message]]:
        return self._reader.records(topic, self._partition, start, stop)
