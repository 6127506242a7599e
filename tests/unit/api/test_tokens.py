"""Whoever goes on from the token of the last message that came has missed nothing."""

from datetime import timedelta
from typing import Any

import msgspec

from app.api.outbox import Outbox
from app.api.session import Session
from app.api.streams import Noun, Stream, Token, Update
from app.domain.ports import Row
from schemas.json_form import from_jsonable
from tests.contract.records import at
from tests.unit.api.api import Api, bar, principal

NAME = "bars:BTC/USD@KRAKEN:M1"


def update(about: int, offset: int) -> Update:
    return Update(NAME, about, Token(0, offset), (0, offset), b"{}", None, 0)


def test_a_bar_that_was_replaced_does_not_lead_past_one_that_waits() -> None:
    #  log:     A5  B6  A9        the client is slow: B waits while A goes out, as of 9
    #  tokens:  A says "go on at 6", and B "go on at 7": then A is told once more, and B never lost
    outbox = Outbox(lambda: None, 100.0, 0.0)
    outbox.add(Stream.parse(NAME), 0.0).open(())
    for each in (update(1, 5), update(2, 6), update(1, 9)):
        outbox.offer(each)

    tokens = [message.token for message in outbox.take(0.0)]

    assert tokens == ["0-6", "0-7"]


def session_of(api: Api) -> Session:
    return Session(api.services, principal("viewer"))


def row_of(body: Any) -> Row:
    return from_jsonable("bar", msgspec.json.decode(body))


async def test_a_slow_client_that_comes_back_gets_every_bar() -> None:
    """Wherever the connection is cut, the newest of each bar comes before or after the cut."""
    opened = [at("10:00") + timedelta(minutes=n) for n in range(3)]
    rows = [
        bar(open_time=opened[n], last_offset=rank) for rank, n in enumerate((0, 1, 0, 2, 1, 0, 2))
    ]
    newest = {row["open_time"]: row["last_offset"] for row in rows}
    for cut in range(4):
        api = Api()
        session = session_of(api)
        await session.subscribe(Stream.parse(NAME), None, 0.0)
        api.publish(Noun.BARS, *rows)
        before = (await session.messages(0.0))[:cut]
        session.close()

        again = session_of(api)
        token = before[-1].token if before else "1-0"
        await again.subscribe(Stream.parse(NAME), token, 0.0)
        after = await again.messages(0.0)
        again.close()

        got = {}
        for message in (*before, *after):
            row = row_of(message.data)
            got[row["open_time"]] = max(row["last_offset"], got.get(row["open_time"], 0))
        assert got == newest, f"cut after {cut}"
