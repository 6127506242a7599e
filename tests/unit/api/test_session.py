"""A client's session where its beginning is the stores': what counts as sent, and what does not."""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
from typing_extensions import override

from app.api.edge import Edge
from app.api.session import Session
from app.api.streams import Noun, Stream
from app.domain.ports import Row
from tests.unit.api.api import EVERYONE, Api, bar, quote

QUOTES, BARS = "quotes:BTC/USD@KRAKEN", "bars:BTC/USD@KRAKEN:M1"


class Held(Edge):
    """The way to a store that answers when a test lets it."""

    def __init__(self) -> None:
        super().__init__("redis", 2.0)
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    @override
    async def call(self, ask: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        found = await super().call(ask, *args, **kwargs)
        self.asked.set()
        await self.may_answer.wait()
        return found


def sent(session: Session) -> list[Row]:
    """Return what may be sent now."""
    return [msgspec.json.decode(each.data) for each in session.take(time.monotonic())]


async def meanwhile(api: Api, name: str, noun: Noun, *rows: Row) -> Session:
    """Return a session that follows a stream; `rows` came while the store was asked for it."""
    api.services.hot_edge = edge = Held()
    session = Session(api.services, EVERYONE)
    following = asyncio.create_task(session.subscribe(Stream.parse(name), None, 0))
    await edge.asked.wait()
    api.publish(noun, *rows)
    edge.may_answer.set()
    await following
    return session


async def test_what_a_stored_bar_holds_is_not_sent_again() -> None:
    api = Api()
    api.keep(bars=[bar(revision=3, last_offset=9)])

    session = await meanwhile(
        api, BARS, Noun.BARS, bar(revision=2, last_offset=8), bar(revision=3, last_offset=9)
    )

    assert sent(session) == []


async def test_a_bar_newer_than_the_stored_one_is_sent() -> None:
    api = Api()
    api.keep(bars=[bar(revision=3, last_offset=9)])

    session = await meanwhile(api, BARS, Noun.BARS, bar(revision=3, last_offset=10))

    assert [row["last_offset"] for row in sent(session)] == [10]


async def test_what_a_stored_quote_holds_is_not_sent_again() -> None:
    api = Api()
    api.keep(quotes=[quote(tick_offset=7)])

    session = await meanwhile(api, QUOTES, Noun.QUOTES, quote(tick_offset=6), quote(tick_offset=7))

    assert sent(session) == []


async def test_a_quote_newer_than_the_stored_one_is_sent() -> None:
    api = Api()
    api.keep(quotes=[quote(tick_offset=7)])

    session = await meanwhile(api, QUOTES, Noun.QUOTES, quote(tick_offset=8))

    assert [row["tick_offset"] for row in sent(session)] == [8]


async def test_a_stored_quote_counts_as_the_last_that_was_sent() -> None:
    """Its mid is 100: the next one that is as near to it as the throttle says is held back."""
    api = Api()
    api.keep(quotes=[quote(bid=Decimal(99), ask=Decimal(101), tick_offset=1)])
    session = Session(api.services, EVERYONE)
    await session.subscribe(Stream.parse(QUOTES), None, 0.01)

    api.publish(Noun.QUOTES, quote(bid=Decimal(99), ask=Decimal("102.9"), tick_offset=2))
    held_back = sent(session)
    api.publish(Noun.QUOTES, quote(bid=Decimal(99), ask=Decimal("103.1"), tick_offset=3))

    assert held_back == []
    assert [row["tick_offset"] for row in sent(session)] == [3]


async def test_a_stored_quote_with_one_side_holds_nothing_back() -> None:
    api = Api()
    api.keep(quotes=[quote(bid=None, ask=Decimal(101), tick_offset=1)])
    session = Session(api.services, EVERYONE)
    await session.subscribe(Stream.parse(QUOTES), None, 0.01)

    api.publish(Noun.QUOTES, quote(bid=Decimal(99), ask=Decimal(101), tick_offset=2))

    assert [row["tick_offset"] for row in sent(session)] == [2]
