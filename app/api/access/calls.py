"""ASGI middleware: every connection has a request id, and every audited call an outcome.

The id is the client's ``X-Request-ID`` when it is a plain word, else made up; it is in
`scope["state"]["request_id"]`, in the answer's header, in problems, in logs and in the audit log.

An outcome is written before the first byte of the answer is sent, so who has the answer knows
that the log is whole.
"""

import asyncio
import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access.audit import CALL, Trail

HEADER = "x-request-id"
GONE = 499
"""Status of a call whose client left before it was answered, as nginx has it."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Calls:
    """The middleware.

    Args:
        app: What serves the connections.
        trail: Writes outcomes.
    """

    def __init__(self, app: ASGIApp, trail: Trail) -> None:
        self._app, self._trail = app, trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        given = Headers(scope=scope).get(HEADER, "")
        request_id = state.setdefault("request_id", given if _ID.fullmatch(given) else uuid4().hex)

        async def sending(message: Message) -> None:
            status = _status(message)
            if status is not None and CALL in state:
                await self._trail.end(state.pop(CALL), status)
            if "headers" in message:
                MutableHeaders(scope=message).setdefault(HEADER, request_id)
            await send(message)

        status = 500  # it failed before it answered
        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            status = GONE
            raise
        finally:
            if CALL in state:
                await self._trail.end(state.pop(CALL), status)


def _status(message: Message) -> int | None:
    """Return the status that a message of the application gives its client, if it does."""
    match message["type"]:
        case "http.response.start" | "websocket.http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return 101
        case "websocket.close":
            return 403
    return None
