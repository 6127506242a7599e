"""A steady rate, kept over the whole run: a delay is caught up."""

import time
from collections.abc import Callable


class Pace:
    """Says how many ticks may have gone by now.

    Args:
        rate: Ticks a second; 0 is no limit. An attribute, too.
        now_s: A monotonic clock.
        wait_s: Waits for so many seconds.
    """

    def __init__(
        self,
        rate: float,
        now_s: Callable[[], float] = time.monotonic,
        wait_s: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate, self._now_s, self._wait_s = rate, now_s, wait_s
        self._began_s = now_s()

    def wait(self, ticks: int) -> None:
        """Wait until `ticks` in all may have gone."""
        if self.rate > 0:
            early_s = self._began_s + ticks / self.rate - self._now_s()
            if early_s > 0:
                self._wait_s(early_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self._now_s() - self._began_s
