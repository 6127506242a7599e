"""`tapeline audit` on real servers: a sound world has no difference, each fault put in is found."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import redis
from confluent_kafka import Producer

from tests.conftest import ROOT
from tests.live.conftest import MakeWorld
from tests.live.feed import START_US, Pair, market
from tests.live.outside import RANK_DIGITS, Record
from tests.live.world import World
from tests.poison import corpus, tick, unscaled

pytestmark = pytest.mark.live

SEED = 8
COUNT = 12_000
SYMBOLS = ("BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD")
CATALOG = """
[venues.NUMBERED]
contiguous_ids = true

[[series]]
venue = "*"
symbol = "SOL/USD"
ticks = [100]
"""
ONE_BAR = (
    b" WHERE symbol = %s AND venue = %s AND timeframe = %s"
    b" AND open_time = timestamptz 'epoch' + %s * interval '1 microsecond'"
)
LAST_US = START_US + COUNT // len(SYMBOLS) * 2_000_000


class Audited(NamedTuple):
    """What one run of the command said."""

    status: int
    differences: list[dict[str, Any]]
    line: dict[str, Any]

    def found(self, invariant: str, where: str | None = None) -> list[dict[str, Any]]:
        """Return the differences of an invariant, of one store if so asked."""
        return [
            each for each in self.differences
            if each["invariant"] == invariant and where in {None, each.get("where")}
        ]  # fmt: skip


@pytest.fixture(scope="module")
def world(make_world: MakeWorld, tmp_path_factory: pytest.TempPathFactory) -> World:
    catalog = tmp_path_factory.mktemp("catalog") / "catalog.toml"
    catalog.write_text(CATALOG)
    world = make_world(TAPELINE_CATALOG=str(catalog))
    world.started("all")
    with world.feed() as feed:
        feed.send(market(SEED, COUNT, venue="TEST", symbols=SYMBOLS))
        feed.send((p.key, p.value) for p in corpus(SYMBOLS[0], "TEST", START_US, LAST_US)[:10])
    world.settle()
    return world


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def audited(world: World, home: Path, *options: str) -> Audited:
    """Run the command, with a home of its own."""
    env = {"PATH": os.environ["PATH"], "TAPELINE_HOME": str(home), **world.outside.env()}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "audit", "--json", *options],
        cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout, done.stderr
    *differences, line = map(json.loads, done.stdout.splitlines())
    return Audited(done.returncode, differences, line)


def later(n: int) -> Pair:
    """Return the n-th trade of the minutes behind the market's."""
    at_us = LAST_US + 60_000_000 + n * 500_000
    fields = {
        "venue": "TEST", "symbol": SYMBOLS[n % 4], "event_time": at_us, "ingest_time": at_us,
        "sequence": n, "price": unscaled(10**15 + n), "size": unscaled(10**12), "source": "test",
    }  # fmt: skip
    return SYMBOLS[n % 4].encode(), tick(fields)


def a_bar(world: World) -> tuple[Record, dict[str, Any]]:
    """Return the last emission of a final M1 bar, in the middle of its series."""
    last = {
        record.key: (record, bar)
        for record, bar in world.outside.decoded("bars.v1")
        if bar["timeframe"] == "M1" and bar["is_final"] and bar["symbol"] == SYMBOLS[0]
    }
    return sorted(last.values(), key=lambda each: each[1]["open_time"])[20]


def execute(world: World, statement: str, bar: dict[str, Any]) -> None:
    key = [bar[n] for n in ("symbol", "venue", "timeframe", "open_time")]
    with psycopg.connect(world.outside.postgres_url, autocommit=True) as connection:
        assert connection.execute(statement.encode() + ONE_BAR, key).rowcount == 1


def publish(world: World, topic: str, records: list[Record]) -> None:
    producer = Producer({"bootstrap.servers": world.stack.kafka})
    for each in records:
        producer.produce(world.prefix + topic, each.value, each.key, each.partition)
    assert not producer.flush(20)


@pytest.mark.parametrize("options", [("--full",), ()])
def test_a_sound_world_has_no_difference(
    world: World, home: Path, options: tuple[str, ...]
) -> None:
    done = audited(world, home, *options)

    assert (done.status, done.differences, done.line["mismatches"]) == (0, [], 0)
    final = [b for _, b in world.outside.decoded("bars.v1") if b["is_final"]]
    keys = {tuple(b[n] for n in ("symbol", "timeframe", "open_time")) for b in final}
    activity = {key for key in keys if key[1] == "T100"}
    assert done.line["bars_checked"] == len(keys - activity) > 400
    assert done.line["I2"]["not_audited"] == {"activity": len(activity)} or not options
    assert done.line["I1"]["accepted"] == COUNT
    assert done.line["I6"]["dead_letters"] == 10


