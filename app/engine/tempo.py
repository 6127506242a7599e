"""When what changed is published: at once while there is time, seldom under load.

A bar that is told after every block is told a hundred times a second; a reader wants that in a
quiet market, and nobody can afford it with many symbols. So the pause between two emissions
follows what they cost, and how busy the worker is.
"""

SOONEST_S = 0.005
COST_SHARE = 8
"""A pause is so many times as long as the emission before it: a ninth of the time at most."""
BUSY_SHARE = 0.5
"""Of the longest pause, when blocks take all the time."""
MEMORY = 0.3
"""How much the last pause says of how busy the worker is."""


class Tempo:
    """The pauses between emissions.

    Args:
        longest_s: What has changed waits no longer, whatever it costs.
        now_s: A monotonic clock's reading.
    """

    def __init__(self, longest_s: float, now_s: float) -> None:
        self._longest_s = longest_s
        self._emitted_s = self._due_s = now_s
        self._worked_s = 0.0
        self._busy = 0.0

    @property
    def due_s(self) -> float:
        """From when on what changed may be emitted."""
        return self._due_s

    def worked(self, seconds: float) -> None:
        """Note that a block took so long."""
        self._worked_s += seconds

    def emitted(self, began_s: float, now_s: float) -> None:
        """Note that all that had changed was emitted."""
        since_s = max(now_s - self._emitted_s, 1e-6)
        self._busy += MEMORY * (min(1.0, self._worked_s / since_s) - self._busy)
        pause_s = max(
            SOONEST_S, COST_SHARE * (now_s - began_s), BUSY_SHARE * self._busy * self._longest_s
        )
        self._emitted_s, self._worked_s = now_s, 0.0
        self._due_s = now_s + min(self._longest_s, pause_s)
