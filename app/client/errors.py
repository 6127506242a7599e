"""Every error of the client.

ClientError
├── ApiProblem      the API refused: status, title, detail, retry_after_s
├── Stale           it answered, with data older than `max_age_s`
└── Unreachable     nobody answered, or the connection broke
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

_TOO_EARLY = frozenset({408, 425})
_TOO_MANY = 429
_FIRST_SERVER_ERROR = 500


class ClientError(Exception):
    """Root of the tree."""

    retry_after_s: float | None = None
    """How long the API asked to be left alone, if it did."""


class ApiProblem(ClientError):
    """The API refused a call; see RFC 9457.

    Attributes:
        status: HTTP status.
        title: The kind of problem.
        detail: What is wrong here.
        retry_after_s: When to try again, if the API said so.
        members: All members of the problem, such as the `choices` of an ambiguous symbol.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        retry_after_s: float | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}" + (f": {detail}" if detail else ""))
        self.status, self.title, self.detail = status, title, detail
        self.retry_after_s = retry_after_s
        self.members = dict(members or {})

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed later; of too many streams, there are as many then."""
        is_over_rate = self.status == _TOO_MANY and self.retry_after_s is not None
        return is_over_rate or self.status in _TOO_EARLY or self.status >= _FIRST_SERVER_ERROR

    @classmethod
    def of(cls, members: Mapping[str, Any], retry_after_s: float | None = None) -> "ApiProblem":
        """Return the problem that an object of problem+json is."""
        status, title = members.get("status"), members.get("title")
        return cls(
            status if isinstance(status, int) else _FIRST_SERVER_ERROR,
            title if isinstance(title, str) else "Error",
            str(members.get("detail", "")),
            retry_after_s,
            members,
        )


class Stale(ClientError):
    """The answer is older than the client was told to take.

    Attributes:
        age_s: How old it is; newer input may be missing.
    """

    def __init__(self, path: str, age_s: float, max_age_s: float) -> None:
        super().__init__(f"{path} must be {max_age_s:g} s old at most, was {age_s:g} s")
        self.age_s = age_s


class Unreachable(ClientError):
    """Nobody answered, or the connection broke; the same may succeed later."""


def refused(status: int, headers: Mapping[str, str], body: bytes) -> ApiProblem:
    """Return the problem that an answer is, whoever made it: the API, or a proxy before it."""
    wait_s = retry_after_s(headers.get("retry-after"))
    try:
        members = msgspec.json.decode(body)
    except msgspec.DecodeError:
        members = None
    if not isinstance(members, dict):
        members = {"title": _phrase(status)}
    return ApiProblem.of({**members, "status": status}, wait_s)


def retry_after_s(text: str | None) -> float | None:
    """Return the seconds that ``Retry-After`` asks for: a count, or the time until a date."""
    if text is None:
        return None
    try:
        if text.strip().isdigit():
            return float(text)
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
