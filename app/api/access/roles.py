"""Roles, and who a request comes from.

    viewer < trader < ops < admin

A role may do what those before it may. What each may reach is said by the routes, with
`app.api.access.guard.require`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from fnmatch import fnmatchcase
from typing import Literal

Kind = Literal["key", "jwt", "open"]


class Role(Enum):
    """A role, by the word that keys and tokens carry."""

    VIEWER = "viewer"
    TRADER = "trader"
    OPS = "ops"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Return whether who has this role may do what `other` may."""
        return _ORDER.index(self) >= _ORDER.index(other)

    @staticmethod
    def highest(words: Iterable[str]) -> "Role | None":
        """Return the highest role that `words` name, in any case; None when they name none."""
        named = {word.strip().lower() for word in words}
        return next((role for role in reversed(_ORDER) if role.value in named), None)


_ORDER = tuple(Role)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from; holds no secret.

    Attributes:
        name: For people: a key's name, a token's subject.
        role: The highest it has.
        kind: What it showed: an API key, a JWT, or nothing while the API is open.
        id: What limits are counted by, one for each `kind`: a key's id, a token's subject.
        expires_at: When what it showed ends, if ever.
        symbols: Patterns of the series it may see, such as ``BTC/*@KRAKEN``; empty: all.
        streams: Patterns of the streams it may follow, such as ``bars``; empty: all.
    """

    name: str
    role: Role
    kind: Kind
    id: str
    expires_at: datetime | None = None
    symbols: tuple[str, ...] = field(default=())
    streams: tuple[str, ...] = field(default=())

    def may_see(self, series: str) -> bool:
        """Return whether it may see a series, named ``SYMBOL@VENUE``."""
        return not self.symbols or any(fnmatchcase(series, each) for each in self.symbols)

    def may_follow(self, noun: str) -> bool:
        """Return whether it may follow streams of a noun: quotes, bars, ticks or anomalies."""
        return not self.streams or any(fnmatchcase(noun, each) for each in self.streams)
