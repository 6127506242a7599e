"""The WebSocket: subscribe to streams, take their messages, in JSON or MessagePack.

Shape: one task reads what the client asks. What it is owed is written in its turn, once for all
that is there: answers to requests first, then messages. While a client reads too slowly nothing is
written, and its outbox keeps the newest values; one that is gone is found by the server's pings.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect

from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.codec import AS_JSON, AS_MSGPACK, MSGPACK, Codec, Request
from app.api.freshness import Origin
from app.api.outbox import MOST_RATE
from app.api.problems import Problem, unavailable
from app.api.services import Services
from app.api.serving import Served
from app.api.session import Session
from app.api.streams import BadName, Stream
from app.api.wire import wire_of
from app.breaker import CircuitOpen
from app.errors import BrokerUnavailable, StoreUnavailable

router = APIRouter()

HEARTBEAT_S = 10.0
MOST_ANSWERS = 1_000
"""That wait: a client that asks and does not read is not answered for ever."""

Admitted = Annotated[Principal, Depends(require(Role.VIEWER, query_token=True))]


@router.websocket("/ws")
async def serve(socket: WebSocket, services: Served, who: Admitted, format: str = "json") -> None:  # noqa: A002
    """Serve one client until it goes."""
    offered = socket.scope.get("subprotocols", [])
    codec = AS_MSGPACK if format == "msgpack" or MSGPACK in offered else AS_JSON
    await socket.accept(MSGPACK if MSGPACK in offered else None)
    services.metrics.joined("websocket")
    try:
        client = Client(socket, services, who, codec)
        with closing(client):
            await client.run()
    finally:
        services.metrics.left("websocket")


class Client:
    """One connection."""

    def __init__(self, socket: WebSocket, services: Services, who: Principal, codec: Codec) -> None:
        self._socket, self._services, self._who = socket, services, who
        self._codec = codec
        self._session = Session(services, who, wake=self._mind)
        self._wire = wire_of(socket)
        self._wire.on_writable = self._mind
        self._loop = asyncio.get_running_loop()
        self._answers: list[Any] = []
        self._is_minded = False
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Read until the client goes, or until it may no more."""
        beat = asyncio.create_task(self._beat(), name="ws heartbeat")
        try:
            with suppress(WebSocketDisconnect):
                await self._read()
        finally:
            beat.cancel()

    def close(self) -> None:
        """Follow and write nothing any more."""
        self._wire.on_writable = _nothing
        if self._timer is not None:
            self._timer.cancel()
        self._session.close()

    async def _read(self) -> None:
        while True:
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            frame = event.get("bytes") or event.get("text") or ""
            asked: Request | None = None
            try:
                asked = self._codec.request(frame)
                await self._answer(asked)
            except Problem as problem:
                self._refuse(asked, problem)
            except BadName as error:
                self._refuse(asked, Problem(400, "Bad name", str(error)))
            except (StoreUnavailable, CircuitOpen, BrokerUnavailable):
                self._refuse(asked, unavailable("a server behind this API cannot answer now"))
            if len(self._answers) > MOST_ANSWERS:
                await self._socket.close(1008, "answers are not read")
                return

    async def _answer(self, asked: Request) -> None:
        match asked.op:
            case "subscribe":
                await self._subscribe(asked)
            case "unsubscribe":
                gone = [name for name in asked.streams if self._session.unsubscribe(name)]
                self._say({"type": "unsubscribed", "id": asked.id, "streams": gone})
            case "ping":
                self._say({"type": "pong", "id": asked.id})
            case other:
                raise Problem(
                    400, "Bad request", f"op must be subscribe, unsubscribe or ping, was {other!r}"
                )

    async def _subscribe(self, asked: Request) -> None:
        if not asked.streams:
            raise Problem(400, "Bad request", "streams must name one stream at least")
        if not 0 <= asked.throttle < 1:
            raise Problem(
                400, "Bad request", f"throttle must be a share in [0, 1), was {asked.throttle}"
            )
        if asked.rate is not None:
            if not 0 < asked.rate <= MOST_RATE:
                raise Problem(
                    400, "Bad request",
                    f"rate must be messages a second in (0, {MOST_RATE:g}], was {asked.rate:g}",
                )  # fmt: skip
            self._session.outbox.rate = asked.rate
        streams = [Stream.parse(name) for name in dict.fromkeys(asked.streams)]
        for each in streams:
            token = asked.resume.get(each.name)
            # Said at once: the writer may already have updates that come behind it.
            self._say(await self._session.subscribe(each, token, asked.throttle))
        names = [each.name for each in streams]
        self._say({"type": "subscribed", "id": asked.id, "streams": names})

    def _say(self, *answers: Any) -> None:
        self._answers += answers
        self._mind()

    def _refuse(self, asked: Request | None, problem: Problem) -> None:
        body: Mapping[str, Any] = problem.body("/ws")
        self._say({"type": "error", "id": asked.id if asked else None, "problem": body})

    def _mind(self) -> None:
        """Write soon: once, however much comes until then."""
        if not self._is_minded:
            self._is_minded = True
            self._services.turns.add(self._write)

    def _write(self) -> None:
        """Write what is there, as far as the client takes it."""
        self._is_minded = False
        wire, codec = self._wire, self._codec
        if not wire.is_writable:
            return  # called again when it is
        for answer in self._answers:
            wire.send(codec.payload(answer), binary=codec.binary)
        self._answers.clear()
        now_s = time.monotonic()
        for message in self._session.take(now_s):
            wire.send(codec.payload(message), binary=codec.binary)
            if not wire.is_writable:
                return
        due_s = self._session.outbox.due_s(now_s)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_s is not None:
            self._timer = self._loop.call_later(max(due_s - now_s, 0.001), self._mind)

    async def _beat(self) -> None:
        # Not all clients of a start at the same moment.
        await asyncio.sleep(random.uniform(0.5, 1) * HEARTBEAT_S)  # noqa: S311 - no secret
        while await self._socket.app.state.access.is_still_good(self._who):
            self._say(self._heartbeat())
            await asyncio.sleep(HEARTBEAT_S)
        await self._socket.close(1008, "the key or token has ended")

    def _heartbeat(self) -> dict[str, Any]:
        age = self._services.age(Origin.TOPICS)
        return {
            "type": "heartbeat",
            "time": time.time_ns() // 1000,
            "age_s": round(age.age_s, 3),
            "stale": age.stale,
        }


def _nothing() -> None:
    pass
