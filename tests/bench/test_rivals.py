"""What the comparison with other systems rests on: marks, bars, pins, and what is left out."""

import re
import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.errors import ConfigError
from infra.local import kafka
from infra.local.home import Home
from schemas.registry import current
from tests.bench.engine import BARE
from tests.bench.ground import BenchFailed
from tests.bench.installed import PEERS, NotInstalled, _run
from tests.bench.one_schema import registry
from tests.bench.peer_bars import Checked, Key, check
from tests.bench.rival import Outcome, Rival, marks
from tests.bench.rivals import OURS, RIVALS, Options, chosen, installed, measured, report
from tests.bench.systems import Mark, Run

MINUTE_US = 60_000_000


def bar(trades: int = 10, **values: str) -> dict[str, Any]:
    """Return a bar of `trades`."""
    numbers = {"open": "1", "high": "3", "low": "0.5", "close": "2", "volume": "7.5", **values}
    return {"trades": trades, **{name: Decimal(number) for name, number in numbers.items()}}


def bars(minutes: Iterable[int], symbol: str = "A", trades: int = 10) -> dict[Key, dict[str, Any]]:
    return {(symbol, minute * MINUTE_US): bar(trades) for minute in minutes}


def options(only: tuple[str, ...] = (), ticks_of: tuple[str, ...] = ()) -> Options:
    return Options(200_000, 50, 1, 1000.0, only, ticks_of)


def run(rate: float = 1000.0) -> Run:
    return Run(ticks=int(rate), seconds=1.0, cpu_s=0.5, peak_mb=100.0)


def described() -> dict[str, Any]:
    return {"ticks": 1000, "symbols": 5, "machine": {"cores": 2}}


# --- marks


def test_marks_are_read_among_other_output_up_to_the_last_tick() -> None:
    lines = [
        b"a banner\n",
        b'{"at": 10.5, "ticks": 1}\n',
        b'{"level": "info"}\n',
        b'{"at": 11.0, "ticks": 50}\n',
        b'{"at": 12.25, "ticks": 101}\n',
        b'{"at": 99.0, "ticks": 200}\n',
    ]

    assert list(marks(lines, 100)) == [Mark(10.5, 1), Mark(11.0, 50), Mark(12.25, 101)]


def test_a_program_that_ends_early_gives_the_marks_it_gave() -> None:
    assert list(marks([b'{"at": 10.5, "ticks": 1}\n'], 100)) == [Mark(10.5, 1)]


# --- bars


def test_all_bars_of_a_symbol_but_its_newest_are_compared() -> None:
    #  minute:    0    1    2
    #  expected:  10   10   10
    #  found:     10   10    4      the last one is open still
    expected = bars([0, 1, 2])
    found = bars([0, 1]) | bars([2], trades=4)

    assert check(expected, found, is_whole=True) == Checked(2, 0, 20, 0)


def test_after_a_part_of_the_topic_the_newest_bar_written_may_be_open() -> None:
    expected = bars([0, 1, 2, 3])

    assert check(expected, bars([0, 1]), is_whole=False).bars == 1
    assert check(expected, {}, is_whole=False).text == "none closed"
    assert check(expected, bars([0, 1]), is_whole=True).wrong == 1


def test_a_hole_between_bars_is_lost_ticks() -> None:
    checked = check(bars([0, 1, 2, 3]), bars([0, 2, 3]), is_whole=False)

    assert (checked.wrong, checked.lost) == (1, 10)
    assert checked.text == "1 of 3 wrong, 33.33% of their ticks lost"


def test_ticks_that_were_dropped_are_counted() -> None:
    checked = check(bars([0, 1]), bars([0], trades=9) | bars([1]), is_whole=True)

    assert (checked.wrong, checked.lost) == (1, 1)


def test_a_bar_that_no_tick_made_is_wrong() -> None:
    assert check(bars([1, 2]), bars([0, 1, 2]), is_whole=True).wrong == 1


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
def test_every_value_is_compared(field: str) -> None:
    expected = bars([0, 1])
    found = expected | {("A", 0): bar(**{field: "9"})}

    checked = check(expected, found, is_whole=True)

    assert checked.wrong == 1
    assert "expected" in checked.example


def test_a_sum_of_floats_is_right_but_not_exact() -> None:
    expected = bars([0, 1])
    nearly = expected | {("A", 0): bar(volume="7.5000000001")}
    off = expected | {("A", 0): bar(volume="7.50000001")}

    assert check(expected, expected, is_whole=True).text == "1 exact"
    assert check(expected, nearly, is_whole=True).text == "1 to 1e-9"
    assert check(expected, off, is_whole=True).wrong == 1


def test_symbols_are_compared_each_to_its_own_newest() -> None:
    expected = bars([0, 1, 2], "A") | bars([0, 1], "B")

    assert check(expected, expected, is_whole=True).bars == 3


# --- what is installed


