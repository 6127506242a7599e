"""The engine: agents over blocks, checkpoints, commits and the watchdog of one worker process.

A checkpoint takes a snapshot of every stage at one instant, waits until what it published is
acknowledged, writes the snapshot to the changelogs, waits again, and commits the offsets. Hence
outputs are in the log before the state that implies them, and state before the offsets.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog

from app.engine.agent import CHANGELOG, Agent
from app.engine.block import Block
from app.engine.broker_clock import BrokerClock
from app.engine.cadence import Cadence
from app.engine.lease import Lease
from app.engine.liveness import Liveness
from app.engine.publisher import Publisher
from app.engine.rows import Rows
from app.engine.source import Source
from app.engine.stage import Stage
from app.engine.tempo import Tempo
from app.engine.transport import BlockApp
from app.errors import LogShrunk, TapelineError
from app.metrics import Metrics
from app.topics import TopicPartition

_log = structlog.get_logger(__name__)

LEAVE_WITHIN_S = 2.0
"""How long a block in work may hold up a rebalance or a stop."""

TIME = {"message.timestamp.type": "LogAppendTime", "retention.ms": "3600000"}
"""Of the topic that tells the broker's time: its records are read by nobody."""

SETTLE_WITHIN_S = 0.5
"""How long each changelog's end may take to be told."""

END_WITHIN_S = 6.0
"""How long Faust's own stop may take once all is committed."""

EXIT_SOFTWARE = 70
"""Exit status when an invariant broke or a cap was passed: nothing acked, a restart replays."""


