"""History and live bars as one: nothing twice, nothing left out where they meet."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.api.streams import Noun
from app.client import AsyncClient, Client
from app.client.effects import Call, Close, Effect, Emit, Pause, Receive
from app.client.errors import ApiProblem, Unreachable
from app.client.following import follow
from app.client.frames import Row
from app.client.joined import TRIES, Joined
from app.client.messages import Followed
from schemas.json_form import to_json
from tests.contract.records import at
from tests.unit.api.api import Api, bar

SERIES, NAME = "BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1"


def minute(n: int, **fields: Any) -> Row:
    """Return the n-th minute's bar; `last_offset` is its emission's rank."""
    opened = at("00:00") + timedelta(minutes=n)
    return bar(open_time=opened, close_time=opened + timedelta(minutes=1), **fields)


def as_json(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json("bar", row))
    return found


class Driven:
    """`follow_bars` by hand: a history that the test holds, and frames that it sends."""

    def __init__(self, history: int = 500, *, provisional: bool = True) -> None:
        joined = Joined(SERIES, "M1", history, provisional=provisional)
        self.steps = follow(Followed([NAME], None, None, {}), joined.handle)
        self.history: list[Row] | Exception = []
        self.calls: list[dict[str, str]] = []
        self.out: list[Row] = []
        self.paused = 0
        self.seq = 0
        self._go_on(next(self.steps))

    def _go_on(self, effect: Effect) -> None:
        """Do everything until a frame is wanted."""
        while not isinstance(effect, Receive):
            result: Any = None
            if isinstance(effect, Emit):
                self.out.append(effect.value)
            elif isinstance(effect, Pause):
                self.paused += 1
            elif isinstance(effect, Close):
                self.seq = 0
            elif isinstance(effect, Call):
                self.calls.append(dict(effect.params))
                if isinstance(self.history, Exception):
                    effect = self.steps.throw(self.history)
                    continue
                result = {"data": self._asked(effect.params), "age_s": 0, "stale": False}
            effect = self.steps.send(result)

    def _asked(self, params: Any) -> list[dict[str, Any]]:
        assert isinstance(self.history, list)
        rows = [as_json(row) for row in self.history]
        since = int(params.get("from", 0))
        return [row for row in rows if row["open_time"] >= since][-int(params["limit"]) :]

    def say(self, kind: str, *rows: Row, **fields: Any) -> list[Row]:
        """Send a message; return what it let out."""
        before = len(self.out)
        data: Any = [as_json(row) for row in rows]
        seq = 0 if kind != "update" else self.seq + 1
        self.seq = seq
        message = {"type": kind, "stream": NAME, "seq": seq, "token": f"0-{seq}", **fields}
        message["data"] = data[0] if kind == "update" else data
        self._go_on(self.steps.send(json.dumps(message)))
        return self.out[before:]

    def beat(self) -> list[Row]:
        """Send a heartbeat; return what it let out."""
        before = len(self.out)
        frame = {"type": "heartbeat", "time": 0, "age_s": 0.1, "stale": False}
        self._go_on(self.steps.send(json.dumps(frame)))
        return self.out[before:]

    def cut(self) -> None:
        """Break the connection."""
        self._go_on(self.steps.throw(Unreachable("cut")))


def ranks(rows: list[Row]) -> list[tuple[datetime, int, int]]:
    return [(row["open_time"], row["revision"], row["last_offset"]) for row in rows]


def test_history_comes_first_and_the_bar_of_both_once() -> None:
    it = Driven()
    it.history = [minute(n) for n in range(4)]

    out = it.say("snapshot", minute(3))

    assert ranks(out) == ranks([minute(n) for n in range(4)])


def test_a_newer_emission_than_the_history_has_counts() -> None:
    it = Driven()
    it.history = [minute(0), minute(1, last_offset=9)]

    it.say("snapshot", minute(1, last_offset=9))
    out = it.say("update", minute(1, last_offset=10))

    assert ranks(out) == ranks([minute(1, last_offset=10)])


def test_an_emission_that_the_history_had_already_is_left_out() -> None:
    it = Driven()
    it.history = [minute(0), minute(1, last_offset=12)]

    it.say("snapshot", minute(1, last_offset=9))

    assert it.say("update", minute(1, last_offset=11)) == []
    assert it.say("update", minute(1, last_offset=12)) == []
    assert len(it.say("update", minute(1, last_offset=13))) == 1


def test_a_revision_is_newer_than_any_offset() -> None:
    it = Driven()
    it.history = [minute(0, revision=1, last_offset=9)]
    it.say("snapshot", minute(0, revision=1, last_offset=9))

    assert it.say("update", minute(0, revision=0, last_offset=99)) == []
    assert len(it.say("update", minute(0, revision=2, last_offset=3))) == 1


def test_a_history_that_is_behind_the_stream_is_waited_for() -> None:
    """The store lacks minutes 2 and 3; the stream tells 3: without waiting, 2 would be lost."""
    it = Driven()
    it.history = [minute(0), minute(1)]
    behind = it._asked

    def catches_up(params: Any) -> list[dict[str, Any]]:
        found = behind(params)
        if len(it.calls) == 3:
            it.history = [minute(n) for n in range(4)]
        return found

    it._asked = catches_up  # type: ignore[method-assign]

    out = it.say("snapshot", minute(3))

    assert ranks(out) == ranks([minute(n) for n in range(4)])
    assert it.paused == 3


def test_a_history_that_stays_behind_is_given_and_completed_later() -> None:
    it = Driven()
    it.history = [minute(0), minute(1)]

    out = it.say("snapshot", minute(3))
    assert ranks(out) == ranks([minute(0), minute(1), minute(3)])
    assert len(it.calls) == TRIES
    assert ranks(it.say("update", minute(4))) == ranks([minute(4)]), "live bars do not wait"
    assert len(it.calls) == TRIES

    it.history = [minute(n) for n in range(5)]
    assert ranks(it.beat()) == ranks([minute(2)])
    asked = len(it.calls)
    assert it.beat() == []
    assert len(it.calls) == asked, "it is whole now"


def test_a_history_with_an_older_emission_of_the_newest_bar_is_waited_for() -> None:
    """Between that one and the stream's, minute 0 was revised: the store lacks it, too."""
    it = Driven()
    it.history = [minute(0, revision=1), minute(1, last_offset=5)]
    behind = it._asked

    def catches_up(params: Any) -> list[dict[str, Any]]:
        found = behind(params)
        it.history = [minute(0, revision=2), minute(1, last_offset=9)]
        return found

    it._asked = catches_up  # type: ignore[method-assign]

    assert ranks(it.say("snapshot", minute(1, last_offset=9))) == ranks(it.history)


