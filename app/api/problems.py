"""Every answer that is no success: RFC 9457 problem+json, from one exception.

    raise Problem(404, "No such symbol", "SPY@NYSE is in no catalog", symbol="SPY@NYSE")

    install(app)    turns into problems, over HTTP and, before a WebSocket is accepted, over it:
                    Problem                                          its own status
                    a parameter or body that breaks its rule         422: field, rule and value
                    HTTPException of Starlette and FastAPI           its status
                    a server of ours that cannot answer now          503 with Retry-After
                    all else                                         500, and nothing of ours in it

No problem tells what is inside: no address, no query, no traceback, no credential.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from app.api.redacted import is_secret, shown, text_of
from app.breaker import CircuitOpen
from app.errors import BrokerUnavailable, RegistryUnavailable, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""What a client is told to wait when we know no better."""
INVALID = 422
_FIRST_SERVER_ERROR = 500
_TRY_LATER = {429: 1013, 503: 1013}
"""Close codes of RFC 6455 (registry) for what may succeed later: 1013, try again later."""

log = structlog.get_logger()


class Problem(Exception):
    """What a request is answered with instead of a result.

    Args:
        status: HTTP status.
        title: The kind of problem, the same words each time.
        detail: What is wrong here: the thing, the rule and the value.
        headers: Headers of the answer.
        extra: More members of the body, such as the choices; `type` replaces the made one.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status, self.title, self.detail = status, title, detail
        self.headers = dict(headers or {})
        self.extra = extra

    def body(self, instance: str = "") -> dict[str, Any]:
        """Return the members of the body; `instance` is the path that was asked for."""
        members: dict[str, Any] = {
            "type": _type(self.status, self.title),
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            members["detail"] = self.detail
        if instance:
            members["instance"] = instance
        return {**members, **self.extra}

    def response(self, connection: HTTPConnection) -> Response:
        """Return the answer to a request."""
        body = self.body(text_of(connection.url.path))
        request_id = connection.scope.get("state", {}).get("request_id")
        headers = dict(self.headers)
        if request_id:
            body["request_id"] = headers["X-Request-ID"] = request_id
        return Response(json.dumps(body, default=str), self.status, headers, media_type=MEDIA_TYPE)


def unavailable(detail: str, retry_after_s: float = RETRY_AFTER_S) -> Problem:
    """Return a problem that says: the same request may succeed later."""
    wait_s = max(1, math.ceil(retry_after_s))
    return Problem(503, "Unavailable for now", detail, {"Retry-After": str(wait_s)})


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem."""
    for kind, problem in _PROBLEMS.items():
        app.add_exception_handler(kind, _answering(problem))
    app.add_exception_handler(Exception, _answering(_of_a_bug))


def problem_of(error: Exception) -> Problem:
    """Return what `error` is answered with."""
    for kind in type(error).__mro__:
        if kind in _PROBLEMS:
            return _PROBLEMS[kind](error)
    return _of_a_bug(error)


def _answering(
    problem: Callable[[Any], Problem],
) -> Callable[[Any, Exception], Awaitable[Any]]:
    async def answer(connection: HTTPConnection, error: Exception) -> Response | None:
        found = problem(error)
        if found.status >= _FIRST_SERVER_ERROR:
            # The text of an error may hold addresses: it is for the log alone.
            log.warning(
                "request failed",
                status=found.status,
                path=text_of(connection.url.path),
                request_id=connection.scope.get("state", {}).get("request_id"),
                error=text_of(f"{type(error).__name__}: {error}"),
            )
        response = found.response(connection)
        if not isinstance(connection, WebSocket):
            return response
        await _deny(connection, found, response)
        return None

    return answer


async def _deny(websocket: WebSocket, problem: Problem, response: Response) -> None:
    """Answer the handshake, or close what was accepted."""
    if websocket.application_state is WebSocketState.CONNECTING:
        if "websocket.http.response" in (websocket.scope.get("extensions") or {}):
            await websocket.send_denial_response(response)
            return
    elif websocket.application_state is not WebSocketState.CONNECTED:
        return
    await websocket.close(close_code(problem), problem.title)


def close_code(problem: Problem) -> int:
    """Return the close code of a WebSocket that ends with `problem`."""
    default = 1011 if problem.status >= _FIRST_SERVER_ERROR else 1008
    return _TRY_LATER.get(problem.status, default)


def _type(status: int, title: str) -> str:
    if title == _phrase(status):
        return "about:blank"
    return "urn:tapeline:problem:" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _of_http(error: HTTPException) -> Problem:
    phrase = _phrase(error.status_code)
    detail = error.detail if isinstance(error.detail, str) and error.detail != phrase else ""
    return Problem(error.status_code, phrase, detail, error.headers)


def _of_values(error: RequestValidationError | WebSocketRequestValidationError) -> Problem:
    faults = [_fault(each) for each in error.errors()]
    detail = "; ".join(f"{f['field']}: {f['rule']}, was {f['value']!r}" for f in faults)
    return Problem(INVALID, "Invalid request", detail, errors=faults)


def _fault(error: Mapping[str, Any]) -> dict[str, Any]:
    place, *path = [str(part) for part in error.get("loc", ())] or ["request"]
    field = ".".join(path) or place
    value = "***" if any(map(is_secret, path)) else shown(error.get("input"))
    return {"field": field, "in": place, "rule": error["msg"], "value": value}


def _of_breaker(error: CircuitOpen) -> Problem:
    return unavailable(_AWAY, error.retry_after_s)


def _of_absence(_: Exception) -> Problem:
    return unavailable(_AWAY)


def _of_a_bug(_: Exception) -> Problem:
    return Problem(500, _phrase(500), "The request could not be answered; its id is in the logs.")


_AWAY = "A server behind this API cannot answer now; the same request may succeed later."
_PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    HTTPException: _of_http,
    RequestValidationError: _of_values,
    WebSocketRequestValidationError: _of_values,
    CircuitOpen: _of_breaker,
    StoreUnavailable: _of_absence,
    RegistryUnavailable: _of_absence,
    BrokerUnavailable: _of_absence,
    TimeoutError: _of_absence,
}
