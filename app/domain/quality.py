"""Quality flags of a tick: a bit set in `tick.quality`. A flagged tick is accepted."""

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
