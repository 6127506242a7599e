"""The public keys that sign JWTs: a JSON Web Key Set (RFC 7517) of a URL or a file.

Read at the start, again when a token names a key that is not known, and when what is held is
`FRESH_S` old; never more than once in `PAUSE_S`. While the place does not answer, what was read
before is used.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.errors import ConfigError, StoreUnavailable

PAUSE_S = 30.0
FRESH_S = 600.0
TIMEOUT_S = 2.0
LARGEST = 1_000_000
"""Bytes of a key set that are read."""
SHORTEST_RSA_BITS = 2048
ALGORITHMS = {"RSA": "RS256", "OKP": "EdDSA"}
"""What a key signs with, by its type; keys of other types are left out."""

log = structlog.get_logger()


class KeySet:
    """Finds the key of a key id.

    Args:
        place: A URL, or the path of a file.
        clock_s: A monotonic clock.
        transport: How a URL is reached; None: over the network.
    """

    def __init__(
        self,
        place: str,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._place, self._clock_s, self._transport = place, clock_s, transport
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at_s: float | None = None
        self._fault: str | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the keys; a URL that does not answer is asked again later.

        Raises:
            ConfigError: The file is not there, or holds no key that can be used.
        """
        await self._refresh()
        if self._fault and "://" not in self._place:
            raise ConfigError(f"API_JWT_JWKS must be a JSON Web Key Set: {self._fault}")

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key of an id, or None when the newest set has none.

        Raises:
            StoreUnavailable: It is not known here, and the set could not be read.
        """
        if key_id in self._keys:
            if self._age_s() >= FRESH_S:
                self._begin()  # beside this request, which the old key serves
            return self._keys[key_id]
        if self._age_s() >= PAUSE_S:
            await self._refresh()
        if key_id not in self._keys and self._fault:
            raise StoreUnavailable(f"the keys of JWTs could not be read: {self._fault}")
        return self._keys.get(key_id)

    def _age_s(self) -> float:
        """Return how long ago the set was last asked for."""
        return float("inf") if self._tried_at_s is None else self._clock_s() - self._tried_at_s

    async def _refresh(self) -> None:
        await asyncio.shield(self._begin())

    def _begin(self) -> "asyncio.Task[None]":
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        had_fault = self._fault is not None
        try:
            self._keys = keys_of(json.loads(await self._text()))
            self._fault = None
        except (httpx.HTTPError, OSError, ValueError, RecursionError) as error:
            self._fault = f"{type(error).__name__}: {error}"
        finally:
            self._tried_at_s = self._clock_s()
        if self._fault and not had_fault:
            log.warning("keys of JWTs not read", held=len(self._keys), error=self._fault)
        elif had_fault and not self._fault:
            log.info("keys of JWTs read again", held=len(self._keys))

    async def _text(self) -> bytes:
        if "://" not in self._place:
            return await asyncio.to_thread(Path(self._place).read_bytes)
        async with (
            asyncio.timeout(TIMEOUT_S),
            httpx.AsyncClient(transport=self._transport, timeout=TIMEOUT_S) as client,
            client.stream("GET", self._place) as response,
        ):
            response.raise_for_status()
            text = b""
            async for part in response.aiter_bytes():
                text += part
                if len(text) > LARGEST:
                    raise ValueError(f"a key set must be at most {LARGEST} bytes")
            return text


def keys_of(document: Any) -> dict[str, jwt.PyJWK]:
    """Return the keys of a set that can sign for us, by id.

    Left out are secrets, keys without an id, for other uses or algorithms, and short RSA keys.

    Raises:
        ValueError: It is no key set, or none of its keys can be used.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError(  # noqa: TRY004 - of what was read, not of an argument
            "a key set must have a list called keys"
        )
    found = {}
    for entry in listed:
        key = _usable(entry) if isinstance(entry, Mapping) else None
        if key is not None and key.key_id:
            found[key.key_id] = key
    if not found:
        raise ValueError(
            f"none of its {len(listed)} keys is an RSA key of {SHORTEST_RSA_BITS} bits or an"
            " Ed25519 key, with a kid, for signatures"
        )
    return found


def _usable(entry: Mapping[str, Any]) -> jwt.PyJWK | None:
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    if not isinstance(entry.get("kid"), str) or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < SHORTEST_RSA_BITS:
        return None
    return key
