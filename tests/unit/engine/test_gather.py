"""Messages to arrays: real messages, of librdkafka's own mock of a broker."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int, c_int64
from random import Random

import numpy as np
import pytest

from app.engine.gather import Gathered, gather
from app.engine.librdkafka import BEGINNING, Consumer, topic_name
from app.errors import BrokerUnavailable
from app.topics import TopicPartition
from schemas.packed import PADDING, Positions
from tests.unit.engine.mock_kafka import MockKafka, Record

SETTINGS = {"group.id": "test", "auto.offset.reset": "earliest", "fetch.wait.max.ms": 20}
WITHIN_S = 10.0
ERROR_AT, OFFSET_AT = 0, 56
"""Where the fields of a message lie, in bytes."""


@contextmanager
def messages(kafka: MockKafka, written: dict[TopicPartition, list[Record]]) -> Iterator[Positions]:
    """Yield the addresses of the written records' messages, partitions one after the other."""
    for topic in {tp.topic for tp in written}:
        kafka.create(topic, 1 + max(tp.partition for tp in written if tp.topic == topic))
    for tp, records in written.items():
        kafka.write(*tp, records)
    consumer = Consumer({**kafka.client, **SETTINGS}, lambda _said: None)
    consumer.assign(dict.fromkeys(written, BEGINNING))
    pointers = np.zeros(sum(map(len, written.values())), np.int64)
    taken, deadline = 0, time.monotonic() + WITHIN_S
    while taken < len(pointers):
        assert time.monotonic() < deadline
        taken += consumer.take(pointers[taken:], 0.05)
    yield pointers
    # A message that was not given back would keep librdkafka from ending.
    ending = threading.Thread(target=consumer.close, daemon=True)
    ending.start()
    ending.join(WITHIN_S)
    assert not ending.is_alive(), "a message was not given back"