@pytest.mark.parametrize("file", sorted(PEERS.glob("*.txt")), ids=lambda file: file.stem)
def test_every_package_is_pinned_and_has_a_program(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]

    assert lines
    for line in lines:
        assert re.fullmatch(r"[\w.\-\[\]]+==[\w.+!]+", line), line
    assert file.with_suffix(".py").exists()


@pytest.mark.parametrize("pom", sorted(PEERS.glob("*/pom.xml")), ids=lambda pom: pom.parent.name)
def test_every_jar_has_one_version(pom: Path) -> None:
    text = pom.read_text()
    versions = re.findall(r"<version>([^<]+)</version>", text)

    assert len(versions) == text.count("<artifactId>")
    for version in versions:
        assert re.fullmatch(r"\$\{flink\.version\}|\d[\w.\-]*", version), version


def test_kafka_streams_is_of_the_brokers_version() -> None:
    text = (PEERS / "kafka_streams" / "pom.xml").read_text()

    assert f"<artifactId>kafka-streams</artifactId>\n      <version>{kafka.version()}<" in text


def test_an_installation_that_fails_says_why(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir()

    with pytest.raises(NotInstalled, match=r"sh failed, see .*: error: no such thing"):
        _run(home, "x", ["sh", "-c", "echo on the way; echo error: no such thing >&2; exit 3"])


def test_what_does_not_install_is_left_out_with_its_reason(tmp_path: Path) -> None:
    def fails(_: Home) -> list[str]:
        raise NotInstalled("there is no javac")

    rivals = [Rival("a", "System A", fails), Rival("b", "System B", lambda _: ["b"])]

    commands, reasons = installed(Home(tmp_path), rivals)

    assert commands == {"b": ["b"]}
    assert reasons == {"System A": "not installed: there is no javac"}


# --- which are measured, and how it is told


def test_systems_have_names_of_their_own() -> None:
    assert len({rival.key for rival in RIVALS}) == len(RIVALS)
    assert len({rival.name for rival in RIVALS}) == len(RIVALS)


def test_the_help_names_every_system() -> None:
    text = (PEERS.parent / "__main__.py").read_text()

    for key in [*(rival.key for rival in RIVALS), *OURS]:
        assert f"{key}," in text or f"{key} or" in text or f"or {key}." in text, key


def test_ticks_of_a_slow_system_can_be_set() -> None:
    (quix,) = chosen(options(("quixstreams",), ("quixstreams=20000",)))

    assert (quix.key, quix.ticks) == ("quixstreams", 20_000)


@pytest.mark.parametrize("given", [options(("spark",)), options((), ("spark=2000",))])
def test_an_unknown_system_is_refused_with_those_there_are(given: Options) -> None:
    with pytest.raises(ConfigError, match=r"flink.*was spark"):
        chosen(given)


@pytest.mark.parametrize("ticks", ["", "many", "999", "-5000"])
def test_a_number_of_ticks_that_is_none_is_refused(ticks: str) -> None:
    with pytest.raises(ConfigError, match=f"bytewax={ticks}$"):
        chosen(options((), (f"bytewax={ticks}",)))


def test_a_system_that_fails_is_left_out_and_the_others_go_on() -> None:
    def fails(_: str) -> Outcome:
        raise BenchFailed("System A ended before its last tick: Error: no memory\nand more")

    outcomes, reasons = measured({BARE: lambda _: Outcome(run()), "System A": fails}, 2)

    assert len(outcomes[BARE]) == 2
    assert reasons == {"System A": "failed: System A ended before its last tick: Error: no memory"}
    assert "System A" not in outcomes


def test_without_the_bare_consumer_there_is_nothing_to_compare() -> None:
    def fails(_: str) -> Outcome:
        raise BenchFailed("gone")

    with pytest.raises(BenchFailed, match="gone"):
        measured({BARE: fails}, 1)


def test_the_report_holds_halves_bars_and_reasons(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    outcomes = {
        BARE: [Outcome(run(2000))] * 2,
        "System A": [
            Outcome(run(1000), run(1500), Checked(9)),
            Outcome(run(1200), run(1600), Checked(9, 1, 90, 9)),
        ],
    }
    file = tmp_path / "picture.svg"

    report(outcomes, {"System B": "not installed: no"}, described(), file, as_json=True)

    said = capsys.readouterr().out
    assert "1 of 9 wrong, 10.00% of their ticks lost" in said
    assert "System A, second half" in said
    assert "System B: not installed: no" in said
    assert '"left_out": {"System B": "not installed: no"}' in said.splitlines()[-1]
    assert "System A, second half" in file.read_text()


# --- the registry


def test_a_schema_is_found_by_its_id_and_no_other() -> None:
    with registry(7, current("tick")) as url:
        found = httpx.get(f"{url}/schemas/ids/7?fetchMaxId=false")
        missing = httpx.get(f"{url}/schemas/ids/8")

    assert "event_time" in found.json()["schema"]
    assert missing.status_code == httpx.codes.NOT_FOUND


def test_a_registry_that_is_done_with_answers_no_more() -> None:
    began = time.monotonic()
    with registry(7, current("tick")) as url:
        pass

    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert time.monotonic() - began < 5
