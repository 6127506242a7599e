"""What every command promises: exit status, one line of error, plain output."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from app.cli import top
from app.cli.bars import moment, series_of
from app.cli.commands import commands
from app.cli.schemas import _breaches, faults_of_schemas
from app.cli.simulate import poisoned
from app.cli.terminal import plain
from app.compose import READS
from app.domain.simulator import POISONS
from app.errors import ConfigError
from schemas.record import RecordCodec
from schemas.registry import built_in
from schemas.wire import Undecodable

COMMANDS = (
    ["up"], ["down"], ["doctor"], ["migrate"], ["produce"], ["simulate"], ["bars"], ["top"],
    ["topics", "apply"], ["topics", "diff"], ["schemas", "check"], ["schemas", "register"],
    ["dlq", "list"], ["dlq", "show"], ["dlq", "redrive"], ["gaps", "list"],
)  # fmt: skip


def tapeline(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in an environment of its own."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nowhere", **variables}
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_wrong_configuration_is_status_2_and_names_every_fault() -> None:
    done = tapeline("topics", "diff", TAPELINE_PARTITIONS="0", BARS_GRASE="1s")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "tapeline: BARS_GRASE is no setting; is it BARS_GRACE?",
        (
            "KAFKA_BOOTSTRAP_SERVERS must be set, or run `tapeline up`, which starts local servers "
            "(there is no /nowhere/.local/share/tapeline/run/stack.json)"
        ),
        "TAPELINE_PARTITIONS must be a whole number from 1 to 10000, was '0'",
    ]
    assert done.stdout == ""


def test_wrong_usage_is_status_2() -> None:
    assert tapeline("bars").returncode == 2
    assert tapeline("nothing").returncode == 2
    assert tapeline("bars", "SPY", KAFKA_BOOTSTRAP_SERVERS="h:1").returncode == 2


def test_a_server_that_does_not_answer_is_status_1_and_one_line() -> None:
    done = tapeline(
        "bars", "SPY@NYSE", "--source", "hot", "--json", REDIS_URL="redis://127.0.0.1:1/0"
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_every_command_says_what_it_does() -> None:
    pages = CliRunner()
    for names in COMMANDS:
        page = pages.invoke(commands, [*names, "--help"])
        assert (page.exit_code, "Usage" in page.stdout) == (0, True), names


def test_a_series_is_named_by_our_symbol_or_the_venues() -> None:
    assert series_of("XBT/USD@KRAKEN", "M1", None, None)[:3] == ("BTC/USD", "KRAKEN", "M1")
    assert series_of("SPY@NYSE", "S1", None, None)[:3] == ("SPY", "NYSE", "S1")


@pytest.mark.parametrize("name", ["SPY", "@NYSE", "SPY@"])
def test_a_series_without_symbol_or_venue_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="series must be SYMBOL@VENUE"):
        series_of(name, "M1", None, None)


def test_a_moment_is_a_day_or_an_instant() -> None:
    day = datetime(2023, 11, 14, tzinfo=UTC)

    assert moment("--from", "2023-11-14") == day
    assert moment("--from", "2023-11-14T01:00:00+01:00") == day
    assert moment("--from", str(int(day.timestamp()))) == day
    assert moment("--from", None) is None
    with pytest.raises(ConfigError, match=r"^--to must be .*was 'noon'$"):
        moment("--to", "noon")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("0.500000000000"), "0.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal(100), "100"),
        (Decimal("1E-12"), "0.000000000001"),
        (Decimal("-0.0"), "0"),
        (datetime(2023, 11, 14, 22, 13, tzinfo=UTC), "2023-11-14T22:13:00Z"),
        (b"\x00\xff", "00ff"),
        (None, None),
        (True, True),
    ],
)
def test_results_are_written_plainly(value: object, shown: object) -> None:
    assert plain(value) == shown


def test_every_kind_of_poison_is_refused() -> None:
    codec = RecordCodec("tick", built_in())
    good = codec.encode(
        {
            "venue": "SIM",
            "symbol": "BTC/USD",
            "event_time": datetime(2023, 11, 14, tzinfo=UTC),
            "ingest_time": datetime(2023, 11, 14, tzinfo=UTC),
            "price": Decimal(1),
            "size": Decimal(1),
        }
    )

    for kind in POISONS:
        broken = poisoned(good, kind)
        assert broken != good
        if kind == "bad venue":
            assert codec.decode(broken)["venue"] == "sim"
        else:
            with pytest.raises(Undecodable):
                codec.decode(broken)


def test_top_looks_at_the_topics_that_each_role_reads() -> None:
    assert dict(top.READS) == {role: tuple(read) for role, read in READS.items()}


def test_the_schemas_of_this_release_are_published_and_compatible() -> None:
    assert faults_of_schemas() == []


def test_a_field_may_come_with_a_default_and_do_nothing_else() -> None:
    old = {"fields": [{"name": "a", "type": "long"}, {"name": "b", "type": "int", "default": 0}]}
    new = {"fields": [{"name": "a", "type": "long", "doc": "."}, {"name": "c", "type": "int"}]}
    wider = {"fields": [{"name": "a", "type": "double"}, *old["fields"][1:]]}

    assert list(_breaches(old, new)) == ["new field c must have a default"]
    assert list(_breaches(old, wider)) == ["field a must keep its type"]
    assert list(_breaches(old, {"fields": old["fields"][1:]})) == [
        "field a must stay, it has no default"
    ]