def of(held: Gathered) -> list[Record]:
    return [
        Record(value, key, at_us // 1000)
        for value, key, at_us in zip(held.values, held.keys, held.appended_us.tolist(), strict=True)
    ]


def one(kafka: MockKafka, topic: str, records: list[Record]) -> Gathered:
    with messages(kafka, {TopicPartition(topic, 0): records}) as pointers:
        found = gather(pointers)
    assert list(found) == [TopicPartition(topic, 0)]
    return found[TopicPartition(topic, 0)]


def test_values_keys_times_and_offsets_are_those_written(kafka: MockKafka) -> None:
    sizes = [0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 1000, 70_000]
    random = Random(1)
    records = [
        Record(random.randbytes(size), random.randbytes(sizes[-1 - n] // 70), 1_700_000_000_000 + n)
        for n, size in enumerate(sizes)
    ]

    found = one(kafka, "sizes", records)

    assert of(found) == records
    assert found.offsets.tolist() == list(range(len(records)))


def test_null_and_empty_are_told_apart(kafka: MockKafka) -> None:
    pairs = [(None, None), (b"", b""), (None, b"k"), (b"v", None), (b"", None), (None, b"")]
    records = [Record(value, key) for value, key in pairs]

    assert of(one(kafka, "nulls", [*records, Record(b"last", b"last")])) == [
        *records, Record(b"last", b"last"),
    ]  # fmt: skip


def test_buffers_end_in_padding_and_arrays_are_of_the_kind_that_loops_take(
    kafka: MockKafka,
) -> None:
    # What was there before is no zero.
    for _ in range(8):
        np.full(1 << 12, 255, np.uint8)
    held = one(kafka, "padding", [Record(b"\xff" * 50, b"\xff" * 20)] * 30)

    for packed in (held.values, held.keys):
        assert len(packed.buffer) == packed.ends[-1] + PADDING
        assert not packed.buffer[-PADDING:].any()
        for array in (packed.buffer, packed.starts, packed.ends):
            assert array.flags.c_contiguous
            assert array.flags.writeable
    for array in (held.offsets, held.appended_us):
        assert array.flags.c_contiguous
        assert array.dtype == np.int64


def place(address: int) -> TopicPartition:
    """Return where a message is from, by its struct."""
    words = (c_int64 * 9).from_address(address)
    return TopicPartition(topic_name(words[1]), words[2] & 0xFFFF)


def mixed(pointers: Positions, seed: int) -> Positions:
    """Return the messages in another order, but that of each partition; seed 0: in turn."""
    by_place: dict[TopicPartition, list[int]] = {}
    for address in pointers.tolist():
        by_place.setdefault(place(address), []).append(address)
    runs, order, random = list(by_place.values()), [], Random(seed)
    while any(runs):
        left = [run for run in runs if run]
        run = max(left, key=len) if seed == 0 else random.choice(left)
        order.append(run.pop(0))
    return np.array(order, np.int64)


@pytest.mark.parametrize("seed", range(4))
def test_partitions_and_topics_are_kept_apart_however_they_are_mixed(
    kafka: MockKafka, seed: int
) -> None:
    places = [TopicPartition(f"{t}{seed}", p) for p in (0, 1, 2) for t in ("mixed", "other")]
    written = {
        tp: [Record(f"{tp}:{n}".encode(), f"k{n}".encode(), 1000 * n + 7) for n in range(3 + 9 * i)]
        for i, tp in enumerate(places)
    }
    with messages(kafka, written) as pointers:
        order = mixed(pointers, seed)
        came = list(dict.fromkeys(map(place, order.tolist())))
        found = gather(order)

    assert list(found) == came
    assert {tp: of(held) for tp, held in found.items()} == written
    for tp, held in found.items():
        assert held.offsets.tolist() == list(range(len(written[tp])))


def test_offsets_may_have_holes(kafka: MockKafka) -> None:
    """Compaction and the markers of transactions leave them."""
    holes = [5, 6, 9, 10, 11, 40, 1 << 40]
    records = [Record(bytes([n])) for n in range(len(holes))]
    with messages(kafka, {TopicPartition("holes", 0): records}) as pointers:
        for address, offset in zip(pointers.tolist(), holes, strict=True):
            c_int64.from_address(address + OFFSET_AT).value = offset
        [held] = gather(pointers).values()

    assert held.offsets.tolist() == holes
    assert of(held) == records


@pytest.mark.parametrize("at", [0, 3, 9])
def test_an_error_among_records_is_named_and_all_messages_are_given_back(
    kafka: MockKafka, at: int
) -> None:
    topic = f"fault{at}"
    written = {TopicPartition(topic, p): [Record(b"v")] * 5 for p in (0, 1)}
    with messages(kafka, written) as pointers:
        where = place(int(pointers[at])).partition
        c_int.from_address(int(pointers[at]) + ERROR_AT).value = 29

        with pytest.raises(BrokerUnavailable, match=rf"{topic}\[{where}\] .*Topic authorization"):
            gather(pointers)


def test_of_no_messages_nothing_is_gathered() -> None:
    assert gather(np.zeros(0, np.int64)) == {}


def test_memory_is_given_back(kafka: MockKafka) -> None:
    """What one fetch took is free for the next, however many there are."""
    tp = TopicPartition("memory", 0)
    kafka.create(*tp._replace(partition=1))
    kafka.write(*tp, [Record(bytes(1000))] * 4000)
    consumer = Consumer({**kafka.client, **SETTINGS}, lambda _said: None)
    pointers = np.zeros(4000, np.int64)
    resident: dict[int, int] = defaultdict(int)
    for fetch in range(40):
        consumer.assign({tp: BEGINNING})
        taken, deadline = 0, time.monotonic() + WITHIN_S
        while taken < 4000:
            assert time.monotonic() < deadline
            now = consumer.take(pointers[: 4000 - taken], 0.05)
            gather(pointers[:now])
            taken += now
        with open("/proc/self/statm") as file:  # noqa: PTH123
            resident[fetch] = int(file.read().split()[1]) * 4096
    assert resident[39] - resident[9] < 30 << 20
    consumer.close()
