"""What the client wants done, as values: the logic yields them, and its twins do them.

    steps: Steps[T] = a generator that yields effects, is sent what came of them, and returns a T

A generator never waits and never touches a socket, so that one serves the sync and the async
client; each of these runs it (`app.client.sync`, `app.client.aio`).
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """Ask for a path; comes back as the whole answer's object."""

    path: str
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Open:
    """Connect the WebSocket."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a frame."""

    frame: str


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for a frame; comes back as it is. None within that time is `Unreachable`."""

    within_s: float


@dataclass(frozen=True, slots=True)
class Close:
    """Let go of the WebSocket, if there is one."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a value to whom iterates."""

    value: Any


Effect = Call | Open | Send | Receive | Close | Pause | Emit
Steps = Generator[Effect, Any, T]
Asking = Generator[Call, Any, T]
"""Steps that only call."""
