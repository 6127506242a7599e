"""A consumer on librdkafka's own C interface: a fetch is an array of pointers, not of objects.

The library is the one that confluent-kafka brings and is built on; what is called is its public
interface (rdkafka.h), stable since 1.0. A Python object for each record was half of what the flow
cost (ARCHITECTURE.md); `app.engine.gather` reads the records where they lie.
"""

import ctypes
import threading
from collections.abc import Callable, Collection, Mapping
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_void_p

import numpy as np
from confluent_kafka import cimpl

from app.errors import BrokerUnavailable, ConfigError
from app.topics import TopicPartition
from schemas.packed import Positions

BEGINNING = -2
_CONSUMER = 1
_ERROR_BYTES = 512
_OnError = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_void_p)

library = ctypes.CDLL(cimpl.__file__)
"""Its symbols are found through the extension module that is linked with it."""


def _declare(name: str, result: object, *arguments: object) -> None:
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments


for _name, *_types in (
    ("rd_kafka_conf_new", c_void_p),
    ("rd_kafka_conf_destroy", None, c_void_p),
    ("rd_kafka_conf_set", c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    ("rd_kafka_conf_set_error_cb", None, c_void_p, _OnError),
    ("rd_kafka_new", c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    ("rd_kafka_poll_set_consumer", c_int, c_void_p),
    ("rd_kafka_queue_get_consumer", c_void_p, c_void_p),
    ("rd_kafka_queue_destroy", None, c_void_p),
    ("rd_kafka_consumer_close", c_int, c_void_p),
    ("rd_kafka_destroy", None, c_void_p),
    ("rd_kafka_topic_partition_list_new", c_void_p, c_int),
    ("rd_kafka_topic_partition_list_add", c_void_p, c_void_p, c_char_p, c_int32),
    ("rd_kafka_topic_partition_list_set_offset", c_int, c_void_p, c_char_p, c_int32, c_int64),
    ("rd_kafka_topic_partition_list_destroy", None, c_void_p),
    ("rd_kafka_assign", c_int, c_void_p, c_void_p),
    ("rd_kafka_consume_batch_queue", ctypes.c_ssize_t, c_void_p, c_int, c_void_p, c_size_t),
    ("rd_kafka_topic_name", c_char_p, c_void_p),
    ("rd_kafka_err2str", c_char_p, c_int),
    *(
        (f"rd_kafka_{name}_watermark_offsets", c_int, c_void_p, c_char_p, c_int32,
         POINTER(c_int64), POINTER(c_int64), *more)
        for name, more in (("get", ()), ("query", (c_int,)))
    ),
):  # fmt: skip
    _declare(_name, *_types)


class Consumer:
    """A consumer that is told its partitions. One thread at a time, `known_bounds` aside.

    Once closed it must not be used: RuntimeError.

    Args:
        settings: librdkafka's, by name.
        on_error: Told of troubled connections, from within `take`.

    Raises:
        ConfigError: librdkafka refuses a setting.
    """

    def __init__(self, settings: Mapping[str, object], on_error: Callable[[str], None]) -> None:
        self._on_error = _OnError(
            lambda _rk, _code, reason, _opaque: on_error(reason.decode(errors="replace"))
        )
        self._asking = threading.Lock()
        configuration = library.rd_kafka_conf_new()
        problem = ctypes.create_string_buffer(_ERROR_BYTES)
        for name, value in settings.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            said = library.rd_kafka_conf_set(
                configuration, name.encode(), text.encode(), problem, _ERROR_BYTES
            )
            if said != 0:
                library.rd_kafka_conf_destroy(configuration)
                raise ConfigError(f"{name}: {problem.value.decode()}")
        library.rd_kafka_conf_set_error_cb(configuration, self._on_error)
        handle = library.rd_kafka_new(_CONSUMER, configuration, problem, _ERROR_BYTES)
        if not handle:
            library.rd_kafka_conf_destroy(configuration)
            raise ConfigError(f"librdkafka: {problem.value.decode()}")
        library.rd_kafka_poll_set_consumer(handle)
        queue = library.rd_kafka_queue_get_consumer(handle)
        self._held: tuple[int, int] | None = handle, queue

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets, and no others."""
        handle, _ = self._open()
        found = library.rd_kafka_topic_partition_list_new(len(positions))
        try:
            for (topic, partition), offset in positions.items():
                library.rd_kafka_topic_partition_list_add(found, topic.encode(), partition)
                library.rd_kafka_topic_partition_list_set_offset(
                    found, topic.encode(), partition, offset
                )
            _require(library.rd_kafka_assign(handle, found), "assignment")
        finally:
            library.rd_kafka_topic_partition_list_destroy(found)

    def take(self, pointers: Positions, wait_s: float) -> int:
        """Put up to len(pointers) messages into `pointers`; return how many.

        It waits until there are so many, or for `wait_s`. Each is an ``rd_kafka_message_t *``, to
        be destroyed by the caller.

        Raises:
            BrokerUnavailable: librdkafka cannot fetch.
        """
        assert pointers.dtype == np.int64  # noqa: S101
        _, queue = self._open()
        count = library.rd_kafka_consume_batch_queue(
            queue, round(wait_s * 1000), pointers.ctypes.data, len(pointers)
        )
        if count < 0:
            raise BrokerUnavailable("fetch failed")
        return int(count)

    def known_bounds(self, tp: TopicPartition) -> tuple[int, int]:
        """Return the first and the next offset of a partition, as last heard; negative: never."""
        low, high = c_int64(-1), c_int64(-1)
        with self._asking:  # from any thread: not while it is closed
            handle, _ = self._open()
            code = library.rd_kafka_get_watermark_offsets(
                handle, tp.topic.encode(), tp.partition, byref(low), byref(high)
            )
        return (low.value, high.value) if code == 0 else (-1, -1)

    def bounds(self, tp: TopicPartition, wait_s: float) -> tuple[int, int]:
        """Ask the broker for the first offset of a partition and the one the next record gets.

        Raises:
            BrokerUnavailable: It does not answer in time, or has no such partition.
        """
        low, high = c_int64(-1), c_int64(-1)
        handle, _ = self._open()
        code = library.rd_kafka_query_watermark_offsets(
            handle, tp.topic.encode(), tp.partition, byref(low), byref(high),
            round(wait_s * 1000),
        )  # fmt: skip
        _require(code, f"bounds of {tp.topic}[{tp.partition}]")
        return low.value, high.value

    def close(self) -> None:
        """Let go of everything; the consumer cannot be used any more."""
        with self._asking:
            handle, queue = self._open()
            self._held = None
            library.rd_kafka_queue_destroy(queue)
            library.rd_kafka_consumer_close(handle)
            library.rd_kafka_destroy(handle)

    def _open(self) -> tuple[int, int]:
        """Return the handle and its queue, which librdkafka itself does not check."""
        if self._held is None:
            raise RuntimeError("a consumer must not be used once it is closed")
        return self._held


def topic_name(handle: int) -> str:
    """Return the name behind a message's topic, while the message is not destroyed.

    An error may be about no topic, such as a group that may not be read in: then it is Kafka's.
    """
    if not handle:
        return "Kafka"
    name: bytes = library.rd_kafka_topic_name(handle)
    return name.decode()


def reason(code: int) -> str:
    """Return what an error code means."""
    said: bytes = library.rd_kafka_err2str(code)
    return said.decode()


def addresses(names: Collection[str]) -> dict[str, int]:
    """Return where functions of the library begin, by name."""
    return {name: ctypes.cast(getattr(library, name), c_void_p).value or 0 for name in names}


def _require(code: int, what: str) -> None:
    if code != 0:
        raise BrokerUnavailable(f"{what} failed: {reason(code)}")
