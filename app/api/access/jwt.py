"""JWTs (RFC 7519) of an identity provider: who they say calls, if what they say can be believed.

Signed with RS256 or EdDSA by a key of the key set, and with the algorithm of that key, whatever
the token says: ``none`` and shared secrets (HS256) are refused, so a public key can never pass
for one (RFC 8725, 3.1). ``exp`` and ``sub`` must be there; audience and issuer too, when they
are configured. Clocks may differ by `LEEWAY_S`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
import structlog

from app.api.access.jwks import ALGORITHMS, KeySet
from app.api.access.roles import Principal, Role
from app.api.problems import Problem

LEEWAY_S = 30
LONGEST = 8192
"""Characters of a token that is looked at."""
_LAST_S = datetime.max.replace(tzinfo=UTC).timestamp() - 1
LONGEST_SUBJECT = 200
ROLE_CLAIMS = ("role", "roles", "tapeline_role")

log = structlog.get_logger()


class BadToken(Exception):
    """The token proves nothing; the message says why, and holds nothing of it."""


class Tokens:
    """Reads JWTs.

    Args:
        keys: The keys that may have signed them.
        audience: What ``aud`` must hold; empty: not looked at. Likewise `issuer` and ``iss``.
    """

    def __init__(self, keys: KeySet, *, audience: str = "", issuer: str = "") -> None:
        self._keys = keys
        self._audience, self._issuer = audience or None, issuer or None

    async def start(self) -> None:
        """Read the keys; raises `ConfigError` for a file without any."""
        if self._audience is None:
            # Any token of the same issuer would do, also one that was made for another service.
            log.warning("JWTs of any audience taken", setting="API_JWT_AUDIENCE")
        await self._keys.start()

    async def principal(self, token: str) -> Principal:
        """Return who a token is about.

        Raises:
            BadToken: It cannot be believed.
            Problem: It can, and names no role of ours.
            StoreUnavailable: Its key is not known, and the keys cannot be read now.
        """
        try:
            key_id = self._key_id(token)
            key = await self._keys.key(key_id)
            if key is None:
                raise BadToken("The token was signed with a key that is not in the key set.")
            claims = self._claims(token, key)
        except jwt.PyJWTError as error:
            raise BadToken(_reason(error)) from None
        return _principal(claims)

    @staticmethod
    def _key_id(token: str) -> str:
        if len(token) > LONGEST:
            raise BadToken(f"A token must be at most {LONGEST} characters.")
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS.values():
            raise BadToken("A token must be signed with RS256 or EdDSA.")
        key_id = header.get("kid")
        if not isinstance(key_id, str):
            raise BadToken("A token must name its key (kid).")
        return key_id

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm_name],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_S,
            # `aud` and `iss` are required, too, where one is given.
            options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
        )
        return claims


_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidIssuedAtError: "The token's iat is no time, or is yet to come.",
    jwt.InvalidAudienceError: "The token is for another audience.",
    jwt.InvalidIssuerError: "The token is of another issuer.",
    jwt.InvalidAlgorithmError: "The token's algorithm is not that of its key.",
    jwt.InvalidSignatureError: "The token's signature is wrong.",
    jwt.DecodeError: "The token is no JWT.",
}


def _reason(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"The token must have the claim {error.claim}."
    kinds = (kind for kind in type(error).mro() if kind in _REASONS)
    return _REASONS[found] if (found := next(kinds, None)) else "The token is not valid."


def _principal(claims: Mapping[str, Any]) -> Principal:
    words = list(_words(claims))
    role = Role.highest(words)
    if role is None:
        known = ", ".join(each.value for each in Role)
        raise Problem(
            403,
            "No known role",
            f"One of the token's claims {', '.join(ROLE_CLAIMS)} must be one of {known}.",
        )
    subject = str(claims["sub"])
    if not 1 <= len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        # It goes to logs and to the audit log as it is.
        raise BadToken(f"A token's sub must be 1 to {LONGEST_SUBJECT} printable characters.")
    # With the leeway, or a stream that was let in within it would be cut off at once.
    expires_at = datetime.fromtimestamp(min(float(claims["exp"]) + LEEWAY_S, _LAST_S), UTC)
    return Principal(subject, role, "jwt", subject, expires_at)


def _words(claims: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ROLE_CLAIMS:
        value = claims.get(name)
        found += [value] if isinstance(value, str) else []
        found += (
            [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
        )
    return found
