"""What every route uses: the services, the series it is about, and the answer's form."""

from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import Depends, Response
from starlette.requests import HTTPConnection

from app.api.access.roles import Principal
from app.api.problems import Problem
from app.api.services import Series, Services


def services_of(connection: HTTPConnection) -> Services:
    """Return what the application was wired to."""
    return cast("Services", connection.app.state.services)


Served = Annotated[Services, Depends(services_of)]


def seen(services: Services, who: Principal, text: str) -> Series:
    """Return the series that a path names, if the principal may see it.

    Raises:
        Problem: 404, 409, or 403 when it may not.
    """
    symbol, venue = services.resolve(text)
    if not who.may_see(f"{symbol}@{venue}"):
        raise Problem(403, "Not allowed", f"{who.name} may not see {symbol}@{venue}")
    return symbol, venue


def respond(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer; caches have to ask again."""
    return Response(
        body,
        headers={"Cache-Control": "no-cache", **(headers or {})},
        media_type="application/json",
    )
