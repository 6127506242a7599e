"""Quotes by REST, and as server-sent events."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.api import history
from app.api.access.gate import Access
from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.documented import answers, events, refusals
from app.api.freshness import Origin
from app.api.outbox import MOST_RATE, RATE, THROTTLE, Message
from app.api.problems import Problem
from app.api.services import Services, unknown
from app.api.serving import Found, Served, respond, seen
from app.api.session import MOST_STREAMS, Session
from app.api.streams import BadName, Noun, Stream, Token
from schemas.json_form import to_json

router = APIRouter(prefix="/api/quotes", tags=["quotes"])

MOST_TICKS = 1_000
HEARTBEAT_S = 10.0
_PLACE = "[0-9]{1,6}-[0-9]{1,19}"
_json = msgspec.json.Encoder()

Viewer = Annotated[Principal, Depends(require(Role.VIEWER))]
Trader = Annotated[Principal, Depends(require(Role.TRADER))]
Listener = Annotated[Principal, Depends(require(Role.VIEWER, query_token=True))]


@router.get("/latest/{symbol:path}", responses=answers("quote"))
async def latest(symbol: str, services: Served, who: Viewer) -> Response:
    """Return the newest quote."""
    return respond((await newest(services, who, symbol)).body(services))


async def newest(services: Services, who: Principal, text: str) -> Found:
    """Return the newest quote of a series; errors as of `seen` and `history.quote`."""
    name, venue = seen(services, who, text)
    kept = services.hub.newest(f"quotes:{name}@{venue}")
    if kept is not None:
        return Found(msgspec.Raw(kept.body), (Origin.TOPICS,))
    row = await history.quote(services, name, venue)
    if row is None:
        raise unknown(f"{name}@{venue}", "quote")
    return Found(msgspec.Raw(to_json("quote", row).encode()), (Origin.HOT,))


@router.get("/history/{symbol:path}", responses=answers("tick", many=True))
async def newest_ticks(
    symbol: str,
    services: Served,
    who: Trader,
    limit: Annotated[int, Query(ge=1, le=MOST_TICKS)] = 100,
) -> Response:
    """Return the newest ticks, trades and quotes alike, oldest first."""
    name, venue = seen(services, who, symbol)
    texts, origin = await history.ticks(services, name, venue, limit)
    if not texts and (name, venue) not in services.series:
        raise unknown(f"{name}@{venue}")
    data = [msgspec.Raw(text.encode()) for text in texts]
    return respond(Found(data, (origin,)).body(services))


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={**events("quote", "quote"), **refusals()},
)
async def stream(  # noqa: PLR0913 - each is a parameter of the request
    request: Request,
    services: Served,
    who: Listener,
    symbols: Annotated[
        str,
        Query(
            pattern=r"[!-+\-.-~]",  # something beside commas and white space
            description="Series, with commas between: BTC/USD@KRAKEN,ETH/USD@KRAKEN",
        ),
    ],
    rate: Annotated[float, Query(gt=0, le=MOST_RATE, description="Events a second.")] = RATE,
    throttle: Annotated[
        float, Query(ge=0, lt=1, description="Share by which the mid moves before the next.")
    ] = THROTTLE,
    last_event_id: Annotated[
        str | None, Header(json_schema_extra={"pattern": f"^{_PLACE}(,{_PLACE})*$"})
    ] = None,
) -> Response:
    """Stream quotes: event `quote`, its record as data, and an id from which to go on.

    A client that sends the id of its last event as `Last-Event-ID` gets what came after it. Every
    10 s a comment says whether the pipeline is behind.
    """
    wanted = [_stream(*seen(services, who, text)) for text in dict.fromkeys(_split(symbols))]
    places = _places(last_event_id)
    session = Session(services, who, rate)
    access: Access = request.app.state.access
    first: list[Message] = []
    try:
        for each in wanted:
            partition = services.place(each.noun.topic, each.symbol).partition
            first.append(await session.subscribe(each, places.get(partition), throttle))
    except BaseException:
        session.close()
        raise
    return StreamingResponse(
        _events(services, session, first, places, partial(access.is_still_good, who)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(
    services: Services,
    session: Session,
    first: list[Message],
    places: dict[int, str],
    may_go_on: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    """Yield what is to be sent, until the client has gone or may no more."""
    beat_s = time.monotonic() + HEARTBEAT_S
    services.metrics.joined("sse")
    try:
        with closing(session):
            yield b"retry: 2000\n\n" + _block(first, session, places)
            while True:
                messages = await session.messages(max(0.0, beat_s - time.monotonic()))
                if messages:
                    yield _block(messages, session, places)
                if time.monotonic() >= beat_s:
                    if not await may_go_on():
                        return
                    beat_s = time.monotonic() + HEARTBEAT_S
                    age = services.age(Origin.TOPICS)
                    stale = b"true" if age.stale else b"false"
                    yield b": age_s %.3f stale %s\n\n" % (age.age_s, stale)
    finally:
        services.metrics.left("sse")


def _block(messages: list[Message], session: Session, places: dict[int, str]) -> bytes:
    """Return events; the last one's id says what of every partition was sent, these included."""
    values = [
        value
        for message in messages
        for value in (message.data if message.seq == 0 else [message.data])
    ]
    for message in messages:
        if message.token is not None:
            token = Token.parse(message.token)
            places[token.partition] = str(session.whole_until(token))
    events = [b"event: quote\ndata: %s\n" % _json.encode(value) for value in values]
    if events and places:
        event_id = ",".join(places[partition] for partition in sorted(places))
        events[-1] += b"id: %s\n" % event_id.encode()
    return b"".join(event + b"\n" for event in events)


def _stream(symbol: str, venue: str) -> Stream:
    try:
        return Stream.parse(f"{Noun.QUOTES.value}:{symbol}@{venue}")
    except BadName:
        raise unknown(f"{symbol}@{venue}") from None


def _split(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not 0 < len(names) <= MOST_STREAMS:
        raise Problem(
            422, "Invalid request",
            f"symbols must name 1 to {MOST_STREAMS} series, named {len(names)}",
        )  # fmt: skip
    return names


def _places(event_id: str | None) -> dict[int, str]:
    """Return the tokens that an event's id holds, by partition."""
    if not event_id:
        return {}
    try:
        return {Token.parse(each).partition: each for each in event_id.split(",")}
    except BadName:
        raise Problem(
            400, "Bad Last-Event-ID",
            f"it must be the id of an event of this stream, was {event_id[:64]!r}",
        ) from None  # fmt: skip
