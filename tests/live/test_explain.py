"""`tapeline explain` on real trades, among which are repeats, poison and trades that come late."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.partitions import partition_of
from connectors.recordings import xrp_eth
from tests.live.conftest import MakeWorld
from tests.live.feed import Pair, market
from tests.live.outside import Fields
from tests.live.world import World
from tests.poison import tick, unscaled

pytestmark = pytest.mark.live

MINUTE = datetime(2019, 10, 11, 18, 16, tzinfo=UTC)
OPENS, CLOSES = "2019-10-11T18:16:00Z", "2019-10-11T18:17:00Z"
SERIES = "XRP/ETH@KRAKEN"
KEY = b"XRP/ETH"
PARTITION = partition_of("XRP/ETH", 4)
NEIGHBOURS = [name for n in range(40) if partition_of(name := f"N{n}/USD", 4) == PARTITION][:3]
"""Symbols whose records lie between those of the series."""
NEVER_MADE = 1_000
"""Ids beyond those of the recording."""


def fields(row: Fields, **changed: object) -> Fields:
    """Return a recorded trade as it goes on the wire."""
    at_us = round(row["event_time"].timestamp() * 1e6)
    return {
        "venue": row["venue"], "symbol": row["symbol"], "event_time": at_us, "ingest_time": at_us,
        "sequence": row["sequence"], "trade_id": row["trade_id"], "source": "recording",
        "price": unscaled(int(row["price"].scaleb(12))),
        "size": unscaled(int(row["size"].scaleb(12))), **changed,
    }  # fmt: skip


class Told:
    """What was sent about one minute.

    Attributes:
        pairs: All records, in the order in which they are sent.
        expected: Trade id and verdict, or reasons, of the minute's, in the order of the log.
    """

    def __init__(self, trades: list[Fields]) -> None:
        first = next(n for n, each in enumerate(trades) if each["event_time"] >= MINUTE)
        mine = trades[first : first + 15]
        assert {each["event_time"].minute for each in mine} == {16}
        assert trades[first - 1]["event_time"].minute != 16
        assert trades[first + 15]["event_time"].minute != 16
        late, too_late = mine[5], mine[9]
        self.pairs: list[Pair] = []
        self.expected: list[tuple[str | None, str]] = []
        for row in trades[:first]:
            self._send(fields(row))
        for n, row in enumerate(mine):
            if row not in (late, too_late):
                self._send(fields(row), "used")
            if n == 2:
                self._send(fields(mine[0]), "duplicate")
                self._send(fields(row, trade_id="free", price=unscaled(0)), "bad_price")
                self.pairs.append((KEY, b'{"price": "1"}'))
                self.expected.append((None, "wrong_magic"))
            if n == 6:
                self._send(fields(row, trade_id=None), "used")
                self._send(fields(row, trade_id=None), "duplicate")
                self._send(fields(row, symbol=NEIGHBOURS[0], price=unscaled(0)))
            self.pairs += market(n, 3, venue="TEST", symbols=NEIGHBOURS, repeats=0)
        for row in trades[first + 15 : first + 100]:
            self._send(fields(row))
        self._send(fields(late), "late")
        self._send(fields(mine[1]))
        for row in trades[first + 100 :]:
            self._send(fields(row))
        self._send(fields(too_late), "too_late")
        self.used = len(mine)

    def _send(self, row: Fields, verdict: str = "") -> None:
        self.pairs.append((row["symbol"].encode(), tick(row)))
        if verdict:
            self.expected.append((row["trade_id"], verdict))


@pytest.fixture(scope="module")
def told(recordings: Path) -> Told:
    return Told(xrp_eth(recordings).to_dicts())


@pytest.fixture(scope="module")
def world(make_world: MakeWorld, told: Told) -> World:
    world = make_world()
    world.started("all")
    others = market(9, 6_000, venue="TEST", symbols=NEIGHBOURS, every_us=500_000)
    with world.feed() as feed:
        feed.send(others[:3_000])
        feed.send(told.pairs)
        feed.send(others[3_000:])
    world.settle()
    return world


@pytest.fixture
def spoilt(world: World) -> Iterator[None]:
    """The minute's high in Postgres is one too much."""
    change = "UPDATE bars SET high = high %s 1 WHERE symbol = 'XRP/ETH' AND open_time = '{}'"
    with psycopg.connect(world.outside.postgres_url, autocommit=True) as connection:
        connection.execute(change.format(OPENS).replace("%s", "+").encode())
        yield
        connection.execute(change.format(OPENS).replace("%s", "-").encode())


