"""One client of the streams, whatever it speaks: subscribe, then take messages as they come.

A subscription joins the hub first and is opened with its snapshot, so nothing falls between the
two. With a token it goes on behind it: from what the hub keeps, or else from the topic; when that
is no longer possible it begins with a snapshot again, and `seq` 0 says so.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from app.api import history
from app.api.access.roles import Principal, Role
from app.api.history import Span
from app.api.outbox import RATE, Message, Outbox
from app.api.past import TooFar
from app.api.problems import Problem
from app.api.reading import update_from
from app.api.services import Services
from app.api.streams import Noun, Stream, Token, Update
from schemas.json_form import from_jsonable, to_json

MOST_STREAMS = 500
"""Of one client."""
OFFERED_WITHIN_S = 3.0
"""How long one who wants a symbol's ticks waits until they are picked out."""


class Session:
    """What one connection follows.

    Args:
        services: Where it comes from.
        principal: Who it is.
        rate: Messages a second.
        wake: Called when there may be something to take; None for one who waits in `messages`.
    """

    def __init__(
        self,
        services: Services,
        principal: Principal,
        rate: float = RATE,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._services = services
        self._principal = principal
        self._news = asyncio.Event()
        self.outbox = Outbox(wake or self._news.set, rate, time.monotonic())

    async def subscribe(self, stream: Stream, token: str | None, throttle: float) -> Message:
        """Follow a stream from now on, or from behind a token.

        Returns:
            What to send first: `snapshot` with the newest value there is, or `resumed`.

        Raises:
            Problem: It may not be followed by this client, or the client follows too many.
            BadName: The token is none of this stream.
            StoreUnavailable, CircuitOpen, BrokerUnavailable: Its beginning is out of reach now.
        """
        self._check(stream)
        begun = None if token is None else self._place(stream, token)
        subscription = self.outbox.add(stream, throttle)
        self._services.hub.join(self.outbox, stream)
        try:
            position = await self._position(stream)
            more = None if begun is None else await self._between(stream, begun, position)
            if more is not None:
                subscription.open((), more)
                message = Message("resumed", stream.name, 0, token, [])
            else:
                last = Token(self._partition(stream), position - 1)
                held, data = await self._newest(stream, last)
                subscription.open(held, now_s=time.monotonic())
                place = held[-1].token if held else last
                message = Message("snapshot", stream.name, 0, str(place), data)
        except BaseException:
            self.unsubscribe(stream.name)
            raise
        self.outbox.mind(subscription)
        return message

    def _check(self, stream: Stream) -> None:
        who, names = self._principal, self.outbox.names()
        if not who.may_see(stream.series) or not who.may_follow(stream.noun.value):
            raise Problem(403, "Not allowed", f"{who.name} may not follow {stream.name}")
        if stream.noun is Noun.TICKS and not who.role.includes(Role.TRADER):
            raise Problem(
                403, "Not allowed", f"{stream.name} needs the role trader, {who.name} is "
                f"{who.role.value}",
            )  # fmt: skip
        if len(names) >= MOST_STREAMS and stream.name not in names:
            raise Problem(
                429, "Too many streams", f"a client may follow {MOST_STREAMS} streams at a time"
            )

    def _partition(self, stream: Stream) -> int:
        return self._services.place(stream.noun.topic, stream.symbol).partition

    def _place(self, stream: Stream, text: str) -> Token:
        token, partition = Token.parse(text), self._partition(stream)
        if token.partition != partition:
            raise Problem(
                400, "Token of another stream",
                f"a token of {stream.name} begins with {partition}-, was {text!r}",
            )  # fmt: skip
        return token

    async def _position(self, stream: Stream) -> int:
        """Return up to where the hub has offered the stream's partition, and from where it does."""
        hub, place = self._services.hub, self._services.place(stream.noun.topic, stream.symbol)
        wish = hub.wish.version
        deadline = time.monotonic() + OFFERED_WITHIN_S
        while place not in hub.positions or not hub.offers(stream.noun, wish):
            if time.monotonic() > deadline:
                raise Problem(
                    503, "Unavailable for now", f"{stream.name} is not read yet",
                    {"Retry-After": "2"},
                )  # fmt: skip
            await asyncio.sleep(0.02)
        return hub.positions[place]

    async def _between(
        self, stream: Stream, token: Token, position: int
    ) -> Sequence[Update] | None:
        services = self._services
        if stream.noun.is_newest_only:
            place = services.place(stream.noun.topic, stream.symbol)
            kept = services.hub.since(stream, place, token.offset)
            if kept is not None:
                return kept
        if token.offset >= position:
            return None  # of a topic that was made anew
        try:
            return await services.past_edge.call(
                services.past.between, stream, token.partition, token.offset + 1, position
            )
        except TooFar:
            return None

    async def _newest(self, stream: Stream, last: Token) -> tuple[list[Update], list[Any]]:
        """Return what a client is given first: as updates, and as data."""
        services = self._services
        if stream.noun is Noun.TICKS:
            return [], []
        if stream.noun is Noun.ANOMALIES:
            found = [each for each in services.hub.anomalies if each.stream == stream.name]
            return found, [msgspec.Raw(each.body) for each in found]
        newest = services.hub.newest(stream.name)
        if newest is None:
            newest = await self._stored(stream, last)
        return ([newest], [msgspec.Raw(newest.body)]) if newest else ([], [])

    async def _stored(self, stream: Stream, last: Token) -> Update | None:
        """Return the newest value as the stores have it.

        The hub began where the hot store's worker had committed: all before that is there.
        """
        services, row, text = self._services, None, ""
        if stream.noun is Noun.QUOTES:
            row = await history.quote(services, stream.symbol, stream.venue)
            text = to_json("quote", row) if row else ""
        else:
            span = Span(stream.symbol, stream.venue, stream.timeframe, None, None, 1)
            found, _ = await history.bars(services, span)
            if found:
                text = found[0].text
                row = from_jsonable("bar", msgspec.json.decode(text))
        return update_from(stream.noun, row, text.encode(), last, 0) if row else None

    def unsubscribe(self, name: str) -> bool:
        """Follow a stream no more; return whether it was followed."""
        self._services.hub.leave(self.outbox, name)
        return self.outbox.drop(name)

    def take(self, now_s: float) -> Iterator[Message]:
        """Yield what may be sent now."""
        sent = self._services.metrics.sent
        for message in self.outbox.take(now_s):
            sent(message.stream.partition(":")[0])
            yield message

    async def messages(self, within_s: float) -> list[Message]:
        """Return what may be sent now; none when `within_s` has gone by."""
        until_s = time.monotonic() + within_s
        while True:
            self._news.clear()
            now_s = time.monotonic()
            ready = list(self.take(now_s))
            if ready or now_s >= until_s:
                return ready
            due_s = self.outbox.due_s(now_s)
            wait_s = min(until_s, until_s if due_s is None else due_s) - now_s
            try:
                await asyncio.wait_for(self._news.wait(), max(wait_s, 0.001))
            except TimeoutError:
                continue

    def whole_until(self, sent: Token) -> Token:
        """Return a place of a partition before which nothing waits; `sent`, or one before it."""
        waits = (each.token for each in self.outbox.waiting())
        floor = min(
            (each.offset - 1 for each in waits if each.partition == sent.partition),
            default=sent.offset,
        )
        return Token(sent.partition, min(floor, sent.offset))

    def close(self) -> None:
        """Follow nothing any more."""
        for name in self.outbox.names():
            self.unsubscribe(name)
