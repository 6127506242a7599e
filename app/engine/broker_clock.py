"""What time it is at the broker, by whose clock records are appended and bars closed.

A worker's clock is only where it starts from: it may be minutes off, and jump. Every record that
was appended says how late it is at least, and one of our own to a topic that the broker stamps,
just acknowledged, how late it is: a little less, by the way of the answer, and never more.
"""

import time
from collections.abc import Callable


class BrokerClock:
    """The broker's time, as far as it is known; never by more than it was off at the start.

    Args:
        wall_us: This machine's clock, µs since the epoch; asked once.
        steady_us: A clock that does not jump, µs.
    """

    def __init__(
        self,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        steady_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._steady_us = steady_us
        self._ahead_us = wall_us() - steady_us()

    def now_us(self) -> int:
        """Return the broker's time, µs since the epoch."""
        return self._steady_us() + self._ahead_us

    def at_least(self, appended_us: int) -> None:
        """Note that a record was appended at a time that is over."""
        self._ahead_us = max(self._ahead_us, appended_us - self._steady_us())

    def exactly(self, appended_us: int) -> None:
        """Note that a record was appended just now."""
        self._ahead_us = appended_us - self._steady_us()
