"""The right to write as the owner of partitions, which ends before another can own them.

A group's coordinator gives partitions to others when it has heard nothing for `SESSION_S`. So a
member that was stopped or cut off counts from when it sent the last heartbeat that was answered:

    0 s   heartbeat sent
    2.5   `RENEW_WITHIN_S`: nothing new is begun until another is answered
    4     `HOLD_S`: what is under way may publish no more; the process ends
    9     `DELIVER_WITHIN_S` later: the broker refuses what has not come to it by then
    10    `SESSION_S`: the partitions may be another's

The second between is for clocks: a worker knows the broker's within much less of it. A process
ends with nothing acked; whoever goes on replays.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from app.errors import LeaseLost
from app.topics import FENCE_MS

SESSION_S: Final = 10.0
HEARTBEAT_S: Final = 1.0
RENEW_WITHIN_S: Final = 2.5
HOLD_S: Final = 4.0
DELIVER_WITHIN_S: Final = FENCE_MS / 1000
_LOOK_EVERY_S = 0.02


class Lease:
    """How long ago the group was last known to count us in.

    Args:
        clock_s: A monotonic clock that goes on while the process is stopped.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._renewed_s = -SESSION_S

    @property
    def age_s(self) -> float:
        """Seconds since the last answered heartbeat was sent."""
        return self._clock_s() - self._renewed_s

    def now_s(self) -> float:
        """Return the clock's time, to be kept until a heartbeat is answered."""
        return self._clock_s()

    def renew(self, sent_s: float) -> None:
        """Note that what was sent to the group at a time was answered."""
        self._renewed_s = max(self._renewed_s, sent_s)

    def require(self) -> None:
        """Refuse to publish as an owner that may be none.

        Raises:
            LeaseLost: No heartbeat sent within `HOLD_S` was answered.
        """
        age_s = self.age_s
        if age_s > HOLD_S:
            raise LeaseLost(f"no heartbeat of the last {HOLD_S:g} s was answered: {age_s:.1f} s")

    async def fresh(self) -> None:
        """Wait until enough of it is left to begin something.

        Raises:
            LeaseLost: It was not renewed before the session's end.
        """
        while self.age_s > RENEW_WITHIN_S:
            if self.age_s > SESSION_S:
                raise LeaseLost(f"the group has not answered for {SESSION_S:g} s")
            await asyncio.sleep(_LOOK_EVERY_S)
