"""The command line against real servers, from the first topic to the last bar."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis

from app import topics
from app.cli.top import READS
from app.partitions import partition_of
from app.settings import Settings, load
from connectors.kafka_admin import KafkaAdmin
from connectors.kafka_reader import Record, read
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.conftest import Stack

pytestmark = pytest.mark.live
FILE = """\
{"venue": "KRAKEN", "symbol": "XBT/USD", "event_time": "2023-11-14T22:13:20.5Z", "price": "37000.1", "size": "0.5", "trade_id": "1"}
{"venue": "KRAKEN", "symbol": "XBT/USD", "event_time": 1700000005000, "price": "NaN", "size": "1", "trade_id": "9"}
not a row
{"venue": "KRAKEN", "symbol": "XBT/USD", "event_time": 1700000010123, "price": 37000.25, "size": "0.25", "trade_id": "2"}
{"venue": "KRAKEN", "symbol": "XBT/USD", "event_time": 1700000190000, "price": "36999", "size": "0.125", "trade_id": "3"}
"""  # noqa: E501 - rows of a file


class Tapeline:
    """The command in an environment of its own: topics, database, Redis keys, data directory."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.name = f"cli_{uuid4().hex[:10]}"
        self._admin_url = stack.postgres
        self.env = {
            "PATH": os.environ["PATH"],
            "TAPELINE_HOME": str(home),
            "TAPELINE_TOPIC_PREFIX": f"{self.name}.",
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
            "REDIS_URL": stack.redis,
            "POSTGRES_URL": f"{stack.postgres.rpartition('/')[0]}/{self.name}",
            "BARS_GRACE": "1s",
        }
        self.settings: Settings = load(self.env)
        self.admin = KafkaAdmin(self.settings.kafka_client_config(), self.settings.topic_prefix)

    def run(
        self, *arguments: str, stdin: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "app.cli", *arguments],
            env={**self.env, **variables}, input=stdin, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip

    def json(self, *arguments: str, **variables: str) -> list[dict[str, Any]]:
        """Run one command with --json and return its lines."""
        done = self.run(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def raw(self) -> list[Record]:
        """Return all that is in the topic of raw ticks."""
        client, name = self.settings.kafka_client_config(), self.settings.topic(topics.RAW)
        return [record for block in read(client, name) for record in block]

    def is_idle(self) -> bool:
        """Return whether every role has read and committed all there is."""
        groups = {
            self.settings.group_of(role): [self.settings.topic(topic) for topic in read_by]
            for role, read_by in READS.items()
        }
        return not any(lag.records for lag in self.admin.lag(groups))

    def open(self) -> None:
        """Make the database."""
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self.name}".encode())

    def close(self) -> None:
        """Leave nothing behind."""
        self.run("down")
        self.admin.delete(list(self.admin.partitions()))
        with psycopg.connect(self._admin_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)".encode())
        with redis.Redis.from_url(self.settings.redis_url) as client:
            for key in client.scan_iter(f"{self.settings.redis_prefix}*", count=1000):
                client.delete(key)


@pytest.fixture(scope="module")
def tapeline(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tapeline]:
    command = Tapeline(stack, tmp_path_factory.mktemp("cli"))
    command.open()
    yield command
    command.close()


@pytest.fixture(scope="module")
def running(tapeline: Tapeline) -> Tapeline:
    """All workers, with the trades of `FILE`."""
    (state,) = tapeline.json("up")
    assert [worker["role"] for worker in state["workers"]] == ["all", "api"]
    assert httpx.get(f"{state['api']}livez").text == "ok\n"
    tapeline.run("produce", "-", stdin=FILE)
    wait_for(tapeline.is_idle)
    return tapeline


def wait_for(claim: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.2)


def test_topics_are_applied_once_and_a_partition_count_never_changes(tapeline: Tapeline) -> None:
    assert tapeline.run("topics", "diff").returncode == 1
    assert len(tapeline.json("topics", "apply")) == len(topics.ALL)
    assert tapeline.json("topics", "diff") == []
    assert tapeline.json("topics", "apply") == []

    refused = tapeline.run("topics", "apply", TAPELINE_PARTITIONS="8")

    assert refused.returncode == 1
    assert f"{tapeline.name}.bars.v1 must have 8 partitions, had 4" in refused.stderr
    assert tapeline.json("topics", "diff") == []


def test_bad_lines_are_named_and_the_others_sent(tapeline: Tapeline) -> None:
    tapeline.run("topics", "apply")
    before = len(tapeline.raw())

    done = tapeline.run("produce", "-", "--json", stdin=FILE)

    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == ["-:2", "-:3"]
    assert "price must be a decimal, was 'NaN'" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["sent"], summary["refused"]) == (3, 2)
    sent = tapeline.raw()[before:]
    assert {(r.key, r.partition) for r in sent} == {(b"BTC/USD", partition_of("BTC/USD", 4))}
    ticks = [RecordCodec("tick", built_in()).decode(r.value or b"") for r in sent]
    assert [tick["trade_id"] for tick in ticks] == ["1", "2", "3"]


