"""Roles are a ladder, and patterns say which series and streams."""

import pytest

from app.api.access.roles import Principal, Role


def test_a_role_includes_itself_and_those_before_it() -> None:
    table = [[has.includes(other) for other in Role] for has in Role]

    assert table == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


@pytest.mark.parametrize(
    ("words", "role"),
    [
        ([], None), (["root"], None), (["viewer"], Role.VIEWER), ([" OPS "], Role.OPS),
        (["viewer", "admin", "x"], Role.ADMIN), (["administrator"], None),
    ],
)  # fmt: skip
def test_the_highest_role_that_is_known_counts(words: list[str], role: Role | None) -> None:
    assert Role.highest(words) is role


def test_without_patterns_everything_is_seen() -> None:
    who = Principal("a", Role.VIEWER, "key", "k")

    assert who.may_see("BTC/USD@KRAKEN")
    assert who.may_follow("ticks")


@pytest.mark.parametrize(
    ("pattern", "series", "is_seen"),
    [
        ("BTC/*@*", "BTC/USD@KRAKEN", True),
        ("BTC/*@*", "WBTC/USD@KRAKEN", False),
        ("*@KRAKEN", "BTC/USD@KRAKEN", True),
        ("*@KRAKEN", "BTC/USD@KRAKENX", False),
        ("btc/*@*", "BTC/USD@KRAKEN", False),
        ("SPY@NYSE", "SPY@NYSE", True),
        ("SP?@NYSE", "SPY@NYSE", True),
    ],
)
def test_a_pattern_fits_a_whole_series_in_its_own_case(
    pattern: str, series: str, is_seen: bool
) -> None:
    assert Principal("a", Role.VIEWER, "key", "k", None, (pattern,)).may_see(series) is is_seen
