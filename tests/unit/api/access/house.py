"""An API of a few routes behind the guard, whose stores and clock a test holds in its hand."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Body, Depends, FastAPI, Query, WebSocket
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.api import problems
from app.api.access import keys
from app.api.access.gate import Access
from app.api.access.guard import require
from app.api.access.keys import NewKey
from app.api.access.roles import Principal, Role
from app.breaker import CircuitOpen
from app.errors import LoginRefused, StoreUnavailable
from app.settings import load
from connectors.access_memory import MemoryAuditLog, MemoryKeyStore

Row = Mapping[str, Any]
SECRET_PLACE = "Postgres at db.internal:5432"  # noqa: S105 - not one, but nobody's business


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Keys(MemoryKeyStore):
    """Keys whose store can go away, and which counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.asked = 0

    def get(self, key_id: str) -> Row | None:
        self._answer()
        return super().get(key_id)

    def is_empty(self) -> bool:
        self._answer()
        return super().is_empty()

    def _answer(self) -> None:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable(SECRET_PLACE)


class Log(MemoryAuditLog):
    """An audit log that can go away after so many rows."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 1000

    def append(self, row: Row) -> None:
        if self.room <= 0:
            raise StoreUnavailable(SECRET_PLACE)
        self.room -= 1
        super().append(row)

    def rows(self) -> list[Row]:
        return self.newest(1000)


class House:
    """See above."""

    def __init__(self, **settings: str) -> None:
        self.clock, self.keys, self.log = Clock(), Keys(), Log()
        self.registry = CollectorRegistry()
        self.settings = load({"TAPELINE_HOME": "/nowhere", **settings}, needs=())
        self.access = Access.of(
            self.settings, self.keys, self.log, self.registry, clock_s=self.clock, timeout_s=30
        )
        self.app = FastAPI()
        self.done: list[str] = []
        problems.install(self.app)
        self.access.install(self.app)
        self.app.include_router(_plain())
        self.app.include_router(_guarded(self.done.append))

    def key(self, role: str = "viewer", lifetime: timedelta | None = None, **fields: Any) -> NewKey:
        """Make a key that the store has."""
        now = datetime.now(UTC)
        made = keys.new(fields.pop("name", "desk"), Role(role), now, lifetime=lifetime)
        self.keys.put({**made.key.row(), **fields})
        return made

    async def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        """Ask for a path."""
        return await self.ask("GET", path, key, **headers)

    async def ask(
        self, method: str, path: str, key: str | None = None, json: Any = None, **headers: str
    ) -> httpx.Response:
        """Ask, as a client of the same machine."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000"
        ) as client:
            return await client.request(method, path, headers=given, json=json)

    async def websocket(self, path: str, says: str = "bye", **headers: str) -> list[Message]:
        """Return what the server sends to a WebSocket that says one thing."""
        path, _, query = path.partition("?")
        given = {"host": "127.0.0.1:8000", **headers}
        incoming: list[Message] = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": says},
            {"type": "websocket.disconnect", "code": 1000},
        ]
        sent: list[Message] = []

        async def receive() -> Message:
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "websocket", "asgi": {"version": "3.0"}, "scheme": "ws", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(n.lower().encode(), v.encode()) for n, v in given.items()],
            "client": ("127.0.0.1", 50_000), "server": ("127.0.0.1", 8000), "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }  # fmt: skip
        await self.app(scope, receive, send)
        return sent

    def counted(self, name: str, **labels: str) -> float | None:
        """Return a metric's value."""
        return self.registry.get_sample_value(name, labels)


FAILURES: dict[str, Exception] = {
    "store": StoreUnavailable(SECRET_PLACE),
    "login": LoginRefused(SECRET_PLACE),
    "breaker": CircuitOpen(3.2),
    "late": TimeoutError(SECRET_PLACE),
    "bug": RuntimeError(SECRET_PLACE),
    "teapot": HTTPException(418, headers={"X-Tea": "green"}),
    "own": problems.Problem(409, "Several venues", "SPY is at two", venues=["NYSE", "ARCA"]),
}


def _plain() -> APIRouter:
    """Routes without a guard."""
    router = APIRouter()

    @router.get("/open")
    async def everyone() -> str:
        return "ok"

    @router.get("/fails/{how}")
    async def fails(how: str) -> str:
        raise FAILURES[how]

    @router.get("/number")
    async def number(limit: Annotated[int, Query(ge=1, le=1000)]) -> int:
        return limit

    @router.post("/login")
    async def login(password: Annotated[int, Body(embed=True)]) -> int:
        return password

    return router


def _guarded(note: Callable[[str], None]) -> APIRouter:
    router = APIRouter()
    for role in Role:

        @router.get(f"/{role.value}", dependencies=[Depends(require(role))])
        async def of_role(who: Annotated[Principal, Depends(require(Role.VIEWER))]) -> str:
            return f"{who.name} {who.role.value} {who.kind} {who.id}"

    @router.get("/stream")
    async def stream(
        who: Annotated[Principal, Depends(require(Role.VIEWER, query_token=True))],
    ) -> str:
        return who.name

    @router.get("/admin/twice", dependencies=[Depends(require(Role.ADMIN, query_token=True))])
    async def twice(_who: Annotated[Principal, Depends(require(Role.ADMIN))]) -> str:
        return "done"

    @router.post("/admin/do")
    async def do(
        _who: Annotated[Principal, Depends(require(Role.ADMIN))],
        body: Annotated[dict[str, Any], Body()],
    ) -> str:
        note("done")
        if "fail" in body:
            raise FAILURES[body["fail"]]
        return "done"

    @router.websocket("/ws")
    async def ws(
        socket: WebSocket, who: Annotated[Principal, Depends(require(Role.TRADER))]
    ) -> None:
        await socket.accept()
        await socket.send_text(who.name)
        how = await socket.receive_text()
        if how in FAILURES:
            raise FAILURES[how]
        await socket.close()

    return router
