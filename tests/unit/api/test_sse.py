"""Quotes as server-sent events."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from typing import Any

import httpx
import pytest

from app.api import quotes
from app.api.streams import Noun, Token
from tests.unit.api.api import Api, principal, quote

PATH = "/api/quotes/stream?symbols=BTC/USD@KRAKEN,ETH/USD@KRAKEN&throttle=0"


@contextmanager
def listening(url: str, path: str = PATH, **headers: str) -> Iterator[Iterator[str]]:
    """Give the lines of a stream as they come."""
    with httpx.stream("GET", url + path, headers=headers, timeout=10) as answer:
        assert answer.status_code == 200, answer.read()
        yield answer.iter_lines()


def event(lines: Iterator[str]) -> dict[str, str]:
    """Return the fields of the next event."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            found[name] = value
        elif "data" in found:
            return found
    raise AssertionError("the stream ended")


def bid(price: str, offset: int, symbol: str = "BTC/USD") -> dict[str, Any]:
    return quote(symbol=symbol, bid=Decimal(price), tick_offset=offset, sequence=offset)


def test_what_is_newest_comes_first_and_then_every_change() -> None:
    api = Api()
    api.publish(Noun.QUOTES, bid("100", 1))
    with api.served() as url, listening(url) as lines:
        first = event(lines)
        api.publish(Noun.QUOTES, bid("10", 1, "ETH/USD"))
        second = event(lines)

    assert (first["event"], '"bid":"100"' in first["data"]) == ("quote", True)
    assert '"bid":"10"' in second["data"]


def test_an_id_leads_to_what_came_after_it() -> None:
    api = Api()
    with api.served() as url:
        with listening(url) as lines:
            api.publish(Noun.QUOTES, bid("10", 1, "ETH/USD"))
            api.publish(Noun.QUOTES, bid("100", 1))
            ids = [event(lines)["id"], event(lines)["id"]]
        api.publish(Noun.QUOTES, bid("101", 2))
        with listening(url, **{"Last-Event-ID": ids[-1]}) as lines:
            missed = event(lines)
            api.publish(Noun.QUOTES, bid("11", 2, "ETH/USD"))
            following = event(lines)

    assert '"bid":"101"' in missed["data"]
    assert '"bid":"11"' in following["data"]


def test_an_id_never_says_that_something_was_sent_that_still_waits() -> None:
    """A quote that hardly moved is held back while one behind it in the log is sent."""
    api = Api()
    place = partial(api.services.place, Noun.QUOTES.topic)
    first = "S0/USD"
    second = next(name for n in range(1, 99) if place(name := f"S{n}/USD") == place(first))
    path = f"/api/quotes/stream?throttle=0.5&symbols={first}@KRAKEN,{second}@KRAKEN"
    api.publish(Noun.QUOTES, bid("100", 1, first), bid("100", 1, second))
    with api.served() as url, listening(url, path) as lines:
        event(lines), event(lines)
        [held] = api.publish(Noun.QUOTES, bid("101", 2, first))
        api.publish(Noun.QUOTES, bid("1000", 2, second))
        sent = event(lines)

    assert '"bid":"1000"' in sent["data"]
    assert sent["id"] == str(Token(held.token.partition, held.token.offset - 1))


def test_a_comment_says_now_and_then_how_far_behind_the_pipeline_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quotes, "HEARTBEAT_S", 0.1)
    api = Api()
    api.is_stale()
    with api.served() as url, listening(url) as lines:
        said = next(line for line in lines if line.startswith(": age_s"))

    assert said.endswith("stale true")


def test_who_may_no_more_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "HEARTBEAT_S", 0.1)
    api = Api()
    with api.served() as url, listening(url) as lines:
        next(lines)
        api.door.who = None
        rest = list(lines)

    assert not any(line.startswith("data") for line in rest)
    assert api.hub.listeners == 0


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("?symbols=", {}, 422),
        ("?symbols=NO/NE", {}, 404),
        ("?symbols=BTC/USD@KRAKEN&rate=0", {}, 422),
        ("?symbols=BTC/USD@KRAKEN&throttle=1", {}, 422),
        ("?symbols=BTC/USD@KRAKEN", {"Last-Event-ID": "garbage"}, 400),
        ("?symbols=ETH/USD@KRAKEN", {}, 403),
    ],
)
async def test_a_stream_that_cannot_be_is_refused(
    path: str, headers: dict[str, str], status: int
) -> None:
    api = Api(principal(symbols=("BTC/*@*",)))

    async with api.client() as client:
        answer = await client.get(f"/api/quotes/stream{path}", headers=headers)

    assert answer.status_code == status
    assert api.hub.listeners == 0
