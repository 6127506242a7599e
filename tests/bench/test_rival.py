"""What one run of another system rests on: its marks, its end, and the registry that it asks."""

import sys
import time
from pathlib import Path

import httpx
import pytest

from app.settings import load
from connectors.kafka_admin import KafkaAdmin
from schemas.registry import current
from tests.bench.ground import BenchFailed, Ground
from tests.bench.one_schema import registry
from tests.bench.rival import Outcome, Rival, Task, compete, marks
from tests.bench.systems import Mark

SAYS = """
import json, sys, time
job = json.loads(sys.argv[1])
for ticks in {ticks}:
    print(json.dumps({{"at": time.time(), "ticks": ticks}}), flush=True)
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
{last}
sys.stdin.read()
"""


def raced(folder: Path, ticks: list[int], last: str = "") -> Outcome:
    """Run a program that prints marks with 0.2 s of work between them."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "TAPELINE_HOME": str(folder)}
    settings = load(env, needs=("kafka",))
    here = Ground(settings, env, folder, KafkaAdmin(settings.kafka_client_config(), "x-"))
    rival = Rival("a", "System A", lambda _: [], writes_bars=False)
    command = [sys.executable, "-c", SAYS.format(ticks=ticks, last=last)]
    return compete(here, rival, command, Task(100, {}, ""), "round0")


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


def test_a_run_is_what_lies_between_its_first_and_last_mark(tmp_path: Path) -> None:
    outcome = raced(tmp_path, [1, 50, 101])

    assert outcome.second_half
    assert (outcome.run.ticks, outcome.second_half.ticks) == (100, 51)
    assert outcome.run.seconds > outcome.second_half.seconds > 0.1
    assert 0.2 < outcome.run.cpu_s < 0.8
    assert outcome.checked is None


def test_two_marks_have_no_second_half(tmp_path: Path) -> None:
    assert raced(tmp_path, [1, 100]).second_half is None


def test_a_program_that_ends_early_fails_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match=r"System A ended.*: ValueError: no such topic"):
        raced(tmp_path, [1, 50], "sys.exit('ValueError: no such topic\\nand what it said last')")


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.bench.rival.WITHIN_S", 1.5)
    began = time.monotonic()

    with pytest.raises(BenchFailed, match=r"was after 1\.5 s, before its last tick"):
        raced(tmp_path, [1, 50])
    assert time.monotonic() - began < 10


def test_a_run_of_one_block_measures_nothing(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match="took 100 ticks at once"):
        raced(tmp_path, [100])


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
