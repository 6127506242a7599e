"""What is measured, for Prometheus: ``tapeline_<noun>_<unit>_total``, labels from closed sets."""

import asyncio
from collections.abc import Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from app.topics import TopicPartition

_BLOCK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Counters and gauges of one worker process.

    Args:
        role: The worker's role, a label of every metric.
    """

    def __init__(self, role: str) -> None:
        self.registry = CollectorRegistry()
        self._role = role

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"tapeline_{name}", text, ["role", *labels], registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"tapeline_{name}", text, ["role", *labels], registry=self.registry)

        self._ticks = counter("ticks_total", "Records processed", "agent")
        self._bars = counter("bars_total", "Bars published", "timeframe", "reason")
        self._dead = counter("dead_letters_total", "Records refused", "reason")
        self._duplicates = counter("duplicates_total", "Ticks seen before")
        self._late = counter("late_ticks_total", "Trades after their bar was final")
        self._flags = counter("quality_flags_total", "Accepted ticks with a flag", "flag")
        self._rerouted = counter("rerouted_total", "Ticks sent to the partition of their symbol")
        self._gaps = counter("gaps_total", "Gaps found or repaired", "state")
        self._retries = counter("store_retries_total", "Store calls tried again", "store")
        self._breakers = gauge(
            "breaker_state", "Server called (0), tried by one call (1), left alone (2)", "server"
        )
        self._refilled = counter(
            "refilled_records_total", "Records read again for a store that lost them", "noun"
        )
        self._tasks = gauge("asyncio_tasks", "Tasks of the event loop, at the last checkpoint")
        self._partitions = gauge("assigned_partitions", "Partitions this worker reads")
        self._applied = gauge(
            "last_applied_offset_records", "Next offset to commit", "topic", "partition"
        )
        self._lag = gauge("consumer_lag_records", "Log end - committed", "topic", "partition")
        self._seconds = Histogram(
            "tapeline_block_seconds",
            "Time an agent took for one block",
            ["role", "agent"],
            registry=self.registry,
            buckets=_BLOCK_SECONDS,
        )

    def serve(self, port: int) -> None:
        """Answer Prometheus on 127.0.0.1; 0 serves nothing."""
        if port:
            start_http_server(port, "127.0.0.1", self.registry)

    def ready(self, partitions: int) -> None:
        """Partitions were assigned and their state restored."""
        self._partitions.labels(self._role).set(partitions)

    def block(self, agent: str, records: int, seconds: float) -> None:
        """An agent finished a block."""
        self._ticks.labels(self._role, agent).inc(records)
        self._seconds.labels(self._role, agent).observe(seconds)

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """Offsets were committed."""
        for (topic, partition), offset in positions.items():
            self._applied.labels(self._role, topic, partition).set(offset)

    def lag(self, lags: Mapping[TopicPartition, int]) -> None:
        """How far the commits are behind the log; called in the event loop."""
        self._tasks.labels(self._role).set(len(asyncio.all_tasks()))
        for (topic, partition), records in lags.items():
            self._lag.labels(self._role, topic, partition).set(max(records, 0))

    def bar(self, timeframe: str, reason: str) -> None:
        """A bar was published."""
        self._bars.labels(self._role, timeframe, reason).inc()

    def dead_letter(self, reason: str) -> None:
        """A record was refused."""
        self._dead.labels(self._role, reason).inc()

    def normalized(
        self, duplicates: int, rerouted: int, gaps: Mapping[str, int], flags: Mapping[str, int]
    ) -> None:
        """A block was normalized."""
        self._duplicates.labels(self._role).inc(duplicates)
        self._rerouted.labels(self._role).inc(rerouted)
        for state, count in gaps.items():
            self._gaps.labels(self._role, state).inc(count)
        for flag, count in flags.items():
            self._flags.labels(self._role, flag.lower()).inc(count)

    def late(self, ticks: int) -> None:
        """Trades came after their bar was final."""
        self._late.labels(self._role).inc(ticks)

    def retried(self, store: str) -> None:
        """A store call failed and is tried again."""
        self._retries.labels(self._role, store).inc()

    def breaker(self, server: Literal["redis", "postgres", "registry"], state: int) -> None:
        """A circuit breaker has changed its state."""
        self._breakers.labels(self._role, server).set(state)

    def refilled(self, noun: Literal["tick", "bar", "quote"], records: int) -> None:
        """Records of a topic were read again, for a store that has lost them."""
        self._refilled.labels(self._role, noun).inc(records)
