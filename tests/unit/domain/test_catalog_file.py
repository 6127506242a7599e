"""The catalog's file is valid as a whole, or refused with every fault at once."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.activity import spec
from app.domain.catalog_file import load_catalog, parse
from app.errors import ConfigError

VENUES = "[venues.KRAKEN]\n[venues.GATE]\n"
ANY = 'venue = "*"\nsymbol = "*"\n'


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse("my.toml", text)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("catalog my.toml, ") for line in lines)
    return [line.removeprefix("catalog my.toml, ") for line in lines]


def test_every_fault_is_named_at_once_with_place_key_rule_and_value() -> None:
    told = faults("""
        colour = "red"
        [venues.kraken]
        [venues.GATE]
        contiguous_ids = "yes"
        sesion = "24x7"
        [[instruments]]
        venue = "GATES"
        symbol = "*"
        tick_size = "0"
        [[series]]
        venue = "GATE"
        symbol = "*/USD"
        empty = "fill"
        [[series]]
        symbol = "*/EUR"
        grace = { M1 = 5 }
    """)

    assert told == [
        "venue kraken: name must be ^[A-Z0-9_]{1,32}$",
        "venue GATE: contiguous_ids must be true or false, was 'yes'",
        "venue GATE: sesion is no key of the catalog; is it session?",
        (
            'instruments 1: tick_size must be a decimal > 0 in quotes, such as "0.01", '
            "of at most 14 whole digits and 12 decimals, was '0'"
        ),
        "series 1: empty must be one of omit, carry, null, was 'fill'",
        (
            "series 2: venue must be a venue (^[A-Z0-9_]{1,32}$), with * and ? for any text "
            "and character"
        ),
        (
            'series 2: grace must be a duration, such as "30s", or one by timeframe, '
            "such as { M1 = \"5s\" }, was {'M1': 5}"
        ),
        "colour is no key of the catalog",
        "instruments 1: venue must be in [venues], was 'GATES'; is it GATE?",
    ]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('session = "NYSE"', "session must be 24x7, 24x5, or an exchange's code"),
        ("session = 24", "session must be"),
        ('conditions = "tape"', "conditions must be none or the name of a table"),
        ('symbols = { A = "b" }', "symbols must give names of the contract"),
        ("symbols = { A = 1 }", "symbols must give names of the contract"),
        ('symbols = { A = "B", B = "C" }', "symbols must not rename B, which it also gives"),
        ('symbols = { A = "A" }', "symbols must not rename A, which it also gives"),
        ("symbols = []", "symbols must be a table of our names"),
        ("contiguous_ids = 1", "contiguous_ids must be true or false"),
        ("empty = 1", "empty is no key of the catalog"),
    ],
)
def test_a_venue_that_breaks_a_rule_is_refused(line: str, rule: str) -> None:
    (fault,) = faults(f"[venues.GATE]\n{line}\n")

    assert fault.startswith(f"venue GATE: {rule}")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ('empty = "OMIT"', "empty must be one of omit, carry, null, was 'OMIT'"),
        ('clock = "wall"', "clock must be one of event, ingest, was 'wall'"),
        ("anchored = 0", "anchored must be true or false, was 0"),
        ('grace = "-1s"', "grace must be a duration"),
        ('grace = "30"', "grace must be a duration"),
        ('grace = { X1 = "5s" }', "grace must be a duration"),
        ("grace = 30", "grace must be a duration"),
        ("ticks = 1000", "ticks must be an array, was 1000"),
        ("ticks = [0]", "ticks must be whole numbers > 0, of at most 14 digits, was [0]"),
        ("ticks = [true]", "ticks must be whole numbers > 0"),
        ("ticks = [100000000000000]", "ticks must be whole numbers > 0"),
        ("ticks = [5, 5]", "ticks must name each once, was [5, 5]"),
        ("volumes = [0.5]", "volumes must be a decimal > 0 in quotes"),
        ('volumes = ["1e3"]', "volumes must be a decimal > 0 in quotes"),
        ('volumes = ["-1"]', "volumes must be a decimal > 0 in quotes"),
        ('volumes = ["1", "1.0"]', "volumes must name each once"),
        ("values = [true]", "values must be a decimal > 0 in quotes"),
        ('quotes = ["last"]', "quotes must be one of bid, ask, mid"),
        ('quotes = "bid"', "quotes must be an array"),
        ("session = 1", "session is no key of the catalog"),
        ("emtpy = 1", "emtpy is no key of the catalog; is it empty?"),
    ],
)
def test_a_series_that_breaks_a_rule_is_refused(line: str, rule: str) -> None:
    (fault,) = faults(f"[[series]]\n{ANY}{line}\n")

    assert fault.startswith(f"series 1: {rule}")


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ('venue = "kraken"\nsymbol = "*"', "venue must be a venue"),
        ('venue = "KRAKEN"\nsymbol = "btc"', "symbol must be a symbol"),
        ('venue = "KRAKEN"\nsymbol = "[AB]"', "symbol must be a symbol"),
        ('venue = "KRAKEN"', "symbol must be a symbol"),
        ('venue = "KRAKEM"\nsymbol = "*"', "venue must be in [venues], was 'KRAKEM'; is it KRAKEN"),
        ('venue = "Z*"\nsymbol = "*"', "venue must be in [venues], was 'Z*'"),
    ],
)
@pytest.mark.parametrize("kind", ["instruments", "series"])
def test_an_entry_says_what_it_is_for(kind: str, entry: str, rule: str) -> None:
    (fault,) = faults(f"{VENUES}[[{kind}]]\n{entry}\n")

    assert fault.startswith(f"{kind} 1: {rule}")


def test_two_entries_for_the_same_are_a_fault_as_one_would_never_decide() -> None:
    entry = 'venue = "KRAKEN"\nsymbol = "*/USD"\n'

    assert faults(f"{VENUES}[[series]]\n{entry}[[series]]\n{ANY}[[series]]\n{entry}") == [
        "series 3: venue and symbol must not be those of series 1, which decides"
    ]
    parse("my.toml", f"{VENUES}[[series]]\n{entry}[[instruments]]\n{entry}")
    nameless = '[[series]]\nsymbol = "*"\n'
    assert [fault[:16] for fault in faults(nameless * 2)] == [
        "series 1: venue ",
        "series 2: venue ",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[[series]]\nvenue = "ALL"\nsymbol = "*"\nof = ["KRAKEN", "GATES"]',
            "series 1: of must be venues in [venues], was 'GATES'; is it GATE?",
        ),
        (
            '[[series]]\nvenue = "GATE"\nsymbol = "*"\nof = ["KRAKEN", "GATE"]',
            "series 1: venue must not be in [venues], as it has of, was 'GATE'",
        ),
        (
            '[[series]]\nvenue = "*"\nsymbol = "*"\nof = ["KRAKEN", "GATE"]',
            "series 1: venue must be one name, as it has of, was '*'",
        ),
        (
            (
                '[[series]]\nvenue = "ALL"\nsymbol = "*"\nof = ["KRAKEN", "GATE"]\n'
                '[[series]]\nvenue = "ALL"\nsymbol = "BTC/USD"'
            ),
            "series 2: of must be there, as another entry of ALL has it",
        ),
        (
            '[[series]]\nvenue = "ALL"\nsymbol = "*"\nof = ["KRAKEN", "GATE"]\nclock = "ingest"',
            "series 1: clock must be that of its venues, as it has of, was 'ingest'",
        ),
    ],
)
def test_a_composite_has_a_name_of_its_own_and_is_made_of_venues(text: str, fault: str) -> None:
    assert faults(VENUES + text) == [fault]


@pytest.mark.parametrize("of", ['["KRAKEN"]', '["KRAKEN", "*"]', '["KRAKEN", "GAT?"]'])
def test_a_composite_is_made_of_two_venues_or_more(of: str) -> None:
    entry = f'[[series]]\nvenue = "*"\nsymbol = "*"\nof = {of}'

    (fault,) = faults(VENUES + entry)
    assert fault.startswith("series 1: of must be two venues or more, without globs, was [")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("venues = 1", "venues must be tables [venues.NAME], was 1"),
        ("[venues]\nKRAKEN = 1", "venues must be tables [venues.NAME], was {'KRAKEN': 1}"),
        ("[series]", "series must be tables [[series]], was {}"),
        ("instruments = [1]", "instruments must be tables [[instruments]], was [1]"),
    ],
)
def test_parts_of_another_shape_are_refused(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@given(st.from_regex(r"[0-9]{1,17}(\.[0-9]{1,15})?", fullmatch=True))
def test_a_threshold_is_taken_if_and_only_if_its_bars_can_be_named(text: str) -> None:
    number = Decimal(text)
    shortest = f"{number.normalize():f}" if number else "0"
    try:
        catalog = parse("my.toml", f'[[series]]\n{ANY}volumes = ["{text}"]')
    except ConfigError:
        with pytest.raises(ValueError, match="activity bar"):
            spec(f"V{shortest}")
    else:
        (volume,) = catalog.rules("A", "B").volumes
        assert f"{volume:f}" == shortest
        assert spec(f"V{volume:f}").threshold == number.scaleb(12)


@pytest.mark.parametrize("text", ["100", "0.5", "99999999999999.999999999999", "000.10"])
def test_thresholds_are_written_plainly(text: str) -> None:
    (volume,) = parse("my.toml", f'[[series]]\n{ANY}volumes = ["{text}"]').rules("A", "B").volumes

    assert volume == Decimal(text)
    assert spec(f"V{volume:f}").name == f"V{Decimal(text).normalize():f}"


def test_a_file_is_read_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = tmp_path / "catalog.toml"
    path.write_text("[venues.DESK]\ncontiguous_ids = true\n")
    assert load_catalog(path).contiguous_venues == {"DESK"}

    path.write_text("[venues.DESK\n")
    with pytest.raises(ConfigError, match=rf"catalog {path} must be TOML \(.*line 1"):
        load_catalog(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=f"catalog {path} must be a readable file"):
        load_catalog(path)
    with pytest.raises(ConfigError, match=f"catalog {tmp_path}/none must be a readable file"):
        load_catalog(tmp_path / "none")
