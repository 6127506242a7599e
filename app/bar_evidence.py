"""The parts of our topics that concern one bar: read where the bar says, and counted.

ticks.v1      first_offset to last_offset
ticks.raw.v1  from the first to the last raw offset of the bar's trades among them
ticks.dlq.v1  from the time of the first of those raw records to the letter behind the last,
              when some of them became no ticks
ticks.late.v1 from the time of the first tick on: one that came too late may be anywhere
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import polars as pl
from confluent_kafka import Message

from app import topics
from app.counted_log import CountedLog
from app.domain.bars import instant
from app.domain.evidence import Late, Target, Tick, accepted, touches, unaccepted
from app.domain.explain import Reason
from app.domain.ports import Row, bar_rank
from app.domain.times import EPOCH
from app.topics import Topic
from schemas.block import Bad, decode
from schemas.record import RecordCodec
from schemas.registry import Registry

SKEW_US = 5_000_000
"""How far the clocks of two brokers may be apart."""


class Block(NamedTuple):
    """Part of ticks.v1.

    Attributes:
        ticks: The trades of the bar, and the corrections and cancels of its series.
        bad: What is no tick, under the symbol's key.
        appended_us: When its first record was appended, µs.
        after: The highest raw offset up to its end.
    """

    ticks: list[Tick]
    bad: list[tuple[Tick, Reason]]
    appended_us: int
    after: int


class Survey(NamedTuple):
    """What must be known of the ticks before any is judged.

    Attributes:
        amendments: Corrections and cancels of the series by the trade they name, in order.
        known: Raw offsets of the bar's trades and of the amendments.
        raw: From the first to the last raw offset of the bar's trades; empty for none.
        appended_us: When the first record was appended, µs; None when none is left.
        after: The highest raw offset of all.
    """

    amendments: dict[str, list[Tick]]
    known: pl.Series
    raw: range
    appended_us: int | None
    after: int


def emissions(
    log: CountedLog, registry: Registry, partition: int, target: Target, timeframe: str
) -> list[Row]:
    """Return what bars.v1 still has of the bar that opens with `target`, the newest last."""
    key = f"{target.symbol}@{target.venue}|{timeframe}|{target.open_us}"
    found = _keyed(log, registry, topics.BARS, partition, key.encode())
    opened = instant(target.open_us)
    return sorted((bar for bar in found if bar["open_time"] == opened), key=bar_rank)


class BarEvidence:
    """Reads what one partition says about one bar.

    Args:
        log: Reads parts of topics.
        registry: How their values are read.
        partition: The partition.
        target: The bar.
    """

    def __init__(self, log: CountedLog, registry: Registry, partition: int, target: Target) -> None:
        self._log = log
        self._registry = registry
        self._partition = partition
        self._target = target
        self._key = target.symbol.encode()

    def gaps(self) -> list[Row]:
        """Return the newest record of each gap that touches the bar, in the order of the ids."""
        begin = f"{self._target.symbol}@{self._target.venue}|".encode()
        found = _keyed(self._log, self._registry, topics.GAPS, self._partition, begin)
        by_id = {gap["from_id"]: gap for gap in found}
        return [gap for _, gap in sorted(by_id.items()) if touches(gap, self._target)]

    def survey(self, start: int, stop: int, after: int = -1) -> Survey:
        """Read the ticks of [start, stop) and return what must be known of them."""
        amendments: dict[str, list[Tick]] = {}
        raw: list[int] = []
        known = [pl.Series([], dtype=pl.Int64)]
        appended_us = None
        for block in self.ticks(start, stop, after):
            appended_us = block.appended_us if appended_us is None else appended_us
            after = block.after
            at = [tick.raw_offset for tick in block.ticks]
            known.append(pl.Series(at, dtype=pl.Int64).drop_nulls())
            trades = [tick for tick in block.ticks if tick.action == "NEW"]
            used = [t.raw_offset for t in trades if t.raw_offset is not None and t.behind is None]
            raw += used and [used[0], used[-1] + 1]
            for tick in block.ticks:
                if tick.action != "NEW":
                    amendments.setdefault(tick.trade_id or "", []).append(tick)
        span = range(raw[0], raw[-1]) if raw else range(0)
        return Survey(amendments, pl.concat(known), span, appended_us, after)

    def ticks(self, start: int, stop: int, after: int = -1) -> Iterator[Block]:
        """Read the ticks of [start, stop), in blocks; `after` is the raw offset before them."""
        for messages in self._records(topics.TICKS, start, stop):
            frame, bad = self._decoded(topics.TICKS, messages)
            ticks, after = accepted(frame, self._target, after)
            broken = [
                (Tick(messages[row].offset(), None), Reason(reason, detail))
                for row, reason, detail in bad
                if messages[row].key() == self._key
            ]
            yield Block(ticks, broken, _appended_us(messages[0]), after)

    def late(self, appended_us: int | None) -> list[tuple[Tick, Late]]:
        """Return the late ticks of the bar.

        Args:
            appended_us: When its first tick was appended, µs; None reads all there are.
        """
        low, high = self._log.bounds(topics.LATE, self._partition)
        if appended_us is not None:
            low = max(low, self._since(topics.LATE, appended_us))
        codec = RecordCodec(topics.LATE.schema, self._registry)
        found = [
            _late(codec.decode(message.value()))
            for messages in self._records(topics.LATE, low, high)
            for message in messages
            if message.key() == self._key
        ]
        wanted = range(self._target.open_us, self._target.close_us)
        return [
            (tick, late)
            for venue, tick, late in found
            if venue == self._target.venue and tick.event_us in wanted
        ]

    def unaccepted(self, survey: Survey) -> list[tuple[Tick, Reason | None]]:
        """Return the raw records of the bar that became no ticks, in order.

        Bytes that are no tick have no time and no venue: they are here when they came under the
        symbol's key. A reason of None is that of a duplicate.
        """
        found: list[tuple[Tick, Reason | None]] = []
        appended_us = None
        for messages in self._records(topics.RAW, survey.raw.start, survey.raw.stop):
            appended_us = _appended_us(messages[0]) if appended_us is None else appended_us
            frame, bad = self._decoded(topics.RAW, messages)
            found += [(tick, None) for tick in unaccepted(frame, self._target, survey.known)]
            found += [
                (Tick(None, messages[row].offset()), Reason(reason, detail))
                for row, reason, detail in bad
                if messages[row].key() == self._key
            ]
        if not found or appended_us is None:
            return []
        found.sort(key=lambda each: each[0].raw_offset or 0)
        letters = self._letters({tick.raw_offset for tick, _ in found}, survey.raw, appended_us)
        return [
            (tick, letters.get(tick.raw_offset, reason))
            for tick, reason in found
            # Without a letter a record of the bar is a duplicate; of a quote that is no matter.
            if tick.raw_offset in letters or reason or tick.price is not None
        ]

    def is_whole(self) -> bool:
        """Return whether the topic still had all the ticks that were asked for so far."""
        return not any(read.gone for read in self._log.reads if read.topic == topics.TICKS.name)

    def end(self) -> int:
        """Return the offset of ticks.v1 that the next tick gets."""
        return self._log.bounds(topics.TICKS, self._partition)[1]

    def _letters(
        self, wanted: set[int | None], raw: range, appended_us: int
    ) -> dict[int | None, Reason]:
        codec = RecordCodec(topics.DEAD_LETTERS.schema, self._registry)
        name = self._log.prefix + topics.RAW.name
        found: dict[int | None, Reason] = {}
        start = self._since(topics.DEAD_LETTERS, appended_us)
        _, stop = self._log.bounds(topics.DEAD_LETTERS, self._partition)
        for messages in self._records(topics.DEAD_LETTERS, start, stop):
            for message in messages:
                letter = codec.decode(message.value())
                if (letter["topic"], letter["partition"]) != (name, self._partition):
                    continue
                if letter["offset"] >= raw.stop:
                    return found  # letters of one topic are in its order
                if letter["offset"] in wanted:
                    found[letter["offset"]] = Reason(letter["reason"], letter["detail"])
        return found

    def _decoded(self, topic: Topic, messages: list[Message]) -> tuple[pl.DataFrame, list[Bad]]:
        values = [message.value() for message in messages]
        frame, bad = decode(values, topic.schema, self._registry)
        offsets = pl.Series([message.offset() for message in messages], dtype=pl.Int64)
        return frame.with_columns(offset=offsets.gather(frame["row"])), bad

    def _records(self, topic: Topic, start: int, stop: int) -> Iterator[list[Message]]:
        return self._log.records(topic, self._partition, start, stop)

    def _since(self, topic: Topic, appended_us: int) -> int:
        return self._log.since(topic, self._partition, max(0, appended_us - SKEW_US))


def _keyed(
    log: CountedLog, registry: Registry, topic: Topic, partition: int, begin: bytes
) -> list[Row]:
    """Return the records of a whole partition whose key begins so."""
    codec = RecordCodec(topic.schema, registry)
    return [
        codec.decode(message.value())
        for messages in log.records(topic, partition, *log.bounds(topic, partition))
        for message in messages
        if (message.key() or b"").startswith(begin) and message.value() is not None
    ]


def _late(record: Row) -> tuple[str, Tick, Late]:
    tick = Tick(
        record["tick_offset"], None, _us(record["event_time"]), record["sequence"],
        record["trade_id"], record["price"], record["size"],
    )  # fmt: skip
    return record["venue"], tick, Late(_us(record["stream_time"]), record["revised"])


def _us(at: datetime) -> int:
    elapsed = at - EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds


def _appended_us(message: Message) -> int:
    return int(message.timestamp()[1]) * 1000
