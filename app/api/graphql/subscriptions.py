"""What may be followed, through the same `Session` as WebSocket and server-sent events.

A connection may have `MOST_SUBSCRIPTIONS` at a time, each with the default rate: together they
get no more than one client of the WebSocket may ask for. One that reads slowly gets the newest
values, as there.
"""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import closing
from typing import Any

import strawberry
from strawberry.types import Info

from app.api.freshness import Origin
from app.api.graphql import types
from app.api.graphql.caller import Caller, plain
from app.api.graphql.queries import check_timeframe
from app.api.graphql.types import Place
from app.api.outbox import MOST_RATE, RATE, THROTTLE, Message
from app.api.problems import INVALID, Problem
from app.api.serving import seen
from app.api.session import MOST_STREAMS, Session
from app.api.streams import BadName, Stream, Token

MOST_SUBSCRIPTIONS = int(MOST_RATE / RATE)
HEARTBEAT_S = 10.0

Updates = AsyncGenerator[Mapping[str, Any], None]


@strawberry.type
class Subscription:
    """What may be followed."""

    @types.updates(types.QuoteUpdate)
    async def quotes(
        self,
        info: Info[Caller, None],
        series: list[str],
        throttle: float = THROTTLE,
        resume: list[Place] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Follow quotes: the newest one of each series, then each as it changes."""
        it = info.context
        async for update in _followed(it, series, "quotes:{}", resume or [], throttle):
            yield update

    @types.updates(types.BarUpdate)
    async def bars(
        self,
        info: Info[Caller, None],
        series: list[str],
        timeframe: str = "M1",
        resume: list[Place] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Follow bars: the newest one of each series, then each as it changes."""
        it = info.context
        check_timeframe(timeframe)
        async for update in _followed(it, series, f"bars:{{}}:{timeframe}", resume or [], 0.0):
            yield update


async def _followed(
    it: Caller, series: Sequence[str], name: str, resume: Sequence[Place], throttle: float
) -> Updates:
    """Yield what streams bring; `name` is their name but for the series."""
    _check(it, series, throttle)
    try:
        streams = [
            Stream.parse(name.format("@".join(seen(it.services, it.who, each)))) for each in series
        ]
        tokens = {place.series: Token.parse(place.token) for place in resume}
    except BadName as error:
        raise Problem(400, "Bad name", str(error)) from None
    beat_s = time.monotonic() + HEARTBEAT_S
    it.followed += len(streams)
    it.services.metrics.joined("graphql")
    try:
        with closing(Session(it.services, it.who)) as session:
            for each in dict.fromkeys(streams):
                token = tokens.get(each.series)
                first = await session.subscribe(each, token and str(token), throttle)
                yield _update(it, first)
            while True:
                for message in await session.messages(max(0.0, beat_s - time.monotonic())):
                    yield _update(it, message)
                if time.monotonic() >= beat_s:
                    beat_s = time.monotonic() + HEARTBEAT_S
                    if not await it.access.is_still_good(it.who):
                        raise Problem(401, "Unauthorized", "The key or token has ended.")
                    yield _update(it, Message("heartbeat", "", 0, None, None))
    finally:
        it.followed -= len(streams)
        it.services.metrics.left("graphql")


def _check(it: Caller, series: Sequence[str], throttle: float) -> None:
    if not series:
        raise Problem(INVALID, "Invalid request", "series must name one series at least")
    if not 0 <= throttle < 1:
        raise Problem(
            INVALID, "Invalid request", f"throttle must be a share in [0, 1), was {throttle}"
        )
    if it.followed + len(series) > MOST_STREAMS:
        raise Problem(
            429, "Too many streams",
            f"a client may follow {MOST_STREAMS} streams at a time, would follow "
            f"{it.followed + len(series)}",
        )  # fmt: skip


def _update(it: Caller, message: Message) -> Mapping[str, Any]:
    age = it.services.age(Origin.TOPICS)
    data = message.data
    if isinstance(data, list):
        data = data[-1] if data else None
    return {
        "kind": message.type,
        "series": message.stream.partition(":")[2] or None,
        "seq": message.seq,
        "token": message.token,
        "data": plain(data),
        "merged": message.merged,
        "missed": message.missed,
        "age_s": round(age.age_s, 3),
        "stale": age.stale,
    }
