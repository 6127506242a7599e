"""Where records go: one idempotent librdkafka producer for all that a worker publishes.

Idempotence keeps the records of a partition in the order in which they were published, without
holes: what is in the log is always a prefix of what was published.
"""

from collections.abc import Mapping, Sequence

from confluent_kafka import KafkaError, Message, Producer

from app.errors import DeliveryFailed

FLUSH_TIMEOUT_S = 60.0
BATCH = 10_000
QUEUE = 1_000_000


class Publisher:
    """Publishes to explicit partitions.

    Args:
        client: librdkafka settings that reach the broker.
        linger_ms: How long a record may wait for company.
    """

    def __init__(self, client: Mapping[str, object], linger_ms: float = 2) -> None:
        self._failed: str | None = None
        self._producer = Producer(
            {
                **client,
                "enable.idempotence": True,
                "enable.gapless.guarantee": True,
                "linger.ms": linger_ms,
                "compression.type": "lz4",
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": QUEUE,
                "queue.buffering.max.kbytes": 128 << 10,
                "message.max.bytes": 8 << 20,
                "message.timeout.ms": 120_000,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
            }
        )

    def publish(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Queue one record; waits while the queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition)
            except BufferError:
                self._producer.poll(0.05)
            else:
                return

    def publish_many(
        self, topic: str, partition: int, keys: Sequence[bytes | None], values: Sequence[bytes]
    ) -> None:
        """Queue records of one partition, in order; waits while the queue is full."""
        for start in range(0, len(values), BATCH):
            stop = start + BATCH
            batch = [
                {"key": key, "value": value}
                for key, value in zip(keys[start:stop], values[start:stop], strict=True)
            ]
            while len(self._producer) + len(batch) > QUEUE:
                self._producer.poll(0.05)
            queued = self._producer.produce_batch(topic, batch, partition=partition)
            if queued != len(batch):
                # Never a hole: what did not fit follows one by one, in order.
                for message in batch[queued:]:
                    self.publish(topic, partition, message["key"], message["value"])
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything queued is acknowledged; call it from a thread.

        Raises:
            DeliveryFailed: A record was refused or not acknowledged in time.
        """
        left = self._producer.flush(FLUSH_TIMEOUT_S)
        if self._failed is not None:
            raise DeliveryFailed(self._failed)
        if left:
            raise DeliveryFailed(f"{left} records not acknowledged within {FLUSH_TIMEOUT_S:.0f} s")

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = f"{message.topic()}[{message.partition()}]: {error}"
