"""A checkpoint is atomic however much of it a crash left behind."""

import json

import pytest

from app.engine.checkpoint import Row, records, restored, row_key

FIRST: list[Row] = [("a", "[1]"), ("b", "[1]"), ("gone", "[1]"), ("", "[1]")]
SECOND: list[Row] = [("b", "[2]"), ("c", "[2]"), ("gone", None), ("", "[2]")]
AFTER_FIRST = {"a": "[1]", "b": "[1]", "gone": "[1]", "": "[1]"}
AFTER_SECOND = {"a": "[1]", "b": "[2]", "c": "[2]", "": "[2]"}


def replay(log: list[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
    """Return the table that Faust recovers from a changelog."""
    table: dict[bytes, bytes] = {}
    for key, value in log:
        table.pop(key, None)
        if value is not None:
            table[key] = value
    return table


def log_of(second: list[Row] = SECOND) -> tuple[list[tuple[bytes, bytes | None]], int]:
    first = list(records(0, 1, FIRST))
    return first + list(records(0, 2, second)), len(first)


@pytest.mark.parametrize("written", range(6))
def test_a_crash_leaves_one_checkpoint_or_the_other(written: int) -> None:
    """Cut after any record of the second one: the first, whole, or the second, whole."""
    log, first = log_of()

    number, rows = restored(0, replay(log[: first + written]))

    assert (number, rows) == ((1, AFTER_FIRST) if written == 0 else (2, AFTER_SECOND))


def test_a_journal_of_several_records_counts_only_when_all_are_there() -> None:
    long = "9" * 600_000
    second: list[Row] = [("b", f"[{long}]"), ("c", f"[{long}]"), *SECOND]
    log, first = log_of(second)
    chunks = sum(1 for key, _ in log[first:] if b"journal" in key)
    assert chunks > 1

    assert restored(0, replay(log[: first + chunks - 1])) == (1, AFTER_FIRST)
    assert restored(0, replay(log[: first + chunks]))[1] == AFTER_SECOND | {
        "b": "[2]", "c": "[2]",
    }  # fmt: skip


def test_partitions_do_not_mix() -> None:
    table = replay([*records(1, 1, [("a", "[1]")]), *records(11, 5, [("a", "[11]")])])

    assert restored(1, table) == (1, {"a": "[1]"})
    assert restored(11, table) == (5, {"a": "[11]"})
    assert restored(2, table) == (0, {})


def test_the_journal_is_written_before_any_row() -> None:
    keys = [key for key, _ in records(0, 1, FIRST)]

    assert keys[0] == row_key(0, "\x00journal|0")
    assert json.loads(dict(records(0, 1, FIRST))[keys[0]] or b"")["of"] == 1
