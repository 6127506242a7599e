"""Whether the API needs no credentials: only while nobody could have any, and only on loopback.

    no key was ever made  and  no key set of JWTs  and  API_HOST is a loopback address

It ends for good when the first key is seen, at most `FRESH_S` after it was made, without a
restart. A store that does not answer is believed as it was last known, for `STALE_S`; before it
ever answered, nothing is open.

An open API is everyone's on this machine, and must not become everyone's on the web: a page in a
browser here, or a proxy, reaches loopback as well. So a request must ask for a loopback host (a
page that rebinds its own name to 127.0.0.1 does not), come from no other page's origin, and carry
no mark of a proxy.
"""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from starlette.requests import HTTPConnection

from app.api.access.ring import FRESH_S, STALE_S, KeyRing
from app.api.access.roles import Principal, Role
from app.api.problems import Problem
from app.errors import ConfigError, StoreUnavailable
from app.setting_values import is_loopback

_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

log = structlog.get_logger()


class Opening:
    """Says whether the API is open now.

    Args:
        host: Where it listens.
        ring: Knows whether there are keys.
        has_tokens: Whether JWTs are configured.
        origins: Those of API_CORS_ORIGINS, whose pages may use it too.
        clock_s: A monotonic clock.
    """

    def __init__(
        self,
        host: str,
        ring: KeyRing,
        *,
        has_tokens: bool,
        origins: tuple[str, ...] = (),
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._ring, self._origins = host, ring, origins
        self._may_open = not has_tokens and is_loopback(host)
        self._has_tokens = has_tokens
        self._clock_s = clock_s
        self._empty_at_s: float | None = None
        self._asked: asyncio.Task[bool] | None = None
        self._was_told = False

    async def start(self) -> None:
        """Say whether it is open.

        Raises:
            ConfigError: Nobody could call it: there is no key, no JWT, and no loopback.
        """
        if self._has_tokens:
            return
        try:
            is_empty = await self._ring.is_empty()
        except StoreUnavailable as error:
            log.warning("keys not read at the start", error=str(error))
            return
        if is_empty and not is_loopback(self._host):
            raise ConfigError(
                "API_HOST must be a loopback address such as 127.0.0.1 while there are no API keys"
                " (`tapeline keys create NAME --role admin` makes one) and API_JWT_JWKS is empty,"
                f" was {self._host!r}"
            )
        if is_empty:
            self._empty_at_s = self._clock_s()
            self._tell()

    async def is_open(self) -> bool:
        """Return whether who shows nothing is let in.

        Raises:
            StoreUnavailable: It may be, and the store has not answered for too long.
        """
        if not self._may_open:
            return False
        if self._empty_at_s is not None and self._clock_s() - self._empty_at_s < FRESH_S:
            return True
        asked_at_s = self._clock_s()
        try:
            is_empty = await self._ask()
        except StoreUnavailable:
            # Another call may have seen the first key meanwhile.
            if not self._may_open:
                return False
            if self._empty_at_s is None or self._clock_s() - self._empty_at_s >= STALE_S:
                raise
            return True
        if not is_empty:
            self.end()
        elif self._may_open:
            self._empty_at_s = asked_at_s
            self._tell()
        return self._may_open

    async def _ask(self) -> bool:
        """Ask once for all who wait."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(self._ring.is_empty())
        return await asyncio.shield(self._asked)

    def end(self) -> None:
        """A key was seen: from now on everyone must show one."""
        if self._may_open:
            self._may_open = False
            if self._was_told:
                log.warning("API no longer open", reason="the first key was made")

    def principal(self, connection: HTTPConnection) -> Principal:
        """Return who calls an open API: everyone on this machine is admin.

        Raises:
            Problem: The call may come from elsewhere, see above.
        """
        headers = connection.headers
        host = _host_of(f"//{headers.get('host', '')}")
        origin = headers.get("origin")
        if not is_loopback(host):
            raise _elsewhere("the host that is asked for must be a loopback one", host)
        if origin and origin.lower() not in self._origins and not is_loopback(_host_of(origin)):
            raise _elsewhere("the page's origin must be on this machine", origin)
        for name in _OF_PROXIES:
            if name in headers:
                raise _elsewhere("a request must not come through a proxy", name)
        return Principal("everyone on this machine", Role.ADMIN, "open", "open")

    def _tell(self) -> None:
        if not self._was_told:
            self._was_told = True
            log.warning(
                "API open",
                host=self._host,
                reason="no API keys and no JWTs: everyone on this machine is admin",
            )


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _elsewhere(rule: str, value: str) -> Problem:
    return Problem(
        403,
        "Open to this machine alone",
        f"While the API needs no key, {rule}, was {value[:200]!r}; make a key with `tapeline keys"
        " create`.",
    )
