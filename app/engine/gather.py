"""Read fetched messages where librdkafka left them, and put them side by side by partition."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import binding
from numba import carray, types
from numba.extending import intrinsic

from app.engine.librdkafka import addresses, reason, topic_name
from app.errors import BrokerUnavailable
from app.topics import TopicPartition
from schemas.compiled import compiled
from schemas.packed import PADDING, Bytes, Packed, Positions

_MESSAGE_WORDS = 9
"""rd_kafka_message_t: err, rkt, partition, payload, len, key, key_len, offset, private."""
_ERR, _TOPIC, _PARTITION, _PAYLOAD, _SIZE, _KEY, _KEY_SIZE, _OFFSET = range(8)
_MOST_GROUPS = 16_384

for _name, _address in addresses(
    ["rd_kafka_message_destroy", "rd_kafka_message_timestamp"]
).items():
    binding.add_symbol(_name, _address)

# Known by name, so that the compiled loops can be kept on disk.
_destroy = types.ExternalFunction("rd_kafka_message_destroy", types.void(types.intp))
_timestamp = types.ExternalFunction(
    "rd_kafka_message_timestamp", types.int64(types.intp, types.intp)
)


class Gathered(NamedTuple):
    """The n records of one partition in a fetch, in order.

    Attributes:
        values: Kafka values.
        keys: Kafka keys.
        offsets: Kafka offsets, increasing.
        appended_us: Kafka's times of them, µs.
    """

    values: Packed
    keys: Packed
    offsets: Positions
    appended_us: Positions


def gather(messages: Positions) -> dict[TopicPartition, Gathered]:
    """Copy messages, n pointers, into arrays, and destroy them.

    Raises:
        BrokerUnavailable: One is an error of the broker's; all are destroyed.
    """
    n = len(messages)
    group_of = np.empty(n, np.int32)
    groups = np.zeros((_MOST_GROUPS, len(_Group._fields)), np.int64)
    count = _survey(messages, group_of, groups)
    if count < 0:
        _destroy_all(messages)
        raise AssertionError(f"a fetch must be of at most {_MOST_GROUPS} partitions")
    found = [_Group(*row) for row in groups[:count].tolist()]
    names = [TopicPartition(topic_name(each.topic), each.partition) for each in found]
    for tp, each in zip(names, found, strict=True):
        if each.error:
            _destroy_all(messages)
            raise BrokerUnavailable(
                f"{tp.topic}[{tp.partition}] cannot be read: {reason(each.error)}"
            )
    begins = np.zeros((count, 3), np.int64)
    sizes = groups[:count, 3:6]
    begins[1:] = np.cumsum(sizes, axis=0)[:-1]
    records, value_bytes, key_bytes = sizes.sum(axis=0).tolist()
    values, keys = _buffer(value_bytes), _buffer(key_bytes)
    starts, ends, key_starts, key_ends, offsets, appended_us = np.empty((6, records), np.int64)
    _copy(
        messages, group_of, begins.copy(), values, keys,
        starts, ends, key_starts, key_ends, offsets, appended_us,
    )  # fmt: skip
    gathered = {}
    for tp, each, begin in zip(names, found, begins[:, 0].tolist(), strict=True):
        rows = slice(begin, begin + each.records)
        gathered[tp] = Gathered(
            Packed(values, starts[rows], ends[rows]),
            Packed(keys, key_starts[rows], key_ends[rows]),
            offsets[rows],
            appended_us[rows],
        )
    return gathered


class _Group(NamedTuple):
    """One partition in a fetch."""

    topic: int
    partition: int
    error: int
    records: int
    value_bytes: int
    key_bytes: int


def _buffer(size: int) -> Bytes:
    buffer = np.empty(size + PADDING, np.uint8)
    buffer[size:] = 0
    return buffer


@intrinsic  # type: ignore[untyped-decorator]
def _at(_context: Any, _address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


@compiled
def _survey(messages: Positions, group_of: npt.NDArray[np.int32], groups: Positions) -> int:
    """Find the partitions and how much there is of each; return how many, -1 for too many."""
    count = 0
    group = 0
    for row in range(len(messages)):
        message = carray(_at(messages[row]), _MESSAGE_WORDS, np.int64)
        topic, partition = message[_TOPIC], np.int32(message[_PARTITION])
        if count == 0 or groups[group, 0] != topic or groups[group, 1] != partition:
            group = 0
            while group < count and (groups[group, 0] != topic or groups[group, 1] != partition):
                group += 1
            if group == count:
                if count == len(groups):
                    return -1
                groups[group, 0], groups[group, 1] = topic, partition
                count += 1
        group_of[row] = group
        error = np.int32(message[_ERR])
        if error != 0:
            groups[group, 2] = error
        groups[group, 3] += 1
        groups[group, 4] += message[_SIZE] if message[_PAYLOAD] != 0 else 0
        groups[group, 5] += message[_KEY_SIZE] if message[_KEY] != 0 else 0
    return count


@compiled
def _copy(  # noqa: PLR0913 - one loop, many columns
    messages: Positions,
    group_of: npt.NDArray[np.int32],
    at: Positions,
    values: Bytes,
    keys: Bytes,
    starts: Positions,
    ends: Positions,
    key_starts: Positions,
    key_ends: Positions,
    offsets: Positions,
    appended_us: Positions,
) -> None:
    """Copy each message behind those of its group, at [record, value byte, key byte] of `at`."""
    for row in range(len(messages)):
        message = carray(_at(messages[row]), _MESSAGE_WORDS, np.int64)
        group = group_of[row]
        n = at[group, 0]
        at[group, 0] += 1
        starts[n] = at[group, 1]
        ends[n] = at[group, 1] = _put(message[_PAYLOAD], message[_SIZE], values, at[group, 1])
        key_starts[n] = at[group, 2]
        key_ends[n] = at[group, 2] = _put(message[_KEY], message[_KEY_SIZE], keys, at[group, 2])
        if message[_PAYLOAD] == 0:
            ends[n] -= 1
        if message[_KEY] == 0:
            key_ends[n] -= 1
        offsets[n] = message[_OFFSET]
        appended_us[n] = _timestamp(messages[row], 0) * 1000
        _destroy(messages[row])


@compiled
def _put(address: int, size: int, buffer: Bytes, at: int) -> int:
    """Copy `size` bytes; return where they end."""
    if address == 0:
        return at
    held = carray(_at(address), size, np.uint8)
    # Unsigned, or numba would look for negative indices, one byte at a time.
    to = np.uint64(at)
    for n in range(np.uint64(size)):
        buffer[to + n] = held[n]
    return at + size


@compiled
def _destroy_all(messages: Positions) -> None:
    for row in range(len(messages)):
        _destroy(messages[row])
