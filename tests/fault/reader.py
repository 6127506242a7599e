"""I7: a client that asks the API again and again while something behind it is harmed.

Every answer must come within the API's own time, and be data or a 503 that says when to come
again. Data must be what the log of bars holds: each bar one that was published, none left out
between two of a history, and none older than the answer itself says.
"""

import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.fault.cluster import free_port
from tests.fault.line import Line
from tests.live.world import Worker, World

EVERY_S = 0.05
TIMEOUT_S = 5.0
"""API_TIMEOUT by default."""
ALLOWED_S = 2.0
"""More, for a machine that is short of CPU."""
SLACK_US = 1_000_000
"""Append times are of the broker's millisecond clock, and a look at it takes a while."""
VENUE = "VENUE1"
"""Of a trial's first flow."""
GONE = "client error"

BarName = tuple[str, int]
"""Symbol and open time."""


@dataclass(frozen=True)
class Answer:
    """One answer: when it was asked for, how long it took, what it said."""

    path: str
    asked_us: int
    took_s: float
    status: int
    body: Any
    retry_after: str


class Reader:
    """Asks from a thread of its own, as a context.

    Args:
        world: Whose API it starts; it is stopped with the world.
        symbols: Of whose M1 bars at `VENUE` it asks.
    """

    def __init__(self, world: World, symbols: list[str]) -> None:
        self._world = world
        self._symbols = symbols
        self.api: Worker = world.start("api", API_PORT=str(free_port()))
        self.answers: list[Answer] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> Self:
        self.api.wait_ready()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        turn = 0
        with httpx.Client(base_url=self.api.url(), timeout=TIMEOUT_S + 3 * ALLOWED_S) as client:
            while not self._ended.wait(EVERY_S):
                symbol = self._symbols[turn % len(self._symbols)]
                path = (
                    f"/api/ohlc/{symbol}@{VENUE}?limit=50",
                    f"/api/ohlc/latest/{symbol}@{VENUE}",
                )[turn // len(self._symbols) % 2]
                turn += 1
                self.answers.append(self._asked(client, path))

    @staticmethod
    def _asked(client: httpx.Client, path: str) -> Answer:
        asked_us, began_s = time.time_ns() // 1000, time.monotonic()
        try:
            found = client.get(path)
        except httpx.HTTPError as error:
            took_s = time.monotonic() - began_s
            return Answer(path, asked_us, took_s, 0, f"{GONE}: {error!r}", "")
        took_s = time.monotonic() - began_s
        retry_after = found.headers.get("retry-after", "")
        return Answer(path, asked_us, took_s, found.status_code, found.json(), retry_after)

    def judge(self, line: Line) -> None:
        """Judge all answers, once the world has settled; the last one must be fresh again."""
        log = _Log(self._world)
        counts = Counter(answer.status for answer in self.answers)
        stale = sum(answer.status == 200 and answer.body["stale"] for answer in self.answers)
        longest_s = max(answer.took_s for answer in self.answers)
        faults = [fault for answer in self.answers for fault in _faults(answer, log)]
        status = self.api.process.poll()
        if status is not None:
            faults.append(f"the API ended by itself, status {status}")
        if not counts[200]:
            faults.append(f"none of {len(self.answers)} answers had data")
        line.judged(
            "I7", faults,
            asked=len(self.answers), stale=stale, unavailable=counts[503],
            longest_s=round(longest_s, 2),
        )  # fmt: skip
        assert not faults, faults[-5:]


class _Log:
    """The M1 bars of `VENUE` as bars.v1 has them."""

    def __init__(self, world: World) -> None:
        self._emitted: defaultdict[BarName, list[tuple[int, tuple[int, int]]]] = defaultdict(list)
        self._content: dict[tuple[BarName, tuple[int, int]], tuple[Any, ...]] = {}
        for record, bar in world.outside.decoded("bars.v1"):
            if (bar["venue"], bar["timeframe"]) == (VENUE, "M1"):
                name = bar["symbol"], bar["open_time"]
                rank = bar["revision"], bar["last_offset"]
                self._emitted[name].append((record.append_us, rank))
                self._content[name, rank] = _content(bar)

    def content(self, name: BarName, rank: tuple[int, int]) -> tuple[Any, ...] | None:
        """Return what a bar held at a rank; None when it was never published so."""
        return self._content.get((name, rank))

    def newest(self, name: BarName, before_us: int) -> tuple[int, int] | None:
        """Return the greatest rank of a bar that was published before a time."""
        return max((rank for at_us, rank in self._emitted[name] if at_us < before_us), default=None)

    def opened(self, symbol: str, before_us: int) -> list[int]:
        """Return the open times of a symbol's bars that were published before a time."""
        return sorted(
            name[1]
            for name, emissions in self._emitted.items()
            if name[0] == symbol and emissions[0][0] < before_us
        )


FIELDS = ("open", "high", "low", "close", "volume", "notional")


def _content(bar: dict[str, Any]) -> tuple[Any, ...]:
    return (*(None if bar[name] is None else _plain(bar[name]) for name in FIELDS), bar["trades"])


def _plain(value: Any) -> str:
    text = format(value, "f") if not isinstance(value, str) else value
    return text.rstrip("0").rstrip(".") if "." in text else text


def _faults(answer: Answer, log: _Log) -> list[str]:
    what = f"{answer.path}: "
    if answer.took_s > TIMEOUT_S + ALLOWED_S:
        return [f"{what}answered after {answer.took_s:.1f} s"]
    if answer.status == 503:
        return [] if answer.retry_after else [f"{what}503 without Retry-After"]
    symbol = answer.path.partition("?")[0].removeprefix("/api/ohlc/").removeprefix("latest/")
    symbol = symbol.partition("@")[0]
    if answer.status == 404:
        opened = log.opened(symbol, answer.asked_us - int(TIMEOUT_S * 1e6))
        return [f"{what}unknown, though it had bars"] if opened else []
    if answer.status != 200:
        return [f"{what}{answer.status} {answer.body}"]
    data, age_s = answer.body["data"], answer.body["age_s"]
    bars = data if isinstance(data, list) else [data]
    known_us = answer.asked_us - int(age_s * 1e6) - SLACK_US
    return [f"{what}{fault}" for fault in _wrong(symbol, bars, known_us, log)]


def _wrong(symbol: str, bars: list[dict[str, Any]], known_us: int, log: _Log) -> list[str]:
    found = []
    for bar in bars:
        name, rank = (symbol, bar["open_time"]), (bar["revision"], bar["last_offset"])
        if log.content(name, rank) != _content(bar):
            found.append(f"{name} {rank} was never published so: {_content(bar)}")
        newest = log.newest(name, known_us)
        if newest is not None and rank < newest:
            found.append(f"{name} is {rank}, though {newest} was out longer than the answer is old")
    opened = log.opened(symbol, known_us)
    times = {bar["open_time"] for bar in bars}
    if times:
        missing = [each for each in opened[bisect_right(opened, min(times)) :] if each not in times]
        if missing:
            found.append(f"{symbol} lacks {len(missing)} bars from {missing[0]} on")
    return found
