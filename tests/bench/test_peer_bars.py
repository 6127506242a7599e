"""What is said of another system's bars: which must be there, which differ, how much is lost."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from tests.bench.peer_bars import Checked, Key, check, closed

MINUTE_US = 60_000_000

Bars = dict[Key, dict[str, Any]]


def bar(trades: int = 10, **values: str) -> dict[str, Any]:
    """Return a bar of `trades`."""
    numbers = {"open": "1", "high": "3", "low": "0.5", "close": "2", "volume": "7.5", **values}
    return {"trades": trades, **{name: Decimal(number) for name, number in numbers.items()}}


def bars(minutes: Iterable[int], symbol: str = "A", trades: int = 10) -> Bars:
    return {(symbol, minute * MINUTE_US): bar(trades) for minute in minutes}


def checked(
    expected: Bars, found: Bars, *, is_whole: bool = True, sends_open: bool = True
) -> Checked:
    certain = closed(expected, found, is_whole=is_whole, sends_open=sends_open)
    return check(expected, found, certain)


def test_all_bars_of_a_symbol_but_its_newest_are_compared() -> None:
    #  minute:    0    1    2
    #  expected:  10   10   10
    #  found:     10   10    4      the last one is open still
    expected = bars([0, 1, 2])
    found = bars([0, 1]) | bars([2], trades=4)

    assert checked(expected, found) == Checked(2, 0, 20, 0)


def test_after_a_part_of_the_topic_the_newest_bar_written_may_be_open() -> None:
    expected = bars([0, 1, 2, 3])

    assert checked(expected, bars([0, 1]), is_whole=False).bars == 1
    assert checked(expected, {}, is_whole=False).text == "none closed"
    assert checked(expected, bars([0, 1])).wrong == 1


def test_the_newest_bar_of_a_system_that_writes_closed_ones_only_is_closed() -> None:
    expected = bars([0, 1, 2, 3])
    short = bars([0]) | bars([1], trades=4)

    assert checked(expected, bars([0, 1]), is_whole=False, sends_open=False).text == "2 exact"
    assert checked(expected, short, is_whole=False, sends_open=False).lost == 6
    assert checked(expected, {}, is_whole=False, sends_open=False).text == "none closed"
    assert checked(expected, bars([0, 1, 2]), sends_open=False).text == "3 exact"


def test_a_hole_between_bars_is_lost_ticks() -> None:
    found = checked(bars([0, 1, 2, 3]), bars([0, 2, 3]), is_whole=False)

    assert (found.wrong, found.lost) == (1, 10)
    assert found.text == "1 of 3 wrong, 33.33% of their ticks lost"


def test_ticks_that_were_dropped_are_counted() -> None:
    found = checked(bars([0, 1]), bars([0], trades=9) | bars([1]))

    assert (found.wrong, found.lost) == (1, 1)


def test_a_bar_that_no_tick_made_is_wrong() -> None:
    assert checked(bars([1, 2]), bars([0, 1, 2])).wrong == 1


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
def test_every_value_is_compared(field: str) -> None:
    expected = bars([0, 1])
    found = checked(expected, expected | {("A", 0): bar(**{field: "9"})})

    assert found.wrong == 1
    assert "expected" in found.example


def test_a_sum_of_floats_is_right_but_not_exact() -> None:
    expected = bars([0, 1])
    nearly = expected | {("A", 0): bar(volume="7.5000000001")}
    off = expected | {("A", 0): bar(volume="7.50000001")}

    assert checked(expected, expected).text == "1 exact"
    assert checked(expected, nearly).text == "1 to 1e-9"
    assert checked(expected, off).wrong == 1


def test_bars_come_in_any_order() -> None:
    expected = bars([0, 1, 2])

    assert checked(bars([2, 0, 1]), bars([1, 2, 0]), is_whole=False).bars == 2
    assert checked(bars([2, 0, 1]), expected).bars == 2


def test_symbols_are_compared_each_to_its_own_newest() -> None:
    expected = bars([0, 1, 2], "A") | bars([0, 1], "B")

    assert checked(expected, expected).bars == 3
