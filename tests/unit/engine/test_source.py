"""How a fetch is cut into runs of one partition."""

from typing import NamedTuple

import pytest

from app.engine.source import _by_partition
from app.errors import BrokerUnavailable
from app.topics import TopicPartition


class Record(NamedTuple):
    """What `_by_partition` asks of a record."""

    where: str
    at: int
    fault: str | None = None

    def topic(self) -> str:
        return self.where[0]

    def partition(self) -> int:
        return int(self.where[1:])

    def offset(self) -> int:
        return self.at

    def error(self) -> str | None:
        return self.fault


def cut(*records: Record) -> dict[str, list[list[int]]]:
    found = _by_partition(list(records))  # type: ignore[arg-type]
    return {f"{tp.topic}{tp.partition}": [[r.offset() for r in run] for run in runs]
            for tp, runs in found.items()}  # fmt: skip


def run(where: str, *offsets: int) -> list[Record]:
    return [Record(where, offset) for offset in offsets]


@pytest.mark.parametrize("lengths", [(1,), (2,), (3,), (7, 1, 8), (100, 33, 64), (1, 1, 1, 1)])
def test_runs_of_any_length_are_found(lengths: tuple[int, ...]) -> None:
    records, expected = [], {}
    for n, length in enumerate(lengths):
        records += run(f"t{n}", *range(5, 5 + length))
        expected[f"t{n}"] = [list(range(5, 5 + length))]

    assert cut(*records) == expected


def test_a_partition_that_comes_twice_keeps_its_order() -> None:
    assert cut(*run("t0", 1, 2), *run("t1", 7), *run("t0", 3, 4)) == {
        "t0": [[1, 2], [3, 4]], "t1": [[7]],
    }  # fmt: skip


def test_a_hole_in_the_offsets_ends_a_run() -> None:
    assert cut(*run("t0", 1, 2, 5, 6)) == {"t0": [[1, 2], [5, 6]]}


def test_a_hole_never_hides_a_record_of_another_partition_or_topic() -> None:
    """The hole at 3 makes up for the stranger: by offset and index alone this is one run."""
    for stranger in ("t1", "u0"):
        found = cut(*run("t0", 0, 1, 2), *run(stranger, 9), *run("t0", 4, 5))

        assert found[stranger] == [[9]]
        assert [offset for run in found["t0"] for offset in run] == [0, 1, 2, 4, 5]


def test_an_error_among_the_records_is_named() -> None:
    with pytest.raises(BrokerUnavailable, match=r"t\[0\] cannot be read: gone"):
        cut(*run("t1", 1), Record("t0", -1001, "gone"))


def test_keys_are_topic_and_partition() -> None:
    assert list(_by_partition([Record("t3", 0)])) == [TopicPartition("t", 3)]  # type: ignore[list-item]
