"""The engine's block source on aiokafka instead of librdkafka: same calls, same blocks.

One thread runs aiokafka's loop, so the agents' loop is as free as with librdkafka; decoding has a
second thread, so that the next fetch is parsed meanwhile.
"""

import asyncio
import threading
from collections.abc import Collection, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka import TopicPartition as Position

from app.engine.block import Block, Reading
from app.engine.source import FETCH_RECORDS, IDLE_WAIT_S, Bounds
from app.topics import TopicPartition
from schemas.packed import pack

MAX_PARTITION_FETCH_BYTES = 8 << 20
"""A partition's next fetch waits until this one is taken, so it must be large."""

T = TypeVar("T")


class AiokafkaSource:
    """Blocks of the partitions it is assigned; see `app.engine.source.Source`."""

    def __init__(self, client: Mapping[str, object], readings: Mapping[str, Reading]) -> None:
        self._bootstrap = client["bootstrap.servers"]
        self._readings = readings
        self.epoch = 0
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decode")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="blocks", daemon=True).start()

    def assign(self, positions: Mapping[TopicPartition, int]) -> Future[None]:
        """Read these partitions from these offsets; -1 is the beginning."""
        return self._submit(self._assign(dict(positions)))

    def fetch(self) -> Future[list[Block]]:
        """Fetch once: the result is empty when nothing came within 0.1 s."""
        return self._submit(self._fetch())

    def bounds(self, tps: Collection[TopicPartition]) -> Future[dict[TopicPartition, Bounds]]:
        """Ask the broker where the log of each partition begins and ends."""
        return self._submit(self._bounds(tps))

    def positions(self) -> dict[TopicPartition, int]:
        """Return nothing: a bench needs no watchdog."""
        return {}

    def end_offsets(self) -> dict[TopicPartition, int]:
        """Return the log's end of each assigned partition, as far as it is known."""
        if self._consumer is None:
            return {}
        ends = {tp: self._consumer.highwater(Position(*tp)) for tp in list(self._positions)}
        return {tp: end for tp, end in ends.items() if end is not None}

    def close(self) -> None:
        """Stop reading."""
        if self._consumer is not None:
            self._submit(self._consumer.stop()).result()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                max_partition_fetch_bytes=MAX_PARTITION_FETCH_BYTES,
                fetch_max_bytes=50 << 20,
                fetch_max_wait_ms=20,
            )
            await self._consumer.start()
        return self._consumer

    async def _assign(self, positions: dict[TopicPartition, int]) -> None:
        consumer = await self._connected()
        self._positions = positions
        self.epoch += 1
        consumer.assign([Position(*tp) for tp in positions])
        for tp, offset in positions.items():
            if offset >= 0:
                consumer.seek(Position(*tp), offset)

    async def _bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        consumer = await self._connected()
        wanted = [Position(*tp) for tp in tps]
        begins = await consumer.beginning_offsets(wanted)
        ends = await consumer.end_offsets(wanted)
        return {tp: Bounds(begins[Position(*tp)], ends[Position(*tp)]) for tp in tps}

    async def _fetch(self) -> list[Block]:
        if self._consumer is None or not self._positions:
            await asyncio.sleep(IDLE_WAIT_S)
            return []
        found = await self._consumer.getmany(
            timeout_ms=round(IDLE_WAIT_S * 1000), max_records=FETCH_RECORDS
        )
        blocks = [self._block(tp, records) for tp, records in found.items() if records]
        await self._loop.run_in_executor(self._decoder, _prepare, blocks)
        return blocks

    def _block(self, tp: Position, records: list[ConsumerRecord]) -> Block:
        return Block(
            tp.topic,
            tp.partition,
            pack(record.value for record in records),
            pack(record.key for record in records),
            np.array([record.offset for record in records], np.int64),
            np.array([record.timestamp for record in records], np.int64) * 1000,
            self._readings[tp.topic],
            self.epoch,
        )


def _prepare(blocks: list[Block]) -> None:
    for block in blocks:
        block.prepare()
