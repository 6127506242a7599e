"""Who asks by GraphQL, and the form of what is found for them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Depends
from starlette.requests import HTTPConnection
from strawberry.fastapi import BaseContext

from app.api.access.gate import Access
from app.api.access.guard import require
from app.api.access.roles import Principal, Role
from app.api.problems import Problem
from app.api.services import Services
from app.api.serving import Found, Served

MOST_BYTES = 65_536
"""Of a request."""
ROWS_AT_ONCE = 10
"""Between which the others have their turn: a row costs a quarter of a millisecond."""


class Caller(BaseContext):
    """The context of every resolver."""

    def __init__(self, connection: HTTPConnection, services: Services, who: Principal) -> None:
        super().__init__()
        self.connection, self.services, self.who = connection, services, who
        self.followed = 0
        """Streams that this connection follows."""

    @property
    def access(self) -> Access:
        """Who decides whether this caller may go on."""
        found: Access = self.connection.app.state.access
        return found

    async def needs(self, role: Role) -> None:
        """Raise the problem of a role that is too low, as a route does."""
        await self.access.admit(self.connection, role)

    def answer(self, found: Found) -> Mapping[str, Any]:
        """Return the object of an answer."""
        age = self.services.age(*found.origins)
        data = found.data
        return {
            "data": _rows(data) if isinstance(data, list) else plain(data),
            "next": found.next_page,
            "source": found.origins[-1].value,
            "age_s": round(age.age_s, 3),
            "stale": age.stale,
        }


async def caller(
    connection: HTTPConnection,
    services: Served,
    who: Annotated[Principal, Depends(require(Role.VIEWER))],
) -> Caller:
    """Return who asks.

    Raises:
        Problem: As of `require`; and the request is too long, or does not say how long it is.
    """
    if connection.scope["type"] == "http" and connection.scope["method"] == "POST":
        length = connection.headers.get("content-length", "")
        if not length.isdigit():
            raise Problem(411, "Length Required", "a request must have a Content-Length")
        if int(length) > MOST_BYTES:
            raise Problem(
                413, "Request too long",
                f"a request must have {MOST_BYTES} bytes at most, had {length}",
            )  # fmt: skip
    return Caller(connection, services, who)


def plain(data: Any) -> Any:
    """Return what JSON has, also where it is still its text."""
    return msgspec.json.decode(data) if isinstance(data, msgspec.Raw) else data


async def _rows(data: Sequence[Any]) -> AsyncIterator[Any]:
    for n, each in enumerate(data):
        if n % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            await asyncio.sleep(0)
        yield plain(each)
