"""What a print counts for, by its sale conditions."""

import re
import tomllib
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.conditions import (
    CACHED,
    ConditionTable,
    Ohlcv,
    Uses,
    ohlcv,
    table,
    table_on,
    tables,
)
from app.errors import ConfigError

ROOT = Path(__file__).parents[3]
PRICES = Uses.OPEN_CLOSE | Uses.HIGH_LOW
IN_RANGE = Uses.HIGH_LOW | Uses.VOLUME

TODAY = {
    Uses.ALL: ["", " ", *"@ADEFKLOSXY1256", "TTE"],
    IN_RANGE: [*"GPZ34"],
    Uses.VOLUME: [*"BCHINRTUVW78"],
    PRICES: ["9"],
    Uses.NONE: [*"MQ"],
}
"""The consolidated tapes' matrices, as the data file cites them."""


def us(version: int | None = None) -> ConditionTable:
    return table("us_equities", version)


def rule(*uses: str, name: str = "A name") -> str:
    return f'{{ name = "{name}", uses = {list(uses)} }}'


def text(*rules: str, number: int = 1, since: str = "", more: str = "") -> str:
    """Return one version of a table, by default with one rule."""
    lines = rules or (f'"@" = {rule("open_close", "high_low", "volume")}',)
    header = f"[[versions]]\nnumber = {number}\n{since}\n{more}\n[versions.rules]\n"
    return header + "\n".join(lines) + "\n"


def faults_of(*texts: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        tables({f"t{n}": content for n, content in enumerate(texts)})
    return str(caught.value).split("; ")


@pytest.mark.parametrize(
    ("code", "uses"),
    [(code, uses) for uses, codes in TODAY.items() for code in codes],
)
def test_each_code_counts_as_the_tapes_say(code: str, uses: Uses) -> None:
    assert us().uses([code]) == uses
    assert us().unknown([code]) == ()


def test_no_code_is_untested() -> None:
    assert set(us().rules) == {code for codes in TODAY.values() for code in codes}


def test_a_print_without_conditions_counts_for_everything() -> None:
    assert us().uses([]) == Uses.ALL


@pytest.mark.parametrize(
    ("codes", "uses"),
    [
        ("@F", Uses.ALL),  # a sweep by regular settlement
        ("@4", IN_RANGE),  # UTDF's own example: high and low yes, last no, volume yes
        ("4W", Uses.VOLUME),  # the average price decides, whichever comes first
        ("W4", Uses.VOLUME),
        ("9Z", Uses.HIGH_LOW),  # each forbids what the other allows
        ("6M", Uses.NONE),
    ],
)
def test_a_print_updates_what_all_its_conditions_allow(codes: str, uses: Uses) -> None:
    assert us().uses([*codes]) == uses


@given(st.lists(st.sampled_from([*us().rules])), st.lists(st.sampled_from([*us().rules])))
def test_more_conditions_never_allow_more(some: list[str], more: list[str]) -> None:
    assert us().uses(some + more) == us().uses(some) & us().uses(more)


def test_an_unknown_code_forbids_nothing_and_is_named() -> None:
    assert us().uses(["?", "@"]) == Uses.ALL
    assert us().uses(["W", "?"]) == Uses.VOLUME
    assert us().unknown(["@", "?", "F", "!", "?"]) == ("?", "!", "?")


@pytest.mark.parametrize("name", ["us_equities", "us_equities_extended", "lean_us"])
def test_what_opens_a_bar_is_within_its_range(name: str) -> None:
    """Else a bar could close above its high."""
    for uses in table(name).rules.values():
        assert not uses & Uses.OPEN_CLOSE or uses & Uses.HIGH_LOW


@pytest.mark.parametrize(
    ("day", "version"),
    [
        (date(2013, 10, 8), 1),
        (date(2013, 12, 8), 1),
        (date(2013, 12, 9), 2),
        (date(2015, 7, 26), 2),
        (date(2015, 7, 27), 3),
        (date(2026, 1, 2), 3),
    ],
)
def test_an_old_day_is_judged_by_the_rules_of_its_time(day: date, version: int) -> None:
    assert table_on("us_equities", day) is us(version)
    assert us(version).version == version


def test_what_changed_with_each_version() -> None:
    assert [us(n).uses(["I"]) for n in (1, 2, 3)] == [IN_RANGE, Uses.VOLUME, Uses.VOLUME]
    assert [us(n).uses(["V"]) for n in (1, 2, 3)] == [Uses.ALL, Uses.ALL, Uses.VOLUME]
    assert [us(n).uses(["7"]) for n in (1, 2, 3)] == [Uses.VOLUME] * 3
    assert [us(n).unknown(["9"]) for n in (1, 2, 3)] == [("9",), (), ()]
    for old, new in ((1, 2), (2, 3)):
        unchanged = us(old).rules.keys() - {"I", "V", "7", "9"}
        assert all(us(old).rules[code] == us(new).rules[code] for code in unchanged)


def test_the_newest_version_is_the_default() -> None:
    assert us() is us(3)
    assert us().valid_from == date(2015, 7, 27)
    assert us(1).valid_from is None


def test_a_table_or_version_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(
        ConfigError,
        match="must be one of lean_us, us_equities, us_equities_extended, was 'us_equity'",
    ):
        table("us_equity")
    with pytest.raises(ConfigError, match="must be one of lean_us, us_equities"):
        table_on("tsx", date(2020, 1, 1))
    with pytest.raises(ConfigError, match="us_equities has versions 1, 2, 3, not 4"):
        us(4)
    with pytest.raises(ConfigError, match="not 0"):
        us(0)


def test_outside_the_session_extended_hours_prints_make_the_prices() -> None:
    for version in (1, 2, 3):
        extended = table("us_equities_extended", version)
        assert extended.name == "us_equities_extended"
        assert extended.valid_from == us(version).valid_from
        assert extended.uses(["@", "T"]) == Uses.ALL
        assert extended.uses(["T", "W"]) == Uses.VOLUME
        assert extended.uses(["U"]) == IN_RANGE
        others = us(version).rules.keys() - {"T", "U"}
        assert all(extended.rules[code] == us(version).rules[code] for code in others)


def test_the_vendor_keeps_sweeps_and_exempt_prints_out_of_its_prices() -> None:
    exceptions = {"F": Uses.VOLUME, "I": Uses.VOLUME, "TTE": Uses.VOLUME}
    exceptions |= {"M": Uses.NONE, "Q": Uses.NONE}
    rules = table("lean_us").rules
    assert dict(rules) == dict.fromkeys(rules, Uses.ALL) | exceptions


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        (0, []),
        (0x1, ["@"]),
        (0x20, ["F"]),
        (0x20000020, ["F", "TTE"]),
        (0x20000001, ["@", "TTE"]),
        (0x20200040, ["O", "X", "TTE"]),
        (0x80, ["6"]),
        (0x4000000, ["Q"]),
        (0x1000001, ["@", "M"]),
        (0x2000, ["T"]),
        (0x400, ["T"]),
        (0x4800, ["Z"]),  # two bits for one condition
        (0x4000, ["Z"]),
        (0x800, ["L"]),
        (0x6000, ["U"]),
        (0x20104800, ["Z", "W", "TTE"]),
        (0x20040200, ["4", "V", "TTE"]),
        (0x80000000, ["I"]),
        (0x40000001, ["@", "0x40000000"]),  # undocumented: named, not swallowed
        (0x100000000, ["0x100000000"]),
    ],
)
def test_bits_are_read_as_codes(flags: int, codes: list[str]) -> None:
    assert table("lean_us").codes(flags) == tuple(codes)


