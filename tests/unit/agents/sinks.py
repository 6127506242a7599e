"""What the sinks are wired to, without servers: a log of what they publish, and its end."""

from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import polars as pl

from app.breaker import Breaker
from app.domain.ports import Row
from app.engine.block import Block, Reading
from app.engine.publisher import Publisher
from app.engine.sink import Sink, Store
from app.metrics import Metrics
from app.outlets import Outlets
from app.refusals import Refusals
from app.tail import Tail
from app.topics import BARS, DEAD_LETTERS, TICKS, Topic
from schemas.packed import pack
from schemas.record import RecordCodec
from schemas.registry import built_in

PARTITION = 2


class Log:
    """Records in the order they were published, and how many of them are acknowledged."""

    def __init__(self) -> None:
        self.letters: list[tuple[str, Row]] = []
        self.acknowledged = 0
        self._codec = RecordCodec(DEAD_LETTERS.schema, built_in())

    def publish(self, _topic: str, _partition: int, key: bytes, value: bytes) -> None:
        self.letters.append((key.decode(), self._codec.decode(value)))

    def flush(self) -> None:
        self.acknowledged = len(self.letters)

    def places(self) -> list[tuple[str, int]]:
        """Return key and offset of each dead letter."""
        return [(key, letter["offset"]) for key, letter in self.letters]


class Ends:
    """The ends of topics as they would be read from Kafka."""

    def __init__(self, log: Log, ticks: pl.DataFrame, records: list[Row]) -> None:
        self._log, self._ticks, self._records = log, ticks, records
        self.looked = 0

    def refused_through(self, source: Topic, partition: int, by: str, start: int) -> int:
        self.looked += 1
        place = f"{source.name}|{partition}|"
        return max(
            (
                letter["offset"]
                for key, letter in self._log.letters
                if key.startswith(place) and key.endswith(f"|{by}") and letter["offset"] >= start
            ),
            default=-1,
        )

    def newest_ticks(self, _partition: int, _keep: int) -> Iterator[pl.DataFrame]:
        yield self._ticks

    def whole(self, _topic: Topic, _partition: int) -> Iterator[list[Row]]:
        yield self._records


class Bench:
    """One worker's parts; `restarted` gives those of the next one."""

    def __init__(self, log: Log | None = None) -> None:
        self.log = log or Log()
        self.metrics = Metrics("hot")
        self.ticks = pl.DataFrame()
        self.records: list[Row] = []

    def restarted(self) -> "Bench":
        """Return the next worker: only what was published is left."""
        return Bench(self.log)

    def sink(self, store: Store) -> Sink:
        """Return a sink that waits for next to nothing."""
        return Sink(store, self.metrics, 5.0, Breaker(first_pause_s=0.01, longest_pause_s=0.02))

    @property
    def tail(self) -> Tail:
        """Reads the ends of the topics."""
        return cast("Tail", Ends(self.log, self.ticks, self.records))

    def refusals(self, by: str, topic: Topic) -> Refusals:
        """Return where an agent's dead letters go."""
        publisher = cast("Publisher", self.log)
        outlets = Outlets(publisher, built_in(), self.metrics, partitions=4)
        return Refusals(by, topic, PARTITION, outlets, self.tail)


def block(topic: Topic, *records: Row | bytes, first: int = 10) -> Block:
    """Return a block of records from offset `first` on; bytes are values that are no record."""
    codec = RecordCodec(topic.schema, built_in())
    values = [each if isinstance(each, bytes) else codec.encode(each) for each in records]
    return Block(
        topic.name,
        PARTITION,
        pack(values),
        pack([b"key"] * len(values)),
        np.arange(first, first + len(values), dtype=np.int64),
        np.full(len(values), 1_700_000_000_000_000, np.int64),
        Reading(topic.schema, built_in(), columnar=topic is TICKS),
    )


def plain(row: dict[str, Any]) -> Row:
    """Return a record without what only our stores know."""
    return {name: value for name, value in row.items() if not name.startswith("_")}


__all__ = ["BARS", "PARTITION", "TICKS", "Bench", "block", "plain"]
