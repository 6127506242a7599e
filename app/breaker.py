"""A circuit breaker: a server that fails again and again is left alone for a while.

    closed ──`threshold` failures in a row──► open ──after its pause──► half open: one call tries
      ▲                                        ▲                           │            │
      └──────────── the call succeeds ─────────┼───────────────────────────┘            │
                                               └── it fails: twice the pause, capped ───┘

Not purgatory: that one measures its pause by the wall clock, so a clock set back by ten minutes
keeps it open for ten minutes, and lets every caller in at once when the pause is over.
"""

import time
from collections.abc import Callable
from enum import Enum
from threading import Lock
from types import TracebackType
from typing import Self

THRESHOLD = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0


class State(Enum):
    """What a breaker does with a call; the values are those of the metric."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitOpen(Exception):
    """The call was not made.

    Attributes:
        retry_after_s: How soon one may be.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"left alone for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class Breaker:
    """The breaker of one server; safe to use from several threads.

    Args:
        threshold: Failures in a row that open it.
        first_pause_s: How long it stays open at first.
        longest_pause_s: Cap of the pause, which doubles each time the one call fails.
        clock_s: A monotonic clock.
        note: Told each change of state.
    """

    def __init__(
        self,
        threshold: int = THRESHOLD,
        first_pause_s: float = FIRST_PAUSE_S,
        longest_pause_s: float = LONGEST_PAUSE_S,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        note: Callable[[State], None] = lambda _state: None,
    ) -> None:
        self._threshold = threshold
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s
        self._clock_s = clock_s
        self._note = note
        self._lock = Lock()
        self._state = State.CLOSED
        self._failures = 0
        self._pause_s = first_pause_s
        self._until_s = 0.0
        note(self._state)

    @property
    def state(self) -> State:
        """What it does now."""
        return self._state

    def attempt(self, *failing: type[Exception]) -> "Attempt":
        """Return a context for one call, which fails by raising one of `failing`.

        Any other exception is an answer of the server. Entering it raises `CircuitOpen`.
        """
        return Attempt(self, failing)

    def enter(self) -> None:
        """Ask for a call.

        Raises:
            CircuitOpen: Not now.
        """
        with self._lock:
            if self._state is State.CLOSED:
                return
            left_s = self._until_s - self._clock_s()
            if self._state is State.HALF_OPEN or left_s > 0:
                raise CircuitOpen(max(left_s, self._first_pause_s / 4))
            self._turn(State.HALF_OPEN)

    def succeeded(self) -> None:
        """The server answered."""
        with self._lock:
            self._failures, self._pause_s = 0, self._first_pause_s
            self._turn(State.CLOSED)

    def failed(self) -> None:
        """The server did not answer."""
        with self._lock:
            self._failures += 1
            if self._state is State.HALF_OPEN:
                self._pause_s = min(2 * self._pause_s, self._longest_pause_s)
            elif self._state is State.OPEN or self._failures < self._threshold:
                return  # a call from before it opened says nothing new
            self._until_s = self._clock_s() + self._pause_s
            self._turn(State.OPEN)

    def abandoned(self) -> None:
        """The call was given up before it told anything: the next one may try."""
        with self._lock:
            if self._state is State.HALF_OPEN:
                self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._note(state)


class Attempt:
    """One call through a breaker."""

    def __init__(self, breaker: Breaker, failing: tuple[type[Exception], ...]) -> None:
        self._breaker = breaker
        self._failing = failing

    def __enter__(self) -> Self:
        self._breaker.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None or (issubclass(kind, Exception) and not issubclass(kind, self._failing)):
            self._breaker.succeeded()
        elif issubclass(kind, Exception):
            self._breaker.failed()
        else:
            self._breaker.abandoned()
