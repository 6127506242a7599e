"""What a connection shows of who it is, and how it is told that this will not do."""

from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from app.api.problems import Problem

QUERY = "access_token"
_REALM = 'Bearer realm="tapeline"'


@dataclass(frozen=True, slots=True)
class Shown:
    """A credential, not checked yet.

    Attributes:
        text: The API key or the JWT.
    """

    text: str = field(repr=False)
    is_key: bool


def shown_by(connection: HTTPConnection, *, query_token: bool) -> Shown | None:
    """Return what a connection shows first, or None when it shows nothing.

    Args:
        connection: A request, or a WebSocket that is not accepted yet.
        query_token: Whether an HTTP route takes ``?access_token=``; a WebSocket always does,
            because browsers can give it no header.

    Raises:
        Problem: It shows something that is never taken.
    """
    scheme, _, text = connection.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() != "bearer" or not text.strip():
            raise refused("Authorization must be: Bearer, a space, and an API key or a JWT.")
        return _shown(text.strip())
    if "x-api-key" in connection.headers:
        return Shown(connection.headers["x-api-key"].strip(), is_key=True)
    token = connection.query_params.get(QUERY)
    if token is None:
        return None
    if connection.scope["type"] != "websocket" and not query_token:
        raise refused(
            f"?{QUERY}= is for WebSockets and event streams alone; send Authorization: Bearer."
        )
    return _shown(token)


def refused(detail: str, *, is_wrong: bool = True) -> Problem:
    """Return the problem of a connection that has not shown who it is.

    Args:
        detail: Why; holds nothing of what was shown.
        is_wrong: Whether something was shown (RFC 6750, section 3).
    """
    challenge = f'{_REALM}, error="invalid_token"' if is_wrong else _REALM
    return Problem(401, "Not authenticated", detail, {"WWW-Authenticate": challenge})


def _shown(text: str) -> Shown:
    return Shown(text, is_key=text.startswith("tl_"))
