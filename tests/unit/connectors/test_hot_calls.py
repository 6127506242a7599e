"""How a long put is cut into round trips."""

from collections.abc import Iterator

import pytest

from connectors import hot_calls
from connectors.hot_calls import trips


def test_a_trip_ends_with_the_part_that_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hot_calls, "ARGUMENTS_PER_TRIP", 10)

    found = list(trips(["4444", "55555", "1", "22", "10--------", "3--"], len))

    assert found == [["4444", "55555", "1"], ["22", "10--------"], ["3--"]]
    assert list(trips(["10--------"], len)) == [["10--------"]]
    assert list(trips([], len)) == []


def test_a_trip_leaves_before_the_next_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of a backfill is not rendered whole beside what is sent of it."""
    monkeypatch.setattr(hot_calls, "ARGUMENTS_PER_TRIP", 2)
    made = []

    def parts() -> Iterator[str]:
        for part in "abcd":
            made.append(part)
            yield part

    assert next(trips(parts(), len)) == ["a", "b"]
    assert made == ["a", "b"]