def test_every_bit_of_the_feed_has_a_code_the_tapes_know() -> None:
    """In the order of LEAN's TradeConditionFlags."""
    by_bit = [*"@CNRYFO654TL1TZSABVDWXHKMPQIE", "TTE", "0x40000000", "I"]

    codes = [code for bit in range(32) for code in table("lean_us").codes(1 << bit)]

    assert codes == by_bit
    assert us().unknown(codes) == table("lean_us").unknown(codes) == ("0x40000000",)


def test_a_venue_that_names_its_conditions_has_no_flags() -> None:
    assert us().flags == ()


def test_what_is_remembered_of_strange_conditions_has_a_bound() -> None:
    [[small]] = tables({"small": text()}).values()
    for n in range(CACHED + 10):
        small.uses([str(n)])

    assert small._known.cache_info().currsize == CACHED  # type: ignore[attr-defined]


def test_a_bar_takes_each_value_from_the_prints_that_may_give_it() -> None:
    #  uses:   volume   all   in range   all   in range
    bar = ohlcv(
        [
            (50, 1, Uses.VOLUME),
            (10, 2, Uses.ALL),
            (14, 4, IN_RANGE),
            (11, 8, Uses.ALL),
            (9, 16, IN_RANGE),
        ]
    )

    assert bar == Ohlcv(open=10, high=14, low=9, close=11, volume=31)


def test_a_corrected_close_has_no_volume() -> None:
    assert ohlcv([(10, 5, Uses.ALL), (12, 7, PRICES)]) == Ohlcv(10, 12, 10, 12, 5)


def test_a_bar_may_have_a_range_and_no_open() -> None:
    prints = [(12, 1, IN_RANGE), (10, 1, Uses.VOLUME), (15, 1, IN_RANGE), (11, 1, IN_RANGE)]

    assert ohlcv(prints) == Ohlcv(None, 15, 11, None, 4)


def test_prints_without_a_price_to_give_make_a_bar_without_prices() -> None:
    assert ohlcv([(12, 3, Uses.VOLUME), (9, 100, Uses.NONE)]) == Ohlcv(None, None, None, None, 3)
    assert ohlcv([]) == Ohlcv(None, None, None, None, 0)