class Engine:
    """All agents of one worker.

    Args:
        app: The Faust app; the engine becomes its flow.
        source: Where blocks come from.
        publisher: Where records go.
        lease: The right to write; the transport renews it.
        clock: The broker's time, which the engine asks for.
        cadence: How often to emit and to checkpoint.
        metrics: What is counted.
        on_ready: Called whenever partitions were assigned and their state restored.
    """

    def __init__(  # noqa: PLR0913 - the parts of a worker
        self,
        app: BlockApp,
        source: Source,
        publisher: Publisher,
        lease: Lease,
        clock: BrokerClock,
        cadence: Cadence,
        metrics: Metrics,
        on_ready: Callable[[], None],
    ) -> None:
        self.app = app
        self.source = source
        self.publisher = publisher
        self.lease = lease
        self._cadence = cadence
        self._metrics = metrics
        self._on_ready = on_ready
        self._leaving = False
        self._turn = 0
        self._time: Any = None
        self._liveness = Liveness(cadence.stuck_after_s, cadence.restore_within_s)
        self._applying: asyncio.Future[None] | None = None
        self._agents: list[Agent] = []
        self._rows: dict[str, Rows] = {}
        self._quiet = asyncio.Lock()
        self._parting = asyncio.Lock()
        self._clock = clock
        self._tempo = Tempo(cadence.emit_every_s, time.monotonic())
        self._waker: asyncio.TimerHandle | None = None
        self._waking: asyncio.Future[None] | None = None
        self._committed: dict[TopicPartition, int] = {}
        app.flow = self

    def add(self, name: str, topic: str, stage: Callable[[int], Stage], *, stateful: bool) -> None:
        """Add an agent that works on the blocks of `topic`; one stage a partition."""
        agent = Agent(name, topic, stage)
        self._agents.append(agent)
        if stateful:
            table = self.app.Table(
                f"{name}-state",
                key_type=bytes,
                value_type=bytes,
                partitions=self.app.conf.topic_partitions,
                extra_topic_configs=CHANGELOG,
            )
            agent.rows, agent.changelog = table.data, table.changelog_topic_name
            self._rows[agent.changelog] = agent.rows
        channel = self.app.topic(
            topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )

        async def work(stream: Any) -> AsyncIterator[None]:
            async for event in stream.noack().events():
                await self._work(agent, event.message.value)
                event.ack()
                yield None

        self.app.agent(channel, name=name)(work)

    def start_pulse(self) -> None:
        """Register the clock of the engine: emissions, checkpoints, watchdog."""
        self._time = self.app.topic(f"{self.app.conf.id}-time", partitions=1, config=TIME)
        self.app.task(self._pulse)

    def reads(self, topic: str) -> bool:
        """Return whether the topic is read in blocks."""
        return any(agent.topic == topic for agent in self._agents)

    def rows(self, changelog: str) -> Rows:
        """Return the rows of the agent that has a changelog."""
        return self._rows[changelog]

    def expect(self, partitions: int) -> None:
        """Partitions were assigned: their state must be restored within `restore_within_s`."""
        self._liveness.expect(partitions)

    async def starts(self, committed: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Restore every stage of the assigned partitions; return where to read them from."""
        starts: dict[TopicPartition, int] = {}
        self._turn += 1
        turn = self._turn
        for agent in self._agents:
            agent.stages.clear()
        try:
            await self._ask_time()
            work = [
                (each, tp) for each in self._agents for tp in committed if tp.topic == each.topic
            ]
            # At once: most of it is waiting for answers.
            begun = await asyncio.gather(*(a.begin(tp.partition, committed[tp]) for a, tp in work))
            self._still(turn)
            for (agent, tp), (stage, start) in zip(work, begun, strict=True):
                agent.stages[tp.partition] = stage
                starts[tp] = min(starts.get(tp, start), start)
            bounds = await asyncio.wrap_future(self.source.bounds(starts.keys()))
            self._still(turn)
            for tp, start in starts.items():
                if start > bounds[tp].end:
                    where = f"{tp.topic}[{tp.partition}] ends at {bounds[tp].end}"
                    raise LogShrunk(f"{where}, but was read up to {start}")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - the engine's boundary
            self._die(error, "restore failed")
        # What has expired before it was ever read is no lag, and waits for no commit.
        self._committed = {tp: max(committed[tp], bounds[tp].first) for tp in starts}
        _log.info(
            "partitions assigned", partitions={f"{t}[{p}]": o for (t, p), o in starts.items()}
        )
        self._metrics.ready(partitions=len(starts))
        self._leaving = False
        self._liveness.restored()
        self._on_ready()
        return starts

    async def leave(self) -> None:
        """Checkpoint, then forget all partitions."""
        self._leaving = True
        self._turn += 1
        async with self._parting:  # told to stop in the middle of a rebalance: once
            await self._leave()

    async def _leave(self) -> None:
        if not any(agent.stages for agent in self._agents):
            return
        if self._applying is not None and not self._applying.done():
            # A store may be away for minutes; what is not applied is read again elsewhere.
            await asyncio.wait([self._applying], timeout=LEAVE_WITHIN_S)
            self._applying.cancel()
        try:
            await self._checkpoint()
        except Exception as error:  # noqa: BLE001 - the engine's boundary
            self.fail(error)
        await self._settle()
        for agent in self._agents:
            agent.stages.clear()
        _log.info("partitions released")

    async def _settle(self) -> None:
        """Note that the rows go to the ends of their changelogs: only an owner writes there."""
        owned = {
            TopicPartition(agent.changelog, partition): agent.rows
            for agent in self._agents
            if agent.rows is not None
            for partition in agent.stages
        }
        try:
            ends = await asyncio.wrap_future(self.source.bounds(owned.keys(), SETTLE_WITHIN_S))
            self.lease.require()
        except TapelineError as error:
            _log.warning("state is to be read again", error=str(error))
            return
        for tp, rows in owned.items():
            rows.settle(tp.partition, ends[tp].end - 1)

    def _still(self, turn: int) -> None:
        """Stop a restore that another assignment or a revocation has overtaken."""
        if turn != self._turn:
            raise asyncio.CancelledError

    async def _work(self, agent: Agent, block: Block) -> None:
        try:
            async with self._quiet:
                stage = agent.stages.get(block.partition)
                if stage is None or self._leaving or block.epoch != self.source.epoch:
                    return  # revoked while it waited: whoever owns the partition reads it again
                await self.lease.fresh()
                fresh = block.after(stage.offset)
                if fresh is None:
                    return
                began = time.monotonic()
                self._applying = asyncio.ensure_future(stage.apply(fresh))
                await self._applying
                stage.offset = fresh.last_offset
                self._clock.at_least(fresh.append_us)
                took = time.monotonic() - began
                self._metrics.block(agent.name, len(fresh), took)
                self._tempo.worked(took)
                self._emit_soon()
        except asyncio.CancelledError:
            if not self._leaving:
                raise
        except Exception as error:  # noqa: BLE001 - the engine's boundary
            self._die(error, "block failed", agent=agent.name, partition=block.partition)

    def _emit(self, *, full: bool = False) -> None:
        began = time.monotonic()
        for agent in self._agents:
            for stage in agent.stages.values():
                stage.emit(full=full)
        self._tempo.emitted(began, time.monotonic())

    def _emit_soon(self) -> None:
        """Emit now, or as soon as it is due."""
        if time.monotonic() >= self._tempo.due_s:
            self._emit()
        elif self._waker is None:
            loop = asyncio.get_running_loop()
            self._waker = loop.call_at(
                loop.time() + self._tempo.due_s - time.monotonic(), self._wake
            )

    def _wake(self) -> None:
        self._waker = None
        self._waking = asyncio.ensure_future(self._emit_if_due())

    async def _emit_if_due(self) -> None:
        try:
            async with self._quiet:
                if not self._leaving and time.monotonic() >= self._tempo.due_s:
                    await self.lease.fresh()
                    self._emit()
        except Exception as error:  # noqa: BLE001 - the engine's boundary
            self._die(error, "emission failed")

    async def _pulse(self) -> None:
        try:
            await self._beat()
        finally:
            if self.app.crash_reason is not None:
                # Faust would wait for its parts to end, some of which never do.
                self._die(self.app.crash_reason, "worker crashed")

    async def _beat(self) -> None:
        checkpoint_at = clock_at = asked_at = time.monotonic()
        while not self.app.should_stop:
            await asyncio.sleep(self._cadence.emit_every_s)
            try:
                now = time.monotonic()
                self._liveness.require_restored()
                self._liveness.require_counted(self.lease.age_s)
                if not any(agent.stages for agent in self._agents):
                    continue
                await self.lease.fresh()
                await self._emit_if_due()
                if now - clock_at >= self._cadence.clock_every_s:
                    clock_at = now
                    await self._tell_time()
                if now - asked_at >= self._cadence.ask_time_every_s:
                    asked_at = now
                    await self._ask_time()
                if now - checkpoint_at >= self._cadence.checkpoint_every_s:
                    checkpoint_at = now
                    await self._checkpoint()
                    self._watch()
            except Exception as error:  # noqa: BLE001 - the engine's boundary
                self._die(error, "pulse failed")

    async def _ask_time(self) -> None:
        """Learn what time it is at the broker, of a record that it stamps."""
        await self._time.maybe_declare()
        name = self._time.get_topic_name()
        self._clock.exactly(await asyncio.to_thread(self.publisher.append, name, 0, b"", b""))

    async def _tell_time(self) -> None:
        """Tell the stages that have applied all there is: only they know who is idle."""
        async with self._quiet:
            behind = self._behind()
            for agent in self._agents:
                for partition, stage in agent.stages.items():
                    if partition not in behind:
                        await stage.idle(self._clock.now_us())

    def _behind(self) -> set[int]:
        """Return the partitions of which some topic may hold records that are not applied."""
        ends = self.source.end_offsets()
        unknown = 1 << 62
        return {
            partition
            for agent in self._agents
            for partition, stage in agent.stages.items()
            if stage.offset + 1 < ends.get(TopicPartition(agent.topic, partition), unknown)
        }

    async def _checkpoint(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._quiet:
            self._emit(full=True)
            positions = self._positions()
            if not positions:
                return
            snapshot = [
                (agent, partition, list(stage.save()))
                for agent in self._agents
                if agent.rows is not None
                for partition, stage in agent.stages.items()
                if TopicPartition(agent.topic, partition) in positions
            ]
            await loop.run_in_executor(None, self.publisher.flush)
            self.lease.require()
            for agent, partition, rows in snapshot:
                agent.write(partition, rows, self.publisher)
            await loop.run_in_executor(None, self.publisher.flush)
        if await self.app.consumer.commit_positions(positions):
            self._committed |= positions
            self._metrics.committed(positions)

    def _positions(self) -> dict[TopicPartition, int]:
        """Return the next offset of each partition that has moved, the slowest agent's."""
        positions: dict[TopicPartition, int] = {}
        for agent in self._agents:
            for partition, stage in agent.stages.items():
                tp = TopicPartition(agent.topic, partition)
                positions[tp] = min(positions.get(tp, stage.offset + 1), stage.offset + 1)
        return {tp: at for tp, at in positions.items() if at > self._committed.get(tp, 0)}

    def _watch(self) -> None:
        ends = self.source.end_offsets()
        self._metrics.lag({tp: end - self._committed.get(tp, 0) for tp, end in ends.items()})
        self._liveness.watch(self.source.positions(), self._committed)

    def fail(self, error: BaseException) -> None:
        """End the process, nothing acked."""
        self._die(error, "worker failed")

    def end_soon(self) -> None:
        """End the process if Faust does not: its stop can wait for a rebalance that waits for it.

        Nothing is lost: all was committed when the partitions were left.
        """
        status = 0 if self.app.crash_reason is None else EXIT_SOFTWARE
        timer = threading.Timer(END_WITHIN_S, _end, (status,))
        timer.daemon = True
        timer.start()

    def _die(self, error: BaseException, event: str, **where: object) -> None:
        """Exit at once: a Faust agent that raises would ack what it did not do."""
        _log.error(event, error=f"{type(error).__name__}: {error}", exc_info=error, **where)
        os._exit(EXIT_SOFTWARE)


def _end(status: int) -> None:
    _log.warning("stop cut short", after_s=END_WITHIN_S)
    os._exit(status)
