"""What `tick.quality` says of an accepted tick: flags, and the repeats refused before it."""

from enum import IntFlag


class Quality(IntFlag):
    """What is odd about an accepted tick."""

    OUT_OF_ORDER = 1
    """Its event time is before the stream time of its (venue, symbol)."""
    CROSSED = 2
    """Its bid is above its ask."""
    PRICE_JUMP = 4
    """Its price is further from the one before than the limit."""
    STALE = 8
    """It is older than the limit: by append time when live, by stream time in a replay."""


REPEATS_SHIFT = 16
"""Above the flags: how many repeats of its series were refused since the tick before it."""

MOST_REPEATS = (1 << 15) - 1
"""Counted with one tick; what is beyond goes with the next."""