def test_a_history_that_was_empty_at_first_is_given_whole() -> None:
    it = Driven()
    assert ranks(it.say("snapshot", minute(3))) == ranks([minute(3)])

    it.history = [minute(n) for n in range(4)]
    assert ranks(it.beat()) == ranks([minute(0), minute(1), minute(2)])


def test_a_series_without_bars_is_followed_from_its_first() -> None:
    it = Driven()
    it.history = ApiProblem(404, "Unknown symbol")

    assert it.say("snapshot") == []
    assert ranks(it.say("update", minute(0))) == ranks([minute(0)])


def test_a_history_out_of_reach_is_asked_for_again() -> None:
    it = Driven()
    it.history = ApiProblem(503, "Unavailable for now", "", 2.0)
    assert it.say("snapshot", minute(1)) == []

    it.history = [minute(0), minute(1)]
    assert ranks(it.say("resumed")) == ranks([minute(0), minute(1)])


def test_after_a_resumption_nothing_is_asked_for() -> None:
    it = Driven()
    it.history = [minute(0)]
    it.say("snapshot", minute(0))
    asked = len(it.calls)

    it.cut()
    it.say("resumed")

    assert len(it.calls) == asked
    assert ranks(it.say("update", minute(1))) == ranks([minute(1)])


def test_what_a_new_snapshot_left_out_is_asked_for() -> None:
    """Minutes 2 and 3 went by unseen, and minute 0 was revised: the history has both."""
    it = Driven()
    it.history = [minute(0), minute(1)]
    it.say("snapshot", minute(1))

    it.cut()
    it.history = [minute(0, revision=2), minute(1, revision=1), *(minute(n) for n in (2, 3, 4))]
    out = it.say("snapshot", minute(4))

    assert ranks(out) == ranks(it.history)


