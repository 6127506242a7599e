"""How long to wait before the next try."""

from random import Random

FIRST_S, LONGEST_S = 0.25, 30.0


class Backoff:
    """Doubles with each failure, with jitter, so that clients do not come back all at once."""

    def __init__(self) -> None:
        self._random = Random()  # noqa: S311 - spreads clients, keeps no secret
        self._failures = 0

    def next_s(self, at_least_s: float | None = None) -> float:
        """Return the next pause: half to all of its bound, and never less than was asked for."""
        bound_s = min(LONGEST_S, FIRST_S * 2.0**self._failures)
        # More would only make the number large.
        self._failures = min(self._failures + 1, 16)
        pause_s = bound_s * self._random.uniform(0.5, 1.0)
        if at_least_s is None:
            return pause_s
        return max(pause_s, at_least_s + FIRST_S * self._random.random())

    def reset(self) -> None:
        """Begin anew: it works."""
        self._failures = 0
