"""Publish ticks from Python: checked against the contract before anything is sent.

    with TickProducer("127.0.0.1:9092", venue="KRAKEN") as producer:
        producer.send({"symbol": "XBT/USD", "event_time": 1700000000123456, "trade_id": "7",
                       "price": "37000.1", "size": "0.5"})

Leaving the block waits until the brokers have every tick. Idempotent, so a retry neither repeats
nor reorders; the key is the symbol, its partition Java's murmur2, as with every producer of ours.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app import topics
from app.domain.incoming import tick as checked
from app.errors import DeliveryFailed, InvalidTick
from connectors.kafka_admin import QUIET
from schemas import pack
from schemas.layout import layout
from schemas.record import RecordCodec
from schemas.registry import Registry, built_in
from schemas.wire import Unencodable

QUEUE = 200_000
"""Ticks on their way at a time; sending more waits."""
BATCH = 10_000
FEW = 50
"""Records that are encoded sooner one by one than as a frame."""
RECORD = topics.RAW.schema
COLUMNS = {field.name: field.dtype() for field in layout(RECORD)}
_MISSING_TOPIC = (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART)  # noqa: SLF001


def _now_us() -> int:
    return time.time_ns() // 1000


class TickProducer:
    """Sends ticks to ``ticks.raw.v1``; for one thread.

    Args:
        client: ``host:port`` of the brokers, or librdkafka settings that reach them.
        registry: The ids that records are written with; None takes the built-in one.
        topic: The topic's name on the broker, where it has a prefix.
        venue: The venue of ticks that name none.
        linger_ms: How long a tick may wait for company.
        timeout_s: How long the brokers have to acknowledge a tick.
        clock_us: What `ingest_time` is taken from, µs since the epoch.
    """

    def __init__(  # noqa: PLR0913 - each has a default and a unit
        self,
        client: str | Mapping[str, object],
        *,
        registry: Registry | None = None,
        topic: str = topics.RAW.name,
        venue: str | None = None,
        linger_ms: float = 5,
        timeout_s: float = 30,
        clock_us: Callable[[], int] = _now_us,
    ) -> None:
        self._registry = registry or built_in()
        self._codec = RecordCodec(RECORD, self._registry)
        self._topic, self._venue, self._clock_us = topic, venue, clock_us
        self._timeout_s = timeout_s
        self._failed: str | None = None
        reached = {"bootstrap.servers": client} if isinstance(client, str) else client
        self._producer = Producer(
            {
                **reached,
                **QUIET,
                "partitioner": "murmur2_random",  # Java's; librdkafka's own default differs
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "batch.num.messages": BATCH,
                "queue.buffering.max.messages": QUEUE,
                "message.timeout.ms": int(timeout_s * 1000),
                # How long a topic that is not there is waited for; not the half minute it would be.
                "topic.metadata.propagation.max.ms": 5000,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
            }
        )

    def send(self, tick: Mapping[str, object]) -> None:
        """Send one tick: values by the contract's field names, see `app.domain.incoming`.

        Raises:
            InvalidTick: It breaks the contract; nothing was sent.
            DeliveryFailed: The brokers refused, or did not acknowledge, an earlier one.
        """
        record = self.checked(tick)
        self._queue(record["symbol"].encode(), self._encoded(record))
        self._producer.poll(0)
        self._raise_failure()

    def checked(self, tick: Mapping[str, object]) -> dict[str, Any]:
        """Return the record of a tick without sending it.

        Raises:
            InvalidTick: It breaks the contract.
        """
        return checked(tick, venue=self._venue, now_us=self._clock_us())

    def send_many(self, ticks: Iterable[Mapping[str, object]]) -> int:
        """Send ticks and return how many; if one breaks the contract, none is sent.

        Raises:
            InvalidTick: The message begins with the index of the tick.
            DeliveryFailed: As with `send`.
        """
        records = []
        for index, tick in enumerate(ticks):
            try:
                records.append(self.checked(tick))
            except InvalidTick as error:
                raise InvalidTick(f"tick {index}: {error}") from error
        return self.send_records(records)

    def send_records(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Send what `checked` returned, several times as fast as one by one."""
        if len(records) < FEW:
            keys = [str(record["symbol"]).encode() for record in records]
            self.send_encoded(keys, [self._encoded(record) for record in records])
            return len(records)
        return self.send_frame(pl.DataFrame(records, schema=COLUMNS, orient="row"))

    def send_frame(self, frame: pl.DataFrame) -> int:
        """Send a frame with the columns of tick.avsc, whose values the caller answers for."""
        values = self.encode(frame)
        self.send_encoded([symbol.encode() for symbol in frame["symbol"].to_list()], values)
        return len(values)

    def send_encoded(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Send records as they are, in order."""
        for start in range(0, len(values), BATCH):
            stop = start + BATCH
            batch = [
                {"key": key, "value": value}
                for key, value in zip(keys[start:stop], values[start:stop], strict=True)
            ]
            # Room for all of them first: a batch that fits in part would be reordered.
            while len(self._producer) + len(batch) > QUEUE:
                self._producer.poll(0.01)
            queued = self._producer.produce_batch(self._topic, batch)
            if queued != len(batch):
                errors = {str(message.get("_error")) for message in batch if "_error" in message}
                self._failed = f"{self._topic}: {'; '.join(sorted(errors))}"
            self._producer.poll(0)
            self._raise_failure()

    def encode(self, frame: pl.DataFrame) -> list[bytes]:
        """Return the records of a frame as `send_frame` sends them.

        Raises:
            InvalidTick: A column is missing, unknown or of another type.
        """
        try:
            return pack.encode(frame, RECORD, self._codec.schema_id)
        except Unencodable as error:
            raise InvalidTick(str(error)) from error

    def flush(self) -> None:
        """Wait until the brokers have everything.

        Raises:
            DeliveryFailed: They refused, or did not acknowledge, a tick.
        """
        left = self._producer.flush(self._timeout_s + 5)
        self._raise_failure()
        if left:
            raise DeliveryFailed(f"{self._topic}: {left} ticks not acknowledged in time")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.flush()
        else:  # what was sent before the error still goes out; the error is not masked
            self._producer.flush(self._timeout_s)

    def _encoded(self, record: Mapping[str, Any]) -> bytes:
        try:
            return self._codec.encode(record)
        except Unencodable as error:
            raise InvalidTick(str(error)) from error

    def _queue(self, key: bytes, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key)
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                raise DeliveryFailed(f"{self._topic}: {error.args[0].str()}") from error
            else:
                return

    def _note_failure(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failed is None:
            hint = ""
            if error.code() in _MISSING_TOPIC:
                hint = "; run `tapeline topics apply`"
            elif error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001 - librdkafka's own code
                hint = f"; no broker acknowledged it within {self._timeout_s:g} s"
            self._failed = f"{self._topic}: {error.str()}{hint}"

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise DeliveryFailed(self._failed)
