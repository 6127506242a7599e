"""Turns for what many clients want done at once, so that the loop has time for others between.

A quote that a thousand clients follow is a thousand writes. In one go they would keep every
request, and the heartbeats, waiting; here they are done a few milliseconds at a time.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

TURN_S = 0.004
"""How long one turn takes, and one callback beyond it."""


class Turns:
    """A queue of callbacks, in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_due = False

    def add(self, callback: Callable[[], None]) -> None:
        """Have something done soon, from within the loop."""
        self._waiting.append(callback)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        until_s = time.monotonic() + TURN_S
        try:
            while self._waiting and time.monotonic() < until_s:
                self._waiting.popleft()()
        finally:  # one that fails takes nobody else's turn
            self._is_due = bool(self._waiting)
            if self._is_due:
                asyncio.get_running_loop().call_soon(self._take)