def test_a_second_audit_reads_what_is_new_and_no_more(world: World, home: Path) -> None:
    """Of 400 new trades: those, and the ticks of the bars that they close."""
    first = audited(world, home)
    assert first.line["read"]["ticks.v1"] >= COUNT
    nothing = audited(world, home)
    assert (nothing.status, nothing.line["bars_checked"]) == (0, 0)
    assert sum(nothing.line["read"].values()) == 0

    ends = {topic: sum(world.outside.ends(topic).values()) for topic in ("ticks.v1", "bars.v1")}
    more = [later(n) for n in range(400)]
    with world.feed() as feed:
        feed.send(more)
    world.settle()
    new = {t: sum(world.outside.ends(t).values()) - end for t, end in ends.items()}
    second = audited(world, home)

    assert (second.status, second.differences) == (0, [])
    read = second.line["read"]
    assert read["ticks.raw.v1"] == len(more)
    assert read["bars.v1"] == new["bars.v1"]
    assert new["ticks.v1"] <= read["ticks.v1"] < COUNT
    assert 0 < second.line["bars_checked"] < first.line["bars_checked"] / 5


def test_the_bars_of_a_span_are_audited_by_their_ticks(world: World, home: Path) -> None:
    start_us = START_US - START_US % 3_600_000_000 + 3_600_000_000
    done = audited(world, home, "--from", str(start_us), "--to", str(start_us + 600_000_000))

    assert (done.status, done.differences) == (0, [])
    assert done.line["bars_checked"] >= 4 * (10 + 2)


@pytest.fixture
def corrupted(world: World) -> Iterator[dict[str, Any]]:
    """Let a test change a bar of Postgres, and put the row back."""
    _, bar = a_bar(world)
    key = [bar[n] for n in ("symbol", "venue", "timeframe", "open_time")]
    with psycopg.connect(world.outside.postgres_url, autocommit=True) as connection:
        [row] = connection.execute(b"SELECT * FROM bars" + ONE_BAR, key).fetchall()
        yield bar
        connection.execute(b"DELETE FROM bars" + ONE_BAR, key)
        marks = b", ".join([b"%s"] * len(row))
        connection.execute(b"INSERT INTO bars VALUES (" + marks + b")", row)


@pytest.mark.parametrize(
    ("statement", "what", "field"),
    [
        ("UPDATE bars SET volume = volume + 1e-12", "is not the newest emission, whole", "volume"),
        ("DELETE FROM bars", "is not there", "revision"),
    ],
)
def test_a_wrong_or_lost_row_of_postgres_is_found(  # noqa: PLR0913 - a fault and its name
    world: World, home: Path, corrupted: dict[str, Any], statement: str, what: str, field: str
) -> None:
    """By a unit of the twelfth digit; and found again by the next audit, until it is right."""
    execute(world, statement, corrupted)
    for options in (("--full",), (), ()):
        done = audited(world, home, *options)

        [found, *others] = done.found("I4", "Postgres")
        assert not others
        assert done.status == 1, options
        assert (found["what"], found["field"]) == (what, field)
        assert found["bar"].startswith(f"{corrupted['symbol']}@TEST M1 ")


def test_a_wrong_bar_of_redis_is_found(world: World, home: Path) -> None:
    _, bar = a_bar(world)
    key = f"{world.prefix}tl:bars:{bar['symbol']}@{bar['venue']}:{bar['timeframe']}"
    with redis.Redis.from_url(world.outside.redis_url, decode_responses=True) as client:
        score = bar["open_time"]
        [member] = client.zrange(key, score, score, byscore=True)
        fields = {**json.loads(member[RANK_DIGITS:]), "close": "1"}
        client.zrem(key, member)
        client.zadd(key, {member[:RANK_DIGITS] + json.dumps(fields): score})
        done = audited(world, home, "--full")
        client.zremrangebyscore(key, score, score)
        client.zadd(key, {member: score})

    assert done.status == 1
    [found] = done.found("I4", "Redis")
    assert (found["field"], found["found"]) == ("close", "1.000000000000")


def test_each_wrong_record_of_the_logs_is_found(world: World, home: Path) -> None:
    """A stale bar, a dead letter and a tick that are there twice; last, as logs keep them."""
    audited(world, home)
    letter, _ = next(iter(world.outside.decoded("ticks.dlq.v1")))
    stale = _provisional(world)
    publish(world, "ticks.dlq.v1", [letter])
    publish(world, "bars.v1", [stale])
    publish(world, "ticks.v1", [world.outside.log("ticks.v1")[100]])
    world.settle()

    for options in ((), ("--full",)):
        done = audited(world, home, *options)

        assert done.status == 1
        assert "dead letters" in done.found("I6")[0]["what"], options
        assert done.found("I4"), options
        assert "ticks.v1" in done.found("I1")[0]["what"], options


def _provisional(world: World) -> Record:
    """Return an emission of a bar that is final by now."""
    records = list(world.outside.decoded("bars.v1"))
    final = {record.key for record, bar in records if bar["is_final"]}
    return next(r for r, bar in records if not bar["is_final"] and r.key in final)