def run(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = {
        "PATH": os.environ["PATH"],
        "TAPELINE_TOPIC_PREFIX": world.prefix,
        "KAFKA_BOOTSTRAP_SERVERS": world.stack.kafka,
        "POSTGRES_URL": world.outside.postgres_url,
        "REDIS_URL": world.outside.redis_url,
    }
    return subprocess.run(
        [sys.executable, "-m", "app.cli", "explain", SERIES, *arguments],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def explained(world: World, *arguments: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the ticks and the last line."""
    done = run(world, *arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    *ticks, last = map(json.loads, done.stdout.splitlines())
    return ticks, last


@pytest.mark.parametrize("source", ["warm", "kafka", "hot"])
def test_a_minutes_ticks_are_told_one_by_one_and_make_it(
    world: World, told: Told, source: str
) -> None:
    ticks, last = explained(world, "M1", OPENS, "--source", source)

    found = [(t["trade_id"], ",".join(t["reasons"]) or t["verdict"]) for t in ticks]
    assert found == told.expected
    assert {t["verdict"] for t in ticks if t["reasons"] not in ([], ["late"])} == {"refused"}
    assert last["verdict"] == "equal"
    assert (last["bar"]["trades"], last["bar"]["late"]) == (told.used, 1)
    assert last["counts"] == {"used": told.used, "refused": 5}


def test_a_refusal_says_why(world: World, told: Told) -> None:
    ticks, _ = explained(world, "M1", OPENS)

    by_code = {code: t for t in ticks for code in t["reasons"]}
    first = ticks[0]["offset"]
    duplicates = [t["detail"] for t in ticks if t["reasons"] == ["duplicate"]]
    nameless = next(t["offset"] for t in ticks if t["trade_id"] is None and t["offset"])
    assert duplicates == [
        f"of the tick at offset {first}: same trade id",
        f"of the tick at offset {nameless}: same content",
    ]
    assert by_code["bad_price"]["detail"] == (
        "price must be above 0 and at most 1e15, was 0.000000000000"
    )
    assert by_code["wrong_magic"]["event_time"] is None
    assert "beyond revise_for" in by_code["too_late"]["detail"]
    assert "its bar final" in by_code["late"]["detail"]


def test_no_more_is_read_than_the_bar_names(world: World) -> None:
    ticks, last = explained(world, "M1", OPENS)

    read = {each["topic"]: each for each in last["read"]}
    bar, mine = last["bar"], read["ticks.v1"]
    assert (mine["from"], mine["to"]) == (bar["first_offset"], bar["last_offset"])
    assert (mine["times"], mine["records"]) == (2, 2 * (mine["to"] - mine["from"] + 1))
    raws = [t["raw_offset"] for t in ticks if t["verdict"] == "used"]
    raw = read["ticks.raw.v1"]
    assert (raw["from"], raw["to"], raw["records"]) == (
        min(raws), max(raws), max(raws) - min(raws) + 1,
    )  # fmt: skip
    assert 100 < raw["records"] < 300
    ends = world.outside.ends("ticks.v1"), world.outside.ends("ticks.raw.v1")
    assert bar["first_offset"] > 3_000
    assert ends[0][PARTITION] - bar["last_offset"] > 10_000
    assert ends[1][PARTITION] - raw["to"] > 10_000
    assert {each["partition"] for each in last["read"]} == {PARTITION}
    assert sum(each["gone"] for each in last["read"]) == 0


def test_longer_bars_are_told_in_part_and_judged_as_a_whole(world: World) -> None:
    for timeframe, opens in (("H1", "2019-10-11T18:00:00Z"), ("D1", "2019-10-11")):
        ticks, last = explained(world, timeframe, opens, "--limit", "5")

        assert len(ticks) == 5
        assert last["verdict"] == "equal"
        assert last["counts"]["used"] == last["bar"]["trades"] > 300
        assert last["more"] == sum(last["counts"].values()) - 5
        assert last["reasons"]["duplicate"] >= 2


def test_the_table_ends_with_the_verdict_and_what_was_read(world: World, told: Told) -> None:
    done = run(world, "M1", OPENS)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{SERIES} M1 {OPENS} to {CLOSES}"
    assert len([line for line in lines if " used " in f"{line} "]) >= told.used
    assert "equal: the ticks used make the bar" in lines
    assert lines[-1].startswith("read ticks.")


def test_a_bar_that_its_ticks_do_not_make_is_status_1(world: World, spoilt: None) -> None:
    done = run(world, "M1", OPENS, "--json")

    assert done.returncode == 1
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["verdict"] == "differs"
    assert list(last["differences"]) == ["high"]


def test_a_bar_that_is_not_there_is_status_1(world: World) -> None:
    for source in ("warm", "kafka", "hot"):
        done = run(world, "M1", "2019-10-11T18:16:30Z", "--source", source)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"no M1 bar of {SERIES} opens at 2019-10-11T18:16:30Z" in done.stderr
