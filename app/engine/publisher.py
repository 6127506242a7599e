"""Where records go: one idempotent librdkafka producer for all that a worker publishes.

Idempotence keeps the records of a partition in the order in which they were published, without
holes: what is in the log is always a prefix of what was published. A worker's publisher writes for
as long as its lease lasts (`app.engine.lease`), and drops what it could not deliver soon after.

What was built and not sent when the process was stopped goes out when it is continued, whatever
librdkafka is told. So records carry the time at which they were made, by the broker's clock, and
the topics that owners write refuse what is older than a while (`app.topics.Topic.is_owned`).
"""

import time
from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.engine.broker_clock import BrokerClock
from app.engine.lease import DELIVER_WITHIN_S, Lease
from app.errors import DeliveryFailed

FLUSH_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.1
BATCH = 10_000
QUEUE = 1_000_000


class Publisher:
    """Publishes to explicit partitions.

    Args:
        client: librdkafka settings that reach the broker.
        lease: The right to publish; None for one who owns no partitions.
        clock: What time it is at the broker; None takes this machine's.
        linger_ms: How long a record may wait for company.
    """

    def __init__(
        self,
        client: Mapping[str, object],
        lease: Lease | None = None,
        clock: BrokerClock | None = None,
        linger_ms: float = 2,
    ) -> None:
        self._clock = clock or BrokerClock()
        self._failed: str | None = None
        self._require = _always if lease is None else lease.require
        deliver_within_s = FLUSH_TIMEOUT_S if lease is None else DELIVER_WITHIN_S
        self._settings: dict[str, object] = {
            **client,
            "enable.idempotence": True,
            "message.max.bytes": 8 << 20,
            "message.timeout.ms": round(deliver_within_s * 1000),
        }
        self._producer = Producer(
            {
                **self._settings,
                "enable.gapless.guarantee": True,
                "linger.ms": linger_ms,
                "compression.type": "lz4",
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": QUEUE,
                "queue.buffering.max.kbytes": 128 << 10,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
            }
        )
        self._single: Producer | None = None

    def append(self, topic: str, partition: int, key: bytes, value: bytes) -> int:
        """Publish one record, and return its time in the log, µs; call it from a thread.

        Rare ones go through a producer of their own: reports of every delivery cost too much.

        Raises:
            LeaseLost: The partition may be another's by now.
            DeliveryFailed: The record was refused or not acknowledged in time.
        """
        if self._single is None:
            self._single = Producer({**self._settings, "linger.ms": 0})
        self._require()
        told: list[tuple[KafkaError | None, int]] = []

        def note(error: KafkaError | None, message: Message) -> None:
            told.append((error, message.timestamp()[1] * 1000))

        self._single.produce(
            topic, value, key, partition, on_delivery=note, timestamp=self._made_ms()
        )
        self._single.flush(FLUSH_TIMEOUT_S)
        if not told or told[0][0] is not None:
            raise DeliveryFailed(f"{topic}[{partition}]: {told[0][0] if told else 'no answer'}")
        return told[0][1]

    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Queue one record; waits while the queue is full.

        Raises:
            LeaseLost: The partition may be another's by now.
        """
        while True:
            self._require()
            try:
                self._producer.produce(topic, value, key, partition, timestamp=self._made_ms())
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def publish_many(
        self, topic: str, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]
    ) -> None:
        """Queue records of one partition, in order; waits while the queue is full.

        Raises:
            LeaseLost: The partition may be another's by now.
        """
        produce = self._producer.produce
        for start in range(0, len(values), BATCH):
            while len(self._producer) + BATCH > QUEUE:
                self._producer.poll(0.05)
            self._require()
            made_ms, stop = self._made_ms(), start + BATCH
            for key, value in zip(keys[start:stop], values[start:stop], strict=True):
                try:
                    produce(topic, value, key, partition, None, None, made_ms)
                except BufferError:
                    self.publish(topic, partition, key, value)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything queued is acknowledged; call it from a thread.

        Raises:
            DeliveryFailed: A record was refused or not acknowledged in time.
        """
        deadline = time.monotonic() + FLUSH_TIMEOUT_S
        while True:
            try:
                left = self._producer.flush(LOOK_EVERY_S)
            except KafkaException as error:  # what leaves a hole is fatal: nothing follows it
                raise DeliveryFailed(str(error.args[0].str())) from error
            if self._failed is not None:
                raise DeliveryFailed(self._failed)
            if not left:
                return
            if time.monotonic() > deadline:
                where = f"{left} records not acknowledged"
                raise DeliveryFailed(f"{where} within {FLUSH_TIMEOUT_S:.0f} s")

    def _made_ms(self) -> int:
        return self._clock.now_us() // 1000

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}[{message.partition()}]: {error}"


def _always() -> None:
    """Nothing is required of one who owns nothing."""
