"""What a route asks of who calls it.

    @router.get("/api/quotes/latest/{symbol:path}")
    async def latest(who: Annotated[Principal, Depends(require(Role.VIEWER))], ...): ...

    router = APIRouter(dependencies=[Depends(require(Role.OPS))])

The same for WebSockets: before one is accepted, a refusal answers the handshake. The application
needs `app.state.access` (see `app.api.access.gate`) and `app.api.problems.install`.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Annotated, Protocol

from fastapi import Security
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from app.api.access.roles import Principal, Role


class Admits(Protocol):
    """What `app.state.access` does."""

    async def admit(
        self, connection: HTTPConnection, role: Role, *, query_token: bool = False
    ) -> Principal:
        """Return who calls, or raise the `Problem` that refuses the call."""
        ...


class _Scheme(SecurityBase):
    """A way to show who one is, for the OpenAPI document alone; `Admits` reads the headers."""

    def __init__(self, model: HTTPBearer | APIKey, name: str) -> None:
        self.model = model
        self.scheme_name = name

    async def __call__(self, _connection: HTTPConnection) -> None:
        """Let everyone by."""


BEARER = _Scheme(
    HTTPBearer(description="An API key (`tl_...`) or a JWT (RS256 or EdDSA)."), "bearer"
)
API_KEY = _Scheme(APIKey.model_validate({"in": APIKeyIn.header, "name": "X-API-Key"}), "apiKey")


@cache
def require(role: Role, *, query_token: bool = False) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that gives the principal, who has `role` or a higher one.

    A call that needs `Role.ADMIN` is written to the audit log first. A request that passes
    several of these is counted once.

    Args:
        role: The lowest that may call.
        query_token: Take ``?access_token=`` as well, for browsers' EventSource; WebSockets always
            may.

    The dependency raises `Problem`: 401 with WWW-Authenticate, 403, 429 with Retry-After, 503.
    """

    async def admitted(
        connection: HTTPConnection,
        _bearer: Annotated[None, Security(BEARER)],
        _key: Annotated[None, Security(API_KEY)],
    ) -> Principal:
        access: Admits = connection.app.state.access
        return await access.admit(connection, role, query_token=query_token)

    return admitted
