"""A broker in this process: the mock cluster of librdkafka itself, which is part of the library."""

import ctypes
from collections.abc import Iterable
from ctypes import c_char_p, c_int, c_int16, c_int32, c_int64, c_size_t, c_void_p
from typing import NamedTuple

from confluent_kafka import Producer

from app.engine.librdkafka import _declare, library

for _name, *_types in (
    ("rd_kafka_mock_cluster_new", c_void_p, c_void_p, c_int),
    ("rd_kafka_mock_cluster_bootstraps", c_char_p, c_void_p),
    ("rd_kafka_mock_cluster_destroy", None, c_void_p),
    ("rd_kafka_mock_topic_create", c_int, c_void_p, c_char_p, c_int, c_int),
    ("rd_kafka_mock_partition_delete_records", c_int, c_void_p, c_char_p, c_int32, c_int64),
    ("rd_kafka_thread_cnt", c_int),
    ("rd_kafka_mock_push_request_errors_array", None, c_void_p, c_int16, c_size_t, c_void_p),
):
    _declare(_name, *_types)

FETCH, FIND_COORDINATOR = 1, 10
"""Kinds of requests."""
TOPIC_AUTHORIZATION_FAILED, GROUP_AUTHORIZATION_FAILED = 29, 30
_PRODUCER = 0
_REFUSALS = 8


def threads() -> int:
    """Return how many threads librdkafka has in this process."""
    return int(library.rd_kafka_thread_cnt())


class Record(NamedTuple):
    """One record to be written."""

    value: bytes | None
    key: bytes | None = None
    append_ms: int = 1_700_000_000_000


class MockKafka:
    """One broker; topics are made before they are used."""

    def __init__(self) -> None:
        problem = ctypes.create_string_buffer(512)
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"0", problem, 512)
        self._handle = library.rd_kafka_new(_PRODUCER, settings, problem, 512)
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        address = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        self.client: dict[str, object] = {"bootstrap.servers": address, "log_level": 0}
        self._producer = Producer({**self.client, "linger.ms": 0})

    def create(self, topic: str, partitions: int) -> None:
        assert library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0

    def write(self, topic: str, partition: int, records: Iterable[Record]) -> None:
        for value, key, append_ms in records:
            self._producer.produce(topic, value, key, partition, timestamp=append_ms)
        assert self._producer.flush(10) == 0

    def expire(self, topic: str, partition: int, before: int) -> None:
        """Delete records, as retention does."""
        said = library.rd_kafka_mock_partition_delete_records(
            self._cluster, topic.encode(), partition, before
        )
        assert said == 0

    def refuse(self, request: int, code: int) -> None:
        """Answer the next requests of a kind with an error: a client may ask twice at once."""
        codes = (c_int * _REFUSALS)(*[code] * _REFUSALS)
        library.rd_kafka_mock_push_request_errors_array(self._cluster, request, _REFUSALS, codes)

    def close(self) -> None:
        library.rd_kafka_mock_cluster_destroy(self._cluster)
        library.rd_kafka_destroy(self._handle)
