"""What the routes are wired to: stores behind their edges, the hub, and how fresh each is."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.api.edge import Edge
from app.api.freshness import Age, Freshness, Origin
from app.api.hub import Hub
from app.api.metrics import ApiMetrics
from app.api.past import Past
from app.api.problems import Problem
from app.api.turns import Turns
from app.domain.ports import HotStore, WarmStore
from app.partitions import partition_of
from app.settings import Settings
from app.topics import Topic, TopicPartition

Series = tuple[str, str]
"""Symbol and venue."""


@dataclass
class Services:
    """Everything a request may ask.

    Attributes:
        settings: As loaded.
        hub: The newest of the streams.
        past: Reads the topics behind a token.
        hot: The newest ticks and bars.
        warm: All of them.
        freshness: How old each is.
        series: Every series that is known, refreshed every few seconds.
        rates: Records a second of every topic.
        turns: Shares the loop between clients' messages and everything else.
    """

    settings: Settings
    hub: Hub
    past: Past
    past_edge: Edge
    hot: HotStore
    hot_edge: Edge
    warm: WarmStore
    warm_edge: Edge
    freshness: Freshness
    metrics: ApiMetrics
    series: frozenset[Series] = frozenset()
    rates: Mapping[str, float] = field(default_factory=dict)
    turns: Turns = field(default_factory=Turns)
    started_s: float = field(default_factory=time.time)

    def place(self, topic: Topic, symbol: str) -> TopicPartition:
        """Return where the records of a symbol are."""
        partition = partition_of(symbol, self.settings.partitions)
        return TopicPartition(self.settings.topic(topic), partition)

    def part(self, topic: Topic, symbol: str) -> str:
        """Return the name under which the hot store's worker marks what it has put there whole."""
        return f"{topic.name}:{self.place(topic, symbol).partition}"

    def resolve(self, text: str) -> Series:
        """Return the series that ``SYMBOL@VENUE``, or a symbol of one venue, names.

        Raises:
            Problem: 404 when nothing has the name, 409 when several venues list it.
        """
        symbol, at, venue = text.partition("@")
        if at:
            return symbol, venue
        venues = sorted(venue for known, venue in self.series if known == symbol)
        if not venues:
            raise unknown(text)
        if len(venues) > 1:
            raise Problem(
                409,
                "Several venues",
                f"{text} is listed at {len(venues)} venues; name one, as in {text}@{venues[0]}",
                choices=[f"{text}@{venue}" for venue in venues],
            )
        return symbol, venues[0]

    def age(self, *origins: Origin) -> Age:
        """Return how old what comes from there is now."""
        return self.freshness.age(time.monotonic(), *origins)


def unknown(name: str, what: str = "symbol") -> Problem:
    """Return the problem of a name that nothing has."""
    return Problem(404, f"Unknown {what}", f"{name} has no record here; see /api/symbols")
