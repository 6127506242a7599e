"""The ticks of a bench: seeded trades, 10,000 a second of event time, and the bars they make."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, NamedTuple

import polars as pl
from confluent_kafka import TopicPartition as Position
from confluent_kafka.admin import AdminClient

from app import topics
from app.cli.pace import Pace
from app.cli.recompute import WIDTHS, Key, Values, differences
from app.domain.simulator import Market, feed
from app.engine.publisher import Publisher
from app.partitions import partition_of
from app.topics import Topic
from connectors.kafka_admin import QUIET
from connectors.kafka_reader import read
from schemas.block import encode
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.bench.ground import BenchFailed, Ground

START_US = 1_700_000_000_000_000
TRADE_US = 100.0
"""Event time between two trades, unless told otherwise."""
TRADES_IN = 0.75
"""Share of the simulator's ticks that are trades."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLICE_S = 0.05
KEPT = ("symbol", "venue", "event_time", "sequence", "price", "size")


@dataclass(frozen=True, slots=True)
class Bars:
    """So many ticks make these bars."""

    ticks: int
    expected: dict[Key, Values]


def trades(
    count: int, symbols: int, seed: int = 7, trade_us: float = TRADE_US
) -> Iterator[pl.DataFrame]:
    """Yield exactly `count` trades in frames, each with a trade id and a sequence number."""
    left = count
    market = Market(seed=seed, symbols=symbols, start_us=START_US, step_us=trade_us * TRADES_IN)
    for frame in feed(market):
        block = frame.drop("poison").filter(pl.col("price").is_not_null()).head(left)
        yield block
        left -= len(block)
        if not left:
            return


class Sent(NamedTuple):
    """What was published: the columns `KEPT` of every tick, and a record's mean size."""

    ticks: pl.DataFrame
    bytes_per_tick: float


def publish(  # noqa: PLR0913 - all of them plain numbers and names
    here: Ground,
    count: int,
    symbols: int,
    topic: Topic,
    pace: Pace | None = None,
    trade_us: float = TRADE_US,
) -> Sent:
    """Publish trades to ticks.raw.v1, or to ticks.v1 as normalization would have."""
    publisher = Publisher(here.client)
    partitions = here.settings.partitions
    written = dict.fromkeys(range(partitions), 0)
    kept, size = [], 0
    for frame in _paced(trades(count, symbols, trade_us=trade_us), pace):
        kept.append(frame.select(KEPT))
        homes = {s: partition_of(s, partitions) for s in frame["symbol"].unique().to_list()}
        home = frame["symbol"].replace_strict(homes, return_dtype=pl.Int64)
        for partition in range(partitions):
            part = frame.filter(home == partition)
            if topic is topics.TICKS:
                begin = written[partition]
                part = part.with_columns(raw_offset=pl.int_range(begin, begin + len(part)))
            written[partition] += len(part)
            values = encode(part, topic.schema, built_in().id_of(topic.schema))
            size += sum(map(len, values))
            keys = [symbol.encode() for symbol in part["symbol"].to_list()]
            publisher.publish_many(here.settings.topic(topic), partition, keys, values)
    if topic is topics.TICKS:
        _expire(here, publisher, written)
    publisher.flush()
    return Sent(pl.concat(kept), size / count)


def _paced(frames: Iterator[pl.DataFrame], pace: Pace | None) -> Iterator[pl.DataFrame]:
    """Yield the frames, at a pace in slices of `SLICE_S`."""
    sent = 0
    for frame in frames:
        step = len(frame) if pace is None else max(1, round(pace.rate * SLICE_S))
        for part in frame.iter_slices(step):
            if pace is not None:
                pace.wait(sent)
            yield part
            sent += len(part)


def _expire(here: Ground, publisher: Publisher, written: dict[int, int]) -> None:
    """Leave ticks.raw.v1 as after retention: empty, and ending where the raw offsets do."""
    name = here.settings.topic(topics.RAW)
    for partition, count in written.items():
        publisher.publish_many(name, partition, [None] * count, [b""] * count)
    publisher.flush()
    ends = [Position(name, partition, count) for partition, count in written.items()]
    admin = AdminClient({**here.client, **QUIET})  # must live until it has answered
    for future in admin.delete_records(ends).values():
        future.result(15)


def expected_bars(ticks: pl.DataFrame, timeframes: tuple[str, ...]) -> Bars:
    """Return the bars of the trades: each timeframe from the ticks, by no code of the core."""
    price, size = pl.col("price").to_physical(), pl.col("size").to_physical()
    ordered = ticks.sort("event_time", "sequence")
    bars: dict[Key, Values] = {}
    with localcontext() as context:
        context.prec = 90
        for name in timeframes:
            width_us = WIDTHS[name] // timedelta(microseconds=1)
            at = pl.col("event_time").to_physical()
            rows = ordered.group_by("symbol", "venue", (at // width_us * width_us).alias("at")).agg(
                open=pl.col("price").first(),
                high=pl.col("price").max(),
                low=pl.col("price").min(),
                close=pl.col("price").last(),
                volume=pl.col("size").sum(),
                notional=(price * size).sum(),
                trades=pl.len(),
            )
            for row in rows.iter_rows(named=True):
                symbol, venue, at_us = row.pop("symbol"), row.pop("venue"), row.pop("at")
                row["notional"] = Decimal(row["notional"]).scaleb(-24)
                vwap = row["notional"] / row["volume"]
                row["vwap"] = vwap.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)
                bars[symbol, venue, name, EPOCH + timedelta(microseconds=at_us)] = row
    return Bars(len(ticks), bars)


def check_bars(here: Ground, bars: Bars, since: dict[int, int], ends: dict[int, int]) -> float:
    """Return when the base bars of the last ticks were published, by the broker's clock.

    Args:
        here: The ground.
        bars: What must be there.
        since: Offsets in bars.v1, by partition, from which on the run wrote.
        ends: Next offset of ticks.v1 by partition: all ticks are trades, so the bar that holds
            the last tick of a partition names its offset.

    Raises:
        BenchFailed: A bar is missing or differs.
    """
    codec = RecordCodec(topics.BARS.schema, built_in())
    base = here.settings.timeframes[0]
    newest: dict[Key, dict[str, Any]] = {}
    last_us: dict[int, int] = {}
    for records in read(here.client, here.settings.topic(topics.BARS)):
        for record in records:
            if record.offset < since[record.partition]:
                continue
            bar = codec.decode(record.value or b"")
            key = (bar["symbol"], bar["venue"], bar["timeframe"], bar["open_time"])
            known = newest.get(key)
            if known is None or _rank(bar) >= _rank(known):
                newest[key] = bar
            if bar["timeframe"] == base and bar["last_offset"] + 1 == ends[record.partition]:
                last_us.setdefault(record.partition, record.append_us)
    wrong = differences(bars.expected, newest.values(), whole=True)
    if wrong:
        raise BenchFailed(f"{len(wrong)} values of bars differ, such as {wrong[0]}")
    missing = {partition for partition, end in ends.items() if end} - set(last_us)
    if missing:
        raise BenchFailed(f"no bar holds the last tick of {sorted(missing)}")
    return max(last_us.values()) / 1e6


def _rank(bar: dict[str, Any]) -> tuple[int, int]:
    return bar["revision"], bar["last_offset"]
