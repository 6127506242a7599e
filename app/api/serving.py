"""What every route uses: the services, the series it is about, and the answer's form."""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, cast

import msgspec
from fastapi import Depends, Response
from starlette.requests import HTTPConnection

from app.api.access.roles import Principal
from app.api.freshness import Origin
from app.api.problems import Problem
from app.api.services import Series, Services

_json = msgspec.json.Encoder()


def services_of(connection: HTTPConnection) -> Services:
    """Return what the application was wired to."""
    return cast("Services", connection.app.state.services)


Served = Annotated[Services, Depends(services_of)]


class Found(NamedTuple):
    """What a request found, before it has an envelope: REST and GraphQL answer with the same.

    Attributes:
        data: As JSON has them; `msgspec.Raw` where they are JSON already.
        origins: Where they are from; the last one is named, the oldest one counts.
        next_page: Leads to the page before this one, if there is one.
    """

    data: Any
    origins: tuple[Origin, ...]
    next_page: str | None = None

    def body(self, services: Services) -> bytes:
        """Return the whole answer."""
        age, source = services.age(*self.origins), self.origins[-1].value
        return _json.encode(
            _Answer(self.data, source, round(age.age_s, 3), age.stale, self.next_page)
        )


class _Answer(msgspec.Struct, omit_defaults=True):
    """The envelope: data, where they are from, and how old they are."""

    data: Any
    source: str
    age_s: float
    stale: bool
    next: str | None = None


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