def test_a_version_takes_over_the_rules_before_it() -> None:
    first = text(f'"A" = {rule("volume")}', f'"B" = {rule("volume")}')
    second = text(f'"B" = {rule()}', number=2, since="valid_from = 2020-01-01")

    old, new = tables({"both": first + second})["both"]

    assert (old.rules["A"], old.rules["B"]) == (Uses.VOLUME, Uses.VOLUME)
    assert (new.rules["A"], new.rules["B"]) == (Uses.VOLUME, Uses.NONE)
    assert new.valid_from == date(2020, 1, 1)


LATER = "valid_from = 2020-01-01"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[", "condition table t0: "),
        ("", "t0: versions must be an array of tables, was None"),
        ("versions = []", r"t0: versions must be an array of tables, was \[\]"),
        ("versions = [1]", r"t0: versions must be an array of tables, was \[1\]"),
        ("colour = 1\n" + text(), "t0: 'colour' is not known"),
        (text(more="colour = 1"), "t0, version 1: 'colour' is not known"),
        (text(number=2), "t0, version 1: number must be 1, was 2"),
        (text(since=LATER), "version 1: valid_from must be left out of the first"),
        (text() + text(number=2), "version 2: valid_from must be a date after .*, was None"),
        (
            text() + text(number=2, since="valid_from = 2020-01-01T00:00:00"),
            "version 2: valid_from must be a date",
        ),
        (
            text() + text(number=2, since=LATER) + text(number=3, since=LATER),
            "version 3: valid_from must be a date after 2020-01-01, was .*2020, 1, 1",
        ),
        ("[[versions]]\nnumber = 1", "t0, version 1: rules must be a table, was None"),
        ("[[versions]]\nnumber = 1\nrules = 3", "rules must be a table, was 3"),
        (text('"@" = 7'), "code '@': must be a table of name and uses, was 7"),
        (text(f'"@" = {rule(name="")}'), "code '@': name must be text, was ''"),
        (text('"@" = { uses = [] }'), "code '@': name must be text, was None"),
        (text('"@" = { name = "N" }'), "code '@': uses must be an array of open_close, high_low"),
        (text(f'"@" = {rule("hilo")}'), r"code '@': uses must be .*, was \['hilo'\]"),
        (text('"@" = { name = "N", uses = "volume" }'), "uses must be an array of"),
        (text('"@" = { name = "N", uses = [["volume"]] }'), "uses must be an array of"),
        (
            text(f'"@" = {rule("open_close", "volume")}'),
            "code '@': uses with open_close must have high_low",
        ),
        (text('"@" = { name = "N", uses = [], x = 1 }'), "code '@': 'x' is not known"),
        ("flags = 3\n" + text(), "t0: flags must be a table, was 3"),
        (text() + "[flags]\n1 = '@'", "t0: a flag must be a mask in hex above 0, was '1'"),
        (text() + "[flags]\n0x0 = '@'", "a flag must be a mask in hex above 0, was '0x0'"),
        (text() + "[flags]\n0x1 = 'W'", "flag 0x1: must be a code with a rule, was 'W'"),
        (text() + "[flags]\n0x1 = ['@']", "flag 0x1: must be a code with a rule"),
        ("extends = 'none'\n[rules]\n'@' = " + rule(), "extends must name a table with versions"),
        ("extends = 't0'\n[rules]\n'@' = " + rule(), "extends must name a table with versions"),
        ("extends = ['t0']\n[rules]\n'@' = " + rule(), "extends must name a table with versions"),
    ],
)
def test_a_broken_file_is_refused_and_its_fault_named(content: str, fault: str) -> None:
    [found] = faults_of(content)

    assert re.search(fault, found)
    assert found.startswith("condition table t0")


def test_what_extends_a_table_is_checked_too() -> None:
    assert faults_of(text(), "extends = 't0'") == [
        "condition table t1: rules must be a table, was None"
    ]
    assert faults_of(text(), "extends = 't0'\nx = 1\n[rules]\n'@' = 7") == [
        "condition table t1: 'x' is not known",
        "condition table t1, code '@': must be a table of name and uses, was 7",
    ]


def test_every_fault_of_every_file_is_named_at_once() -> None:
    faults = faults_of("[", text('"@" = 7', f'"A" = {rule("x")}', number=9), text())

    assert [fault.partition(":")[0] for fault in faults] == [
        "condition table t0",
        "condition table t1, version 1",
        "condition table t1, version 1, code '@'",
        "condition table t1, version 1, code 'A'",
    ]


def test_every_table_is_shipped_with_the_package() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = pyproject["tool"]["setuptools"]["package-data"]["app.domain"]
    found = [path.name for path in (ROOT / "app/domain/condition_tables").iterdir()]

    assert len(found) == 3
    for name in found:
        assert any(fnmatch(f"condition_tables/{name}", pattern) for pattern in patterns)
