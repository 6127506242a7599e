"""Names of what the hot store keeps in Redis, and of its announcements.

    tl:bars:BTC-USD@KRAKEN:M1   sorted set   score open_time, member rank .. JSON
    tl:quote:BTC-USD@KRAKEN     hash         a field each, nulls left out, and _rank
    tl:ticks:BTC-USD@KRAKEN     sorted set   score event_time, member offset .. JSON
    tl:whole:bars.v1:0          text         the era in which all of that part was there

and channels tl:bars:BTC-USD@KRAKEN:M1 (a bar), tl:quotes:BTC-USD@KRAKEN (a quote) and
tl:ticks:BTC-USD@KRAKEN (an array of ticks, in one block's order; those of a partly repeated block
come again, known by raw_offset). A message is sent when the write it tells of was applied.

A series of bars is one sorted set, not one beside a hash: a range of bars is one command and one
key, so nothing can be there by half. Scores are doubles, exact for microseconds until 2255.
Decimals are plain strings without trailing zeros, times integer microseconds.
"""

import re
from typing import NamedTuple

_SERIES_NOUNS = ("bars", "quote", "ticks")


class Keys(NamedTuple):
    """The names under one prefix."""

    prefix: str

    def bars(self, symbol: str, venue: str, timeframe: str) -> str:
        """Return the key of a series, also its channel."""
        return f"{self.prefix}:bars:{symbol}@{venue}:{timeframe}"

    def quote(self, symbol: str, venue: str) -> str:
        """Return the key of a quote."""
        return f"{self.prefix}:quote:{symbol}@{venue}"

    def quotes(self, symbol: str, venue: str) -> str:
        """Return the channel of a series' quotes."""
        return f"{self.prefix}:quotes:{symbol}@{venue}"

    def ticks(self, symbol: str, venue: str) -> str:
        """Return the key of a series' ticks, also their channel."""
        return f"{self.prefix}:ticks:{symbol}@{venue}"

    def whole(self, part: str) -> str:
        """Return the key of a part's mark."""
        return f"{self.prefix}:whole:{part}"

    def pattern(self) -> str:
        """Return what all keys match."""
        return re.sub(r"([*?\[\]\\^-])", r"\\\1", self.prefix) + ":*"

    def series(self, key: str) -> tuple[str, str] | None:
        """Return symbol and venue of a key of bars, of a quote or of ticks."""
        noun, _, rest = key.removeprefix(f"{self.prefix}:").partition(":")
        symbol, at, venue = rest.partition("@")
        return (symbol, venue.partition(":")[0]) if at and noun in _SERIES_NOUNS else None
