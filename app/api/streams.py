"""Names of streams, and the values that flow in them.

    quotes:BTC/USD@KRAKEN      ticks:BTC/USD@KRAKEN
    bars:BTC/USD@KRAKEN:M1     anomalies:BTC/USD@KRAKEN

A stream's records are in one partition of one topic, so a place in it is a partition and an
offset: the token ``2-1041`` says to go on at offset 1041 of partition 2.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from app import topics
from app.topics import Topic

NAME = re.compile(
    r"(quotes|ticks|anomalies|bars):"
    r"([A-Z0-9._/-]{1,32})@([A-Z0-9_]{1,32})(?::([A-Za-z0-9.]{1,24}))?"
)
RULE = (
    "must be quotes:, ticks: or anomalies:SYMBOL@VENUE, or bars:SYMBOL@VENUE:TIMEFRAME, "
    "such as bars:BTC/USD@KRAKEN:M1"
)
_TOKEN = re.compile(r"(\d{1,6})-(\d{1,19})")


class Noun(Enum):
    """What a stream is of."""

    QUOTES = "quotes"
    TICKS = "ticks"
    ANOMALIES = "anomalies"
    BARS = "bars"

    @property
    def topic(self) -> Topic:
        """The topic whose records it is."""
        return _TOPICS[self]

    @property
    def is_newest_only(self) -> bool:
        """Whether a newer value makes an older one of the same thing worthless."""
        return self in {Noun.QUOTES, Noun.BARS}


_TOPICS = {
    Noun.QUOTES: topics.QUOTES,
    Noun.TICKS: topics.TICKS,
    Noun.ANOMALIES: topics.ANOMALIES,
    Noun.BARS: topics.BARS,
}


class BadName(ValueError):
    """No stream has this name, or no token this form; the message names rule and value."""


class Token(NamedTuple):
    """A place in a topic: the record that was sent last; -1 before the first."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Return the token that `text` is.

        Raises:
            BadName: It is none.
        """
        found = _TOKEN.fullmatch(text)
        if found is None:
            raise BadName(f"a token must be PARTITION-OFFSET, such as 2-1041, was {text!r}")
        return cls(int(found[1]), int(found[2]) - 1)

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset + 1}"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream; `timeframe` is empty but for bars."""

    noun: Noun
    symbol: str
    venue: str
    timeframe: str = ""

    @classmethod
    def parse(cls, name: str) -> "Stream":
        """Return the stream of a name.

        Raises:
            BadName: There is no such stream.
        """
        found = NAME.fullmatch(name)
        if found is None or (found[1] == "bars") != bool(found[4]):
            raise BadName(f"a stream {RULE}; was {name!r}")
        return cls(Noun(found[1]), found[2], found[3], found[4] or "")

    @property
    def series(self) -> str:
        """``SYMBOL@VENUE``."""
        return f"{self.symbol}@{self.venue}"

    @property
    def name(self) -> str:
        """What a client calls it."""
        end = f":{self.timeframe}" if self.timeframe else ""
        return f"{self.noun.value}:{self.series}{end}"


class Update(NamedTuple):
    """One record of a topic, as the streams carry it.

    Attributes:
        stream: The stream's name.
        about: What it is the newest value of; within one stream, for bars, their open time.
        token: Its place.
        rank: Greater is newer, of those about the same.
        body: Its JSON form.
        mid: Of a quote with both sides, their mean; None otherwise.
        append_ms: When Kafka appended it.
    """

    stream: str
    about: int
    token: Token
    rank: Any
    body: bytes
    mid: float | None
    append_ms: int
