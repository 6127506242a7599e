"""Lets a connection in, or says why not: the whole of access control behind `require`.

    access = Access.of(settings, keys, audit_log, registry)     keys and log: see connectors
    access.install(app)                     before the application starts
    await access.start()                    ConfigError when nobody may be let in safely
    await access.is_still_good(principal)   for WebSockets that live long
    await access.close()

What is shown is looked for in ``Authorization: Bearer``, then ``X-API-Key``, then, for WebSockets
and where a route says so, ``?access_token=``; the first one counts. The order of refusals: 401 for
what is shown, 429 for too many requests, 403 for the role.

What goes wrong without a key is counted by address, but only where it costs the store a look-up:
otherwise made-up keys could keep Postgres busy.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Self

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from app.api.access.aside import Aside
from app.api.access.audit import AuditLog, Trail
from app.api.access.calls import Calls
from app.api.access.credentials import Shown, refused, shown_by
from app.api.access.jwks import KeySet
from app.api.access.jwt import BadToken, Tokens
from app.api.access.keys import KeyStore, parsed
from app.api.access.limits import Limits
from app.api.access.meter import Meter, Reason
from app.api.access.open import Opening
from app.api.access.ring import KeyRing
from app.api.access.roles import Principal, Role
from app.api.problems import Problem, unavailable
from app.errors import StoreUnavailable
from app.settings import Settings

_WHO = "principal"
_REASONS: dict[int, Reason] = {401: "unauthenticated", 403: "forbidden", 429: "over_limit"}


class Access:
    """See above; made by `of`.

    Args:
        ring: Finds keys.
        tokens: Reads JWTs; None: none are taken.
        limits: Counts requests.
        trail: Writes what admins do.
        opening: Says whether nothing need be shown.
        meter: Counts refusals.
    """

    def __init__(  # noqa: PLR0913 - its parts
        self,
        ring: KeyRing,
        tokens: Tokens | None,
        limits: Limits,
        trail: Trail,
        opening: Opening,
        meter: Meter,
    ) -> None:
        self._ring, self._tokens, self._limits = ring, tokens, limits
        self._trail, self._opening, self._meter = trail, opening, meter
        self._asides: list[Aside] = []

    @classmethod
    def of(  # noqa: PLR0913 - its parts
        cls,
        settings: Settings,
        keys: KeyStore,
        audit_log: AuditLog,
        registry: CollectorRegistry,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        timeout_s: float = 1.0,
    ) -> Self:
        """Return the access control that the settings describe.

        Args:
            settings: Where keys and JWTs come from, and the limits.
            keys: Where keys are kept; its own timeouts should be short, as its threads wait.
            audit_log: Where admin calls are kept.
            registry: Where metrics go.
            clock_s: A monotonic clock.
            timeout_s: Longest wait for `keys`; for `audit_log` twice that.
        """
        meter = Meter(registry)
        # Two, so that a slow audit log does not keep keys from being looked up.
        for_keys = Aside("keys", timeout_s=timeout_s, clock_s=clock_s)
        for_log = Aside("audit log", timeout_s=2 * timeout_s, clock_s=clock_s)
        ring = KeyRing(keys, for_keys, clock_s)
        tokens = None
        if settings.api_jwt_jwks:
            tokens = Tokens(
                KeySet(settings.api_jwt_jwks, clock_s=clock_s),
                audience=settings.api_jwt_audience,
                issuer=settings.api_jwt_issuer,
            )
        limits = Limits(
            settings.redis_url,
            settings.api_rate_per_minute,
            prefix=settings.redis_prefix,
            note=meter.limits_shared,
        )
        opening = Opening(
            settings.api_host,
            ring,
            has_tokens=tokens is not None,
            origins=settings.api_cors_origins,
            clock_s=clock_s,
        )
        access = cls(ring, tokens, limits, Trail(audit_log, for_log, meter), opening, meter)
        access._asides += [for_keys, for_log]
        return access

    def install(self, app: FastAPI) -> None:
        """Make `require` work in the routes of `app`."""
        app.state.access = self
        app.add_middleware(Calls, trail=self._trail)

    async def start(self) -> None:
        """Look once at what is needed.

        Raises:
            ConfigError: It would be open on another address than loopback, or the file of the
                keys of JWTs holds none.
        """
        if self._tokens is not None:
            await self._tokens.start()
        await self._opening.start()

    async def close(self) -> None:
        """Let go of connections and threads."""
        await self._limits.close()
        for aside in self._asides:
            aside.close()

    async def admit(
        self, connection: HTTPConnection, role: Role, *, query_token: bool = False
    ) -> Principal:
        """Return who calls, or raise the `Problem` that refuses the call; see `require`."""
        try:
            return await self._admit(connection, role, query_token=query_token)
        except Problem as problem:
            self._meter.refused(_REASONS.get(problem.status, "unavailable"))
            raise

    async def is_still_good(self, who: Principal) -> bool:
        """Return whether who was let in would be let in now: not expired, revoked or closed.

        For connections that outlive their check; ask every few seconds. While the store is away,
        for longer than it is believed, the answer is yes: what runs is not cut by an outage.
        """
        if who.expires_at is not None and datetime.now(UTC) >= who.expires_at:
            return False
        try:
            if who.kind == "key":
                key = await self._ring.find(who.id)
                return key is not None and key.state(datetime.now(UTC)) == "active"
            return who.kind == "jwt" or await self._opening.is_open()
        except StoreUnavailable:
            return True

    async def _admit(
        self, connection: HTTPConnection, role: Role, *, query_token: bool
    ) -> Principal:
        state = connection.scope.setdefault("state", {})
        who: Principal | None = state.get(_WHO)
        if who is None:
            who = await self._who(connection, query_token=query_token)
            if who.kind != "open":
                await self._spend(f"{who.kind}:{who.id}")
            state[_WHO] = who
        if not who.role.includes(role):
            if role is Role.ADMIN:
                await self._trail.refused(connection, who, 403)
            raise _too_low(who.role, role)
        if role is Role.ADMIN:
            await self._trail.begin(connection, who)
        return who

    async def _who(self, connection: HTTPConnection, *, query_token: bool) -> Principal:
        shown = shown_by(connection, query_token=query_token)
        try:
            if shown is not None:
                return await self._principal(connection, shown)
            if await self._opening.is_open():
                return self._opening.principal(connection)
        except StoreUnavailable as error:
            raise unavailable("Credentials cannot be checked now.") from error
        except BadToken as error:
            raise refused(str(error)) from None
        raise refused("This call needs an API key or a JWT.", is_wrong=False)

    async def _principal(self, connection: HTTPConnection, shown: Shown) -> Principal:
        if shown.is_key:
            return await self._of_key(connection, shown.text)
        if self._tokens is None:
            raise BadToken("This is no API key, and JWTs are not configured.")
        return await self._tokens.principal(shown.text)

    async def _of_key(self, connection: HTTPConnection, text: str) -> Principal:
        parts = parsed(text)
        if parts is None:
            raise BadToken("This is no API key: tl_, an id, and a secret of 43 characters.")
        key_id, secret = parts
        if not self._ring.holds(key_id):
            await self._spend(f"address:{connection.client.host if connection.client else ''}")
        key = await self._ring.find(key_id)
        # The same words for both, so that nobody learns which ids there are.
        if key is None or not key.opens(secret):
            raise BadToken("This API key is not known.")
        self._opening.end()
        state = key.state(datetime.now(UTC))
        if state != "active":
            raise BadToken(f"The API key {key_id} is {state}.")
        return key.principal()

    async def _spend(self, name: str) -> None:
        allowance = await self._limits.spend(name)
        if allowance is None or allowance.is_allowed:
            return
        raise Problem(
            429,
            "Too many requests",
            f"At most {allowance.limit} requests a minute;"
            f" try again in {allowance.retry_after_s} s.",
            {"Retry-After": str(allowance.retry_after_s)},
            limit=allowance.limit,
            remaining=allowance.remaining,
            reset_s=allowance.reset_s,
        )


def _too_low(has: Role, needed: Role) -> Problem:
    return Problem(
        403,
        "Role too low",
        f"This call needs the role {needed.value} or a higher one, was {has.value}.",
        {"WWW-Authenticate": 'Bearer realm="tapeline", error="insufficient_scope"'},
        needed=needed.value,
    )
