"""API keys, as they are made, kept and checked.

    tl_k3v9x2ab_<43 characters>      the id, which may be shown, and the secret, which may not

The secret is 256 random bits, and its SHA-256 is what is kept. A password needs a slow, salted
hash because people choose few of them; nobody can try 2^256 secrets, so a fast hash is as safe
here, and it is paid on every request. A key is never shown again after it was made.

A key that is rotated gets a successor with the same name, role and patterns, and goes on for a
grace, so that who uses it can change over without a pause.
"""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, Self

from app.api.access.roles import Principal, Role

Row = Mapping[str, Any]

STREAMS = ("quotes", "bars", "ticks", "anomalies")
"""Nouns that a key's `streams` may match."""
_TEXT = re.compile(r"tl_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_ALPHABET = string.ascii_lowercase + string.digits


class KeyStore(Protocol):
    """Where keys are kept: rows with the fields of `ApiKey`, `role` by its word.

    Every method raises `StoreUnavailable` when the store cannot answer. Safe to call from several
    threads. A key is never deleted: the audit log names it.
    """

    def get(self, key_id: str) -> Row | None:
        """Return the key of an id."""
        ...

    def put(self, row: Row) -> None:
        """Keep a new key; raise `StoreRejected` when its id is taken."""
        ...

    def rotate(self, row: Row, until: datetime) -> bool:
        """Keep a new key and end the one it is `rotated_from` at `until`, or earlier; both or none.

        Returns False, and keeps nothing, when there is no such key, it was revoked, or another
        key took over from it before.
        """
        ...

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key at once and for good; False when there is none. The first time stays."""
        ...

    def list(self) -> list[Row]:
        """Return every key, oldest first."""
        ...

    def is_empty(self) -> bool:
        """Return whether no key was ever made."""
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key, without its secret.

    Attributes:
        id: The eight characters that name it.
        name: Whose it is, for people.
        secret_hash: SHA-256 of the secret.
        symbols: Patterns of the series it may see; empty: all. Likewise `streams`.
        expires_at: Good before this; None: until it is revoked.
        rotated_from: The id of the key it took over from.
    """

    id: str
    name: str
    role: Role
    secret_hash: bytes = field(repr=False)
    created_at: datetime
    symbols: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_from: str | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the key of a store's row."""
        values = {each.name: row[each.name] for each in fields(cls)}
        values["role"] = Role(row["role"])
        values["secret_hash"] = bytes(row["secret_hash"])
        return cls(**values | {name: tuple(row[name]) for name in ("symbols", "streams")})

    def row(self) -> Row:
        """Return the row of a store."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"role": self.role.value}

    def opens(self, secret: str) -> bool:
        """Return whether the secret is this key's; takes the same time for any that is not."""
        return hmac.compare_digest(_hash(secret), self.secret_hash)

    def state(self, now: datetime) -> str:
        """Return ``active``, ``revoked`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"

    def principal(self) -> Principal:
        """Return who shows this key."""
        return Principal(
            self.name, self.role, "key", self.id, self.expires_at, self.symbols, self.streams
        )


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        text: The whole of it, to be shown once.
    """

    key: ApiKey
    text: str = field(repr=False)


def make(key: ApiKey) -> NewKey:
    """Return `key` with an id and a secret of its own."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    secret = secrets.token_urlsafe(32)
    return NewKey(replace(key, id=key_id, secret_hash=_hash(secret)), f"tl_{key_id}_{secret}")


def new(  # noqa: PLR0913 - one for each column
    name: str,
    role: Role,
    now: datetime,
    *,
    lifetime: timedelta | None = None,
    symbols: tuple[str, ...] = (),
    streams: tuple[str, ...] = (),
) -> NewKey:
    """Make a key.

    Raises:
        ValueError: The name or a pattern keeps no rule; the message is the rule and the value.
    """
    if not 1 <= len(name) <= 64 or not name.isprintable() or name != name.strip():  # noqa: PLR2004
        raise ValueError(f"a key's name must be 1 to 64 printable characters, was {name!r}")
    for pattern in symbols:
        if not pattern or not pattern.isprintable() or not set(pattern) & set("@*"):
            raise ValueError(f"a pattern of series must be like BTC/*@KRAKEN, was {pattern!r}")
    for pattern in streams:
        if not any(Principal("", role, "key", "", None, (), (pattern,)).may_follow(s)
                   for s in STREAMS):  # fmt: skip
            raise ValueError(
                f"a pattern of streams must match one of {', '.join(STREAMS)}, was {pattern!r}"
            )
    expires_at = None if lifetime is None else now + lifetime
    return make(ApiKey("", name, role, b"", now, symbols, streams, expires_at))


def successor(key: ApiKey, now: datetime) -> NewKey:
    """Make the key that takes over from `key`; it lives as long as that one was to live."""
    lifetime = None if key.expires_at is None else key.expires_at - key.created_at
    expires_at = None if lifetime is None else now + lifetime
    return make(replace(key, created_at=now, expires_at=expires_at, rotated_from=key.id))


def parsed(text: str) -> tuple[str, str] | None:
    """Return id and secret of a key's text, or None when it cannot be a key."""
    match = _TEXT.fullmatch(text)
    return None if match is None else (match[1], match[2])


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
