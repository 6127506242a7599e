"""The Faust line: a transport whose consumer hands agents blocks instead of records.

Faust's own consumer still joins the group, restores tables and takes part in rebalances; only
the topics of the flow are read by `Source` instead. What differs from Faust's consumer:

- `getmany` yields one message per block, its value the block, its offset the last record's;
- changelog records go into the rows of their table at once, and only the last of a fetch is
  delivered: recovery wants to know how far it is, and Faust takes them one by one;
- commit positions are the checkpoints' (Faust fills the offsets between blocks one by one, and
  was seen to stop committing a partition after a restart);
- blocks on their way to agents are bounded, so a slow agent slows the fetch.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

import faust
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from app.engine.block import Block
from app.engine.lease import Lease
from app.engine.rows import Rows
from app.engine.source import Source
from app.errors import TapelineError
from app.topics import TopicPartition

FETCHES_AHEAD = 2
"""Fetches asked for beyond the one that the agents work on."""

IN_FLIGHT = 6
"""Blocks handed to agents and not yet finished, over all partitions."""

LOOK_EVERY_S = 0.02
"""While there is nothing to do."""

_log = structlog.get_logger(__name__)


class Flow(Protocol):
    """What the transport asks of the engine."""

    source: Source
    lease: Lease

    def reads(self, topic: str) -> bool:
        """Return whether the topic is read in blocks."""

    def rows(self, changelog: str) -> Rows:
        """Return the rows of the state that a changelog holds."""

    def expect(self, partitions: int) -> None:
        """Partitions were assigned; their state is about to be restored."""

    async def starts(self, committed: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Return where to read each partition from, -1 the beginning.

        Called when tables are restored.
        """

    async def leave(self) -> None:
        """Checkpoint and forget all partitions; they may now go elsewhere."""

    def fail(self, error: BaseException) -> None:
        """End the process, nothing acked."""

    def end_soon(self) -> None:
        """All is committed: see to it that the process ends."""


class BlockApp(faust.App):  # type: ignore[misc]  # Faust is untyped
    """A Faust app with an engine."""

    flow: Flow

    def _new_transport(self) -> "BlockTransport":
        return BlockTransport(self.conf.broker_consumer, self)


class BlockConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's aiokafka consumer, with blocks for the topics of the flow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._flow: Flow = self.app.flow
        self._pending: deque[Future[list[Block]]] = deque()
        self._changelog_fetch: asyncio.Future[Any] | None = None
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._ready = self._has_left = False
        self._heard_of: Any = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109
        """Yield blocks, or changelog records while tables recover."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return
        self._polled()
        active = set(self._get_active_partitions())
        changelogs = {tp for tp in active if not self._flow.reads(tp.topic)}
        if self._ready and active:
            async for item in self._blocks():
                yield item
        elif changelogs and not self._ready:
            for tp, last in await self._read_changelogs(changelogs, timeout):
                yield tp, self._to_message(tp, last)
        else:
            await self.sleep(LOOK_EVERY_S)

    def _polled(self) -> None:
        """Tell aiokafka that the consumer is alive, which it sees by its own fetches alone.

        Without any for max.poll.interval it leaves the group, and joins it never again.
        """
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - there is no other way to it
        consumer._subscription._last_fetch_ended = time.monotonic()  # noqa: SLF001

    async def _read_changelogs(self, tps: set[TP], wait_s: float) -> list[tuple[TP, Any]]:
        """Put what came into its rows; return the last record of each partition."""
        generation = self.app.consumer_generation_id
        fetch = self._getmany(active_partitions=tps, timeout=wait_s)
        self._changelog_fetch = asyncio.ensure_future(fetch)
        found = await asyncio.shield(self._changelog_fetch)
        if not self.flow_active or self.app.consumer_generation_id != generation:
            return []
        for tp, records in found.items():
            self._flow.rows(tp.topic).read(tp.partition, records)
        return [(tp, records[-1]) for tp, records in found.items()]

    async def _blocks(self) -> AsyncIterator[tuple[TP, Message]]:
        generation = self.app.consumer_generation_id
        # One fetch is being taken while the one before is decoded and the agents work on a third.
        while len(self._pending) < FETCHES_AHEAD:
            self._pending.append(self._flow.source.fetch())
        try:
            blocks = await asyncio.wrap_future(self._pending.popleft())
        except TapelineError as error:
            self._flow.fail(error)
            raise
        if not self._ready or self.app.consumer_generation_id != generation:
            return
        self._pending.append(self._flow.source.fetch())
        for block in blocks:
            tp = TP(block.topic, block.partition)
            await self._slots.acquire()
            if not self._ready or self.app.consumer_generation_id != generation:
                return
            yield tp, self._block_message(tp, block)

    def _block_message(self, tp: TP, block: Block) -> Message:
        # ConsumerMessage: of the two types only its last ack reaches `ack`.
        return ConsumerMessage(
            block.topic, block.partition, block.last_offset, time.time(), 0, [], None, block,
            None, None, None, tp,
            # Without it Faust drops the message silently.
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip

    def ack(self, message: Message) -> bool:
        """Take a finished block off the list; what is committed is the checkpoints' business."""
        if isinstance(message.value, Block):
            if not message.acked:
                message.acked = True
                self._unacked_messages.discard(message)
                if message.value.epoch == self._flow.source.epoch:
                    self._slots.release()
            return True
        return bool(super().ack(message))

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek, once no fetch of an earlier generation is on its way.

        It would take records from behind the new positions and drop them: recovery would wait
        for them for ever.
        """
        if self._changelog_fetch is not None:
            await asyncio.wait([self._changelog_fetch])
        await super().seek_wait(partitions)

    async def perform_seek(self) -> None:
        """Start the source where the engine says, once tables are restored."""
        committed = await self.seek_to_committed()
        blocks = {
            TopicPartition(tp.topic, tp.partition): -1 if offset is None else offset
            for tp, offset in committed.items()
            if self._flow.reads(tp.topic)
        }
        for tp in blocks:
            self._read_offset[TP(*tp)] = None
            self._committed_offset[TP(*tp)] = None
        starts = await self._flow.starts(blocks)
        await asyncio.wrap_future(self._flow.source.assign(starts))
        self._pending.clear()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._ready = True

    async def threadsafe_partitions_revoked(self, receiver_loop: Any, revoked: set[TP]) -> None:
        """Call `on_partitions_revoked` from the consumer's thread.

        Once this consumer stops nobody takes the call: the thread would wait for its answer, and
        the stop for the thread. There is nothing to be done either, all partitions were left.
        """
        if not self._has_left:
            await super().threadsafe_partitions_revoked(receiver_loop, revoked)

    async def threadsafe_partitions_assigned(
        self, receiver_loop: Any, assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Call `on_partitions_assigned`, likewise."""
        if not self._has_left:
            await super().threadsafe_partitions_assigned(receiver_loop, assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Checkpoint before the partitions go."""
        self._ready = False
        await self._flow.leave()
        await asyncio.wrap_future(self._flow.source.assign({}))
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Keep Faust's own fetcher off the topics that are read in blocks."""
        blocks = [KafkaPartition(*tp) for tp in assigned if self._flow.reads(tp.topic)]
        consumer = self._thread._ensure_consumer()  # noqa: SLF001 - there is no other way to it
        await self._thread.call_thread(self._pause, consumer, blocks)
        self._renew_lease_with(consumer)
        self._flow.expect(len(blocks))
        await super().on_partitions_assigned(assigned, generation_id)

    def _renew_lease_with(self, consumer: AIOKafkaConsumer) -> None:
        """Let the lease follow the group's heartbeats, which run in the consumer's own thread."""
        lease, group = self._flow.lease, consumer._coordinator  # noqa: SLF001
        lease.renew(lease.now_s())
        if self._heard_of is group:
            return
        self._heard_of = group
        heartbeat = group._do_heartbeat  # noqa: SLF001

        async def renew() -> bool:
            sent_s = lease.now_s()
            is_answered = bool(await heartbeat())
            if is_answered:
                lease.renew(sent_s)
            return is_answered

        group._do_heartbeat = renew  # noqa: SLF001

    @staticmethod
    async def _pause(consumer: AIOKafkaConsumer, tps: list[KafkaPartition]) -> None:
        consumer.pause(*tps)

    async def on_stop(self) -> None:
        """Checkpoint before the group is left."""
        self._ready = False
        await self._flow.leave()
        self._has_left = True
        self._flow.end_soon()
        await super().on_stop()

    async def commit_positions(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Commit next offsets to read; False when Kafka refuses it now, be it for a rebalance.

        Faust's own commit ends the app without a word on most errors; here the next checkpoint
        tries again, and the watchdog sees to it that it is not for ever.
        """
        mine = self.assignment()
        offsets = {
            KafkaPartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in positions.items()
            if TP(*tp) in mine
        }
        if not offsets:
            return True
        consumer = self._thread._ensure_consumer()  # noqa: SLF001
        try:
            await self._thread.call_thread(consumer.commit, offsets)
        except KafkaError as error:
            _log.warning("commit refused", error=f"{type(error).__name__}: {error}")
            return False
        return True

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:  # noqa: ARG002, FBT002
        """Do nothing: checkpoints commit."""
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: the offsets between two blocks are inside the second."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: the engine's watchdog judges progress."""


class BlockTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the block consumer."""

    Consumer = BlockConsumer
