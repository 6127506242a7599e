"""What agents publish: each noun encoded, keyed and sent to the partition of its symbol."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from app import topics
from app.domain.bars import BarRow
from app.domain.normalize import Normalized
from app.engine.block import Block
from app.engine.publisher import Publisher
from app.metrics import Metrics
from app.partitions import partition_of
from app.topics import Topic
from schemas.record import RecordCodec
from schemas.registry import Registry
from schemas.row_pack import RowPacker

Record = Mapping[str, object]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Outlets:
    """The publishing side of the agents of one worker.

    Args:
        publisher: Where records go.
        registry: Ids of the schemas they are written with.
        metrics: What is counted.
        partitions: Partitions of every topic of the flow.
        prefix: Put before every topic's name.
    """

    def __init__(
        self,
        publisher: Publisher,
        registry: Registry,
        metrics: Metrics,
        *,
        partitions: int,
        prefix: str = "",
    ) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._partitions = partitions
        self._prefix = prefix
        self._bars = RowPacker(topics.BARS.schema, registry)
        self._codecs = {topic: RecordCodec(topic.schema, registry) for topic in topics.ALL}

    def ticks(self, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]) -> None:
        """Publish accepted ticks, already encoded, in raw order."""
        if values:
            self._publisher.publish_many(self._name(topics.TICKS), partition, keys, values)

    def bars(self, bars: Iterable[BarRow], partition: int) -> None:
        """Publish bars."""
        name, pack, publish = self._name(topics.BARS), self._bars.pack, self._publisher.publish
        for bar in bars:
            key = f"{bar.symbol}@{bar.venue}|{bar.timeframe}|{bar.open_time}"
            publish(name, partition, key.encode(), pack(bar))
            self._metrics.bar(bar.timeframe, bar.reason)

    def quotes(self, quotes: Iterable[Record], partition: int) -> None:
        """Publish latest quotes."""
        for quote in quotes:
            self._send(topics.QUOTES, partition, f"{quote['symbol']}@{quote['venue']}", quote)

    def late(self, ticks: Sequence[Record], partition: int) -> None:
        """Publish trades that came after their bar was final."""
        for tick in ticks:
            self._send(topics.LATE, partition, str(tick["symbol"]), tick)
        self._metrics.late(len(ticks))

    def clock(self, now_us: int, partition: int, tick_offset: int) -> int:
        """Publish a tick of the clock and return when Kafka appended it; call it from a thread."""
        record = {
            "time": _EPOCH + timedelta(microseconds=now_us),
            "source": "bars",
            "tick_offset": tick_offset,
        }
        value = self._codecs[topics.CLOCK].encode(record)
        name = self._name(topics.CLOCK)
        return self._publisher.append(name, partition, str(partition).encode(), value)

    def gap(self, gap: Record, partition: int) -> None:
        """Publish a gap found or repaired."""
        key = f"{gap['symbol']}@{gap['venue']}|{gap['from_id']}"
        self._send(topics.GAPS, partition, key, gap)

    def dead_letter(self, block: Block, row: int, reason: str, detail: str, by: str = "") -> None:
        """Publish a refused record of a block, whole, with its position and the reason.

        Args:
            block: Where it is.
            row: Its place in the block.
            reason: A code of a closed set.
            detail: The thing, the rule and the value.
            by: The agent that refuses it, where several read the same topic; part of the key.
        """
        offset = int(block.offsets[row])
        letter = {
            "topic": block.topic,
            "partition": block.partition,
            "offset": offset,
            "append_time": _EPOCH + timedelta(microseconds=int(block.appended_us[row])),
            "key": block.keys[row],
            "value": block.values[row],
            "reason": reason,
            "detail": detail,
        }
        key = letter_key(block.topic, block.partition, offset, by)
        self._send(topics.DEAD_LETTERS, block.partition, key, letter)
        self._metrics.dead_letter(reason)

    def flush(self) -> None:
        """Wait until all that was published is acknowledged; call it from a thread."""
        self._publisher.flush()

    def reroute(self, value: bytes | None, symbol: str) -> None:
        """Publish a raw tick again, under its canonical symbol, in that symbol's partition."""
        if value is None:
            raise AssertionError("a tombstone is refused, never rerouted")
        codec = self._codecs[topics.RAW]
        tick = {**codec.decode(value), "symbol": symbol}
        self._send(topics.RAW, partition_of(symbol, self._partitions), symbol, tick)

    def count(self, done: Normalized) -> None:
        """Count what normalization did with one block."""
        repaired = sum(1 for gap in done.gaps if gap["repaired_at"] is not None)
        gaps = {"found": len(done.gaps) - repaired, "repaired": repaired}
        self._metrics.normalized(len(done.duplicates), len(done.rerouted), gaps, done.flags)

    def _send(self, topic: Topic, partition: int, key: str, record: Record) -> None:
        value = self._codecs[topic].encode(record)
        self._publisher.publish(self._name(topic), partition, key.encode(), value)

    def _name(self, topic: Topic) -> str:
        return self._prefix + topic.name


def letter_key(topic: str, partition: int, offset: int, by: str) -> str:
    """Return the key of a dead letter: the record's place, and who refused it, if that is told."""
    return f"{topic}|{partition}|{offset}" + (f"|{by}" if by else "")