def test_a_row_in_a_pipe_is_sent_without_waiting_for_the_next(tapeline: Tapeline) -> None:
    tapeline.run("topics", "apply")
    before = len(tapeline.raw())
    command = [sys.executable, "-m", "app.cli", "produce", "-"]
    with subprocess.Popen(command, env=tapeline.env, stdin=subprocess.PIPE) as producing:
        assert producing.stdin is not None
        producing.stdin.write(FILE.splitlines(keepends=True)[0].encode())
        producing.stdin.flush()

        wait_for(lambda: len(tapeline.raw()) == before + 1)

        assert producing.poll() is None
        producing.stdin.close()
        assert producing.wait(30) == 0


def test_a_whole_file_is_sent_at_a_rate(tapeline: Tapeline, tmp_path: Path) -> None:
    rows = [f"SPY,{1_700_000_000_000 + n},{n}.5,1,{n}" for n in range(1, 301)]
    path = tmp_path / "ticks.csv"
    path.write_text("symbol,event_time,price,size,trade_id\n" + "\n".join(rows))

    (summary,) = tapeline.json("produce", str(path), "--venue", "FILE", "--rate", "1000")

    assert summary["sent"] == 300
    assert summary["seconds"] >= 0.2


def test_without_the_topic_produce_fails_and_says_what_to_do(tapeline: Tapeline) -> None:
    done = tapeline.run("produce", "-", stdin=FILE, TAPELINE_TOPIC_PREFIX=f"{tapeline.name}.no.")

    assert done.returncode == 1
    assert "run `tapeline topics apply`" in done.stderr


@pytest.mark.parametrize("source", ["warm", "hot", "kafka"])
def test_the_bars_of_a_file_can_be_read_everywhere(running: Tapeline, source: str) -> None:
    bars = running.json("bars", "XBT/USD@KRAKEN", "--timeframe", "M1", "--source", source)

    assert [
        (bar["open_time"], bar["open"], bar["close"], bar["volume"], bar["notional"], bar["trades"])
        for bar in bars
    ] == [
        ("2023-11-14T22:13:00Z", "37000.1", "37000.25", "0.75", "27750.1125", 2),
        ("2023-11-14T22:16:00Z", "36999", "36999", "0.125", "4624.875", 1),
    ]
    assert [bar["is_final"] for bar in bars] == [True, False]
    later = running.json(
        "bars", "XBT/USD@KRAKEN", "--source", source, "--from", "2023-11-14T22:14:00Z"
    )
    assert [bar["open_time"] for bar in later] == ["2023-11-14T22:16:00Z"]
    header = running.run("bars", "XBT/USD@KRAKEN", "--source", source, "--csv").stdout
    assert header.startswith("symbol,venue,timeframe,open_time,")


def test_a_healthy_system_passes_the_doctor_and_top_sees_no_lag(running: Tapeline) -> None:
    checks = running.json("doctor")
    (state,) = running.json("top", "--once")

    assert all(check["ok"] for check in checks)
    assert {lag["group"] for lag in state["lag"]} == {
        f"{running.name}.tapeline-{role}" for role in READS
    }
    assert sum(lag["lag"] for lag in state["lag"]) == 0
    assert state["bars"] > 0


def test_a_second_simulation_goes_on_from_the_first(running: Tapeline) -> None:
    arguments = ("simulate", "--rate", "0", "--symbols", "3", "--ticks", "2000", "--from")
    running.json(*arguments, "2024-01-01T00:00:00Z")
    running.json(*arguments, "2024-01-01T01:00:00Z")
    running.json(*arguments, "2024-01-01T02:00:00Z", "--gaps", "0.05")
    running.json(*arguments, "2024-01-01T03:00:00Z")
    wait_for(running.is_idle)

    gaps = running.json("gaps", "list")

    assert gaps
    assert {gap["before_time"][:13] for gap in gaps} == {"2024-01-01T02"}
    assert running.json("gaps", "list", "--series", "BTC/USD@NOWHERE") == []


def test_poison_is_listed_shown_and_comes_back_when_sent_again(running: Tapeline) -> None:
    (sent,) = running.json(
        "simulate", "--rate", "0", "--ticks", "2000", "--poison", "0.01", "--seed", "3",
        "--from", "2024-01-02",
    )  # fmt: skip
    wait_for(running.is_idle)

    letters = running.json("dlq", "list")
    (shown,) = running.json("dlq", "show", letters[0]["id"])
    (again,) = running.json("dlq", "redrive", letters[0]["id"])
    wait_for(running.is_idle)

    assert len(letters) == sent["poison"] > 0
    assert shown["value"] == letters[0]["value"]
    assert again == {"sent": 1, "left_out": 0}
    assert len(running.json("dlq", "list")) == len(letters) + 1
    assert running.run("dlq", "show", "0-99999").returncode == 2


def test_down_leaves_no_worker_behind(running: Tapeline) -> None:
    assert running.json("down") == [{"workers": ["all", "api"], "stack": False}]

    done = running.run("doctor", "--json")

    assert done.returncode == 1
    failed = [check for check in map(json.loads, done.stdout.splitlines()) if not check["ok"]]
    assert [(check["name"], check["remedy"]) for check in failed] == [
        ("workers", "run `tapeline up`")
    ]
    assert running.json("down") == [{"workers": [], "stack": False}]
