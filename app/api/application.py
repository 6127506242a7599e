"""The web application: routes, errors, access and what runs beside them, put together."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import Depends, FastAPI, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import asyncapi, graphql, listed, ohlc, pipeline, problems, quotes, ws
from app.api.access.gate import Access
from app.api.access.guard import require
from app.api.access.roles import Role
from app.api.documented import plain_text, refusals
from app.api.freshness import Origin
from app.api.metrics import ApiMetrics
from app.api.services import Services

PAGE = Path(__file__).parent / "page"
DESCRIPTION = """Ticks, bars, quotes and anomalies, as Tapeline has them.

Decimals are strings, times are microseconds since 1970. Every answer says where it comes from and
how old it is; `stale` when the pipeline behind it has fallen behind or is away.
"""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""All that the page needs: nothing inline, nothing from elsewhere."""
SAID_BY_ALL = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

Start = Callable[[AsyncExitStack], Awaitable[None]]
"""Begins what runs beside the routes; the stack ends it."""


def application(services: Services, access: Access, start: Start) -> FastAPI:
    """Return the application.

    Args:
        services: What the routes ask.
        access: Who may ask; started by who serves it, before anybody can.
        start: See `Start`.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(access.close)
            await start(stack)
            yield

    app = FastAPI(
        title="Tapeline",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        # Both bring their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.services = services
    problems.install(app)
    access.install(app)
    app.add_middleware(Timed, metrics=services.metrics)
    origins = services.settings.api_cors_origins
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "Last-Event-ID", "If-None-Match"],
            expose_headers=["ETag", "Retry-After"],
        )
    for router in (quotes.router, ohlc.router, listed.router, pipeline.ops, pipeline.admin):
        app.include_router(router)
    app.include_router(ws.router)
    app.include_router(graphql.router(services.settings))
    app.include_router(asyncapi.router)
    _probes(app, services)
    if PAGE.is_dir():
        # Asked last: a mount would answer for every method that a route does not have.
        app.frontend("/", directory=PAGE, fallback=None)
    return app


def _probes(app: FastAPI, services: Services) -> None:
    text = partial(app.get, tags=["probes"], response_class=PlainTextResponse)

    @text("/livez", responses=plain_text("ok\n"))
    async def livez() -> Response:
        """Answer: the event loop turns."""
        return Response("ok\n", media_type="text/plain")

    not_ready = {**plain_text("not ready, 41.0 s behind\n")[200], "description": "Not yet"}

    @text("/readyz", responses={**plain_text("ready, 0.4 s behind\n"), 503: not_ready})
    async def readyz() -> Response:
        """Answer 200 when the topics are read, 503 before."""
        is_ready = bool(services.hub.positions)
        age = services.age(Origin.TOPICS)
        text = f"{'ready' if is_ready else 'not ready'}, {age.age_s:.1f} s behind\n"
        headers = {} if is_ready else {"Retry-After": "2"}
        return Response(text, 200 if is_ready else 503, headers, media_type="text/plain")

    @text(
        "/metrics",
        dependencies=[Depends(require(Role.OPS))],
        responses={**plain_text('tapeline_api_clients{protocol="sse"} 2.0\n'), **refusals()},
    )
    async def metrics() -> Response:
        """Return what the API measures, for Prometheus."""
        return Response(services.metrics.text(), media_type="text/plain; version=0.0.4")


class Timed:
    """Measures each answer by its route's template, and adds what all of them say."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note the first byte's time: a stream's end says nothing."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.request(route, message["status"], time.monotonic() - began_s)
                message["headers"] = [*message.get("headers", ()), *SAID_BY_ALL]
            await send(message)

        await self._app(scope, receive, noted)