def test_values_that_were_left_out_for_slowness_are_asked_for() -> None:
    it = Driven()
    it.history = [minute(0)]
    it.say("snapshot", minute(0))

    it.history = [minute(n) for n in range(3)]
    out = it.say("update", minute(2), missed=1)

    assert ranks(out) == ranks([minute(1), minute(2)])


def test_only_final_bars_come_where_asked_for() -> None:
    it = Driven(provisional=False)
    it.history = [minute(0, is_final=True, revision=1), minute(1)]

    assert len(it.say("snapshot", minute(1))) == 1
    assert it.say("update", minute(1, last_offset=10)) == []
    assert len(it.say("update", minute(1, last_offset=10, revision=1, is_final=True))) == 1


def test_the_history_is_as_long_as_asked_for() -> None:
    it = Driven(history=2)
    it.history = [minute(n) for n in range(5)]

    assert ranks(it.say("snapshot", minute(4))) == ranks([minute(3), minute(4)])
    with pytest.raises(ValueError, match="history must be at least 1, was 0"):
        Joined(SERIES, "M1", 0, provisional=True)


def check(out: list[Row], last: dict[datetime, tuple[int, int]]) -> None:
    """Each bar's emissions rise, and end with the newest there is."""
    seen: dict[datetime, tuple[int, int]] = {}
    for row in out:
        rank = row["revision"], row["last_offset"]
        assert row["open_time"] not in seen or seen[row["open_time"]] < rank
        seen[row["open_time"]] = rank
    assert seen == last


def market(api: Api, end: threading.Event) -> dict[datetime, tuple[int, int]]:
    """Publish bars as a market makes them, the store some behind the topic; return the last."""
    last: dict[datetime, tuple[int, int]] = {}
    waits: list[Row] = []
    for n in range(120):
        for k in range(4):
            rank = 10 * n + k
            row = minute(n, last_offset=rank, revision=int(k == 3), is_final=k == 3)
            row["close"] = Decimal(rank)
            api.publish(Noun.BARS, row)
            last[row["open_time"]] = (row["revision"], row["last_offset"])
            waits.append(row)
            if len(waits) > 15:
                api.keep(bars=[waits.pop(0)])
        time.sleep(0.002)
    api.keep(bars=waits)
    end.set()
    return last


def followed(client: Client, end: threading.Event) -> Iterator[Row]:
    with closing(client.follow_bars(SERIES, "M1", history=5000)) as bars:
        for row in bars:
            yield row
            if end.is_set() and row["open_time"] == minute(119)["open_time"] and row["is_final"]:
                return


def test_while_the_market_moves_no_bar_is_lost_or_comes_twice() -> None:
    api = Api()
    api.keep(bars=[minute(0)])
    end = threading.Event()
    last: list[Any] = []

    with api.served() as url, Client(url) as client:
        thread = threading.Thread(target=lambda: last.append(market(api, end)))
        thread.start()
        time.sleep(0.05)
        out = list(followed(client, end))
        thread.join()

    check(out, last[0])


async def test_the_awaited_client_joins_as_well() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in range(3)])

    with api.served() as url:
        async with (
            AsyncClient(url) as client,
            aclosing(client.follow_bars(SERIES, "M1", history=2)) as bars,
        ):
            out = [await anext(bars), await anext(bars)]
            api.publish(Noun.BARS, minute(3))
            out.append(await anext(bars))

    assert ranks(out) == ranks([minute(1), minute(2), minute(3)])


def test_a_restart_while_bars_are_followed_loses_none() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in range(3)])

    with api.served() as url:
        port = int(url.rpartition(":")[2])
        client = Client(url)
        bars = client.follow_bars(SERIES, "M1")
        out = list(itertools.islice(bars, 3))
    for n in range(3, 9):
        api.publish(Noun.BARS, minute(n))
    with api.served(port):
        out += itertools.islice(bars, 6)
        bars.close()
        client.close()

    assert ranks(out) == ranks([minute(n) for n in range(9)])
