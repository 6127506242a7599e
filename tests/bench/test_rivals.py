"""What the comparison with other systems rests on: pins, names, and what is left out and why."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigError
from infra.local import kafka
from infra.local.home import Home
from tests.bench.engine import BARE
from tests.bench.ground import BenchFailed
from tests.bench.installed import PEERS, NotInstalled, _run
from tests.bench.peer_bars import Checked
from tests.bench.rival import Outcome, Rival
from tests.bench.rivals import OURS, RIVALS, Options, chosen, installed, measured, report
from tests.bench.systems import Run


def options(only: tuple[str, ...] = (), ticks_of: tuple[str, ...] = ()) -> Options:
    return Options(200_000, 50, 1, 1000.0, only, ticks_of)


def run(rate: float = 1000.0) -> Run:
    return Run(ticks=int(rate), seconds=1.0, cpu_s=0.5, peak_mb=100.0)


def described() -> dict[str, Any]:
    return {"ticks": 1000, "symbols": 5, "machine": {"cores": 2}}


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
    rows = {text.split("  ")[0]: text.split() for text in said.splitlines()}
    assert rows["System A"][2:5] == ["1,000", "1,100", "1,000-1,200"]
    assert rows["System A, second half"][4:7] == ["1,500", "1,550", "1,500-1,600"]
    assert "System B: not installed: no" in said
    assert '"left_out": {"System B": "not installed: no"}' in said.splitlines()[-1]
    assert "System A, second half" in file.read_text()
