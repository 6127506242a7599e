"""Where the API is, and as whom it is asked: the same for both clients."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from websockets.exceptions import InvalidStatus, WebSocketException

from app.client.effects import Call
from app.client.errors import ClientError, Stale, Unreachable, refused

URL, KEY = "TAPELINE_API_URL", "TAPELINE_API_KEY"
LOCAL = "http://127.0.0.1:8000"
TROUBLE = (OSError, TimeoutError, WebSocketException, httpx.TransportError)
"""What sockets raise."""
MOST_BYTES = 16 << 20
"""Of one message."""
_FIRST_REFUSAL = 400


@dataclass(frozen=True)
class Place:
    """See above; made by `of`.

    Attributes:
        url: Without a slash at its end.
        headers: Of every request.
        max_age_s: Older answers are `Stale`; None takes all.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    max_age_s: float | None

    @classmethod
    def of(cls, url: str | None, key: str | None, max_age_s: float | None) -> "Place":
        """Return the place; None asks the environment."""
        url = (url or os.environ.get(URL) or LOCAL).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"url must be http://HOST or https://HOST, was {url!r}")
        key = key or os.environ.get(KEY)
        headers = {"User-Agent": "tapeline-python", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return cls(url, headers, max_age_s)

    def connection(self, timeout_s: float, verify: ssl.SSLContext | None) -> dict[str, Any]:
        """Return the arguments of `connect`, the same for both kinds of WebSocket."""
        return {
            "uri": "ws" + self.url.removeprefix("http") + "/ws",
            "additional_headers": dict(self.headers),
            "user_agent_header": None,  # it is among those
            "open_timeout": timeout_s,
            "close_timeout": 1.0,
            "max_size": MOST_BYTES,
            "compression": None,
            "ssl": verify,
        }

    def read(self, call: Call, response: httpx.Response) -> Any:
        """Return the object of an answer.

        Raises:
            ApiProblem, Stale: See there.
        """
        if response.status_code >= _FIRST_REFUSAL:
            raise refused(response.status_code, response.headers, response.content)
        answer = msgspec.json.decode(response.content)
        if self.max_age_s is not None and answer["age_s"] > self.max_age_s:
            raise Stale(call.path, answer["age_s"], self.max_age_s)
        return answer

    def trouble(self, error: Exception) -> ClientError:
        """Return what an error of a socket means to the user."""
        if isinstance(error, InvalidStatus):
            response = error.response
            return refused(
                response.status_code, dict(_lower(response.headers)), bytes(response.body)
            )
        return Unreachable(f"{self.url}: {type(error).__name__}: {error}")


def _lower(headers: Any) -> Mapping[str, str]:
    return {name.lower(): value for name, value in headers.raw_items()}
