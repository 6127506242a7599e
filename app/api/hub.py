"""The newest value of every stream, and who listens to it. Lives in the event loop.

Shape: the feed hands over what the topics brought; it is kept where it is newer, and offered to
the outboxes that subscribed. Nothing here outlives a restart: the feed begins where the hot
store's worker has committed, so the store and what is kept here together are whole.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from app.api.outbox import Outbox
from app.api.streams import Noun, Stream, Update
from app.topics import TopicPartition

MOST_KEPT = 100_000
"""Streams whose newest values are kept, 1 to 3 KB each; beyond that those that were silent longest
are asked of the store."""
BARS_KEPT = 3
"""Of a stream: the newest, and those that are revised soon after they closed."""
ANOMALIES_KEPT = 1_000
MOST_GAPS = 100_000


class Wish(NamedTuple):
    """Symbols whose ticks somebody listens to; each change is a new version."""

    version: int
    symbols: frozenset[str]


class Batch(NamedTuple):
    """What one look at the topics brought.

    Attributes:
        updates: In the order of their logs.
        positions: The next offset of each partition that was read.
        gaps: Newest records of the gap ledger, by key.
        wish: Version of the wish by which ticks were picked, in this batch and those behind it.
    """

    updates: Sequence[Update]
    positions: dict[TopicPartition, int]
    gaps: dict[bytes, dict[str, Any]]
    wish: int = 0


class _Kept:
    """The newest values of one stream.

    Attributes:
        values: By what they are about.
        whole_from: Of the records at this offset and beyond nothing is missing here.
    """

    __slots__ = ("values", "whole_from")

    def __init__(self, whole_from: int) -> None:
        self.values: dict[int, Update] = {}
        self.whole_from = whole_from

    def put(self, update: Update) -> None:
        known = self.values.get(update.about)
        if known is not None and update.rank < known.rank:
            return
        self.values[update.about] = update
        if len(self.values) > BARS_KEPT:
            oldest = self.values.pop(min(self.values))
            self.whole_from = max(self.whole_from, oldest.token.offset + 1)


class Hub:
    """Who listens to what, and what is newest."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._has_forgotten = False
        self._listeners: dict[str, dict[Outbox, None]] = {}
        self._ticks_of = Counter[str]()
        self.wish = Wish(0, frozenset())
        """Read by the feed's thread."""
        self._granted = 0
        self._began: dict[TopicPartition, int] = {}
        self.positions: dict[TopicPartition, int] = {}
        """The next offset of each partition: what is before it was offered."""
        self.gaps: dict[bytes, dict[str, Any]] = {}
        self.anomalies: deque[Update] = deque(maxlen=ANOMALIES_KEPT)

    def take(self, batch: Batch) -> None:
        """Keep and pass on what came."""
        for update in batch.updates:
            self._keep(update)
            for outbox in self._listeners.get(update.stream, ()):
                outbox.offer(update)
        self._granted = max(self._granted, batch.wish)
        for at, position in batch.positions.items():
            self._began.setdefault(at, position)
            self.positions[at] = position
        self.gaps.update(batch.gaps)
        while len(self.gaps) > MOST_GAPS:
            del self.gaps[next(iter(self.gaps))]

    def _keep(self, update: Update) -> None:
        if update.stream.startswith("ticks:"):
            return
        if update.stream.startswith("anomalies:"):
            self.anomalies.append(update)
            return
        # Taken out and put back: the first one is the one that was silent longest.
        kept = self._kept.pop(update.stream, None)
        if kept is None:
            kept = _Kept(update.token.offset if self._has_forgotten else 0)
        kept.put(update)
        self._kept[update.stream] = kept
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
            self._has_forgotten = True

    def newest(self, name: str) -> Update | None:
        """Return the newest quote, or the newest bar by open time, of a stream, if kept."""
        kept = self._kept.get(name)
        return None if kept is None else kept.values[max(kept.values)]

    def since(self, stream: Stream, place: TopicPartition, offset: int) -> list[Update] | None:
        """Return the newest values of a stream's records beyond an offset, in their order.

        Args:
            stream: Of quotes or bars.
            place: Its partition, by the topic's name on the broker.
            offset: The last one that the client has seen.

        Returns:
            None when some may be missing here: then the log has to be read.
        """
        kept = self._kept.get(stream.name)
        began = self._began.get(place)
        if began is None or not began <= offset + 1 <= self.positions[place]:
            return None  # of before the beginning, or of a topic that was made anew
        if kept is None:
            return None if self._has_forgotten else []
        if offset + 1 < kept.whole_from:
            return None
        return sorted(
            (each for each in kept.values.values() if each.token.offset > offset),
            key=lambda each: each.token.offset,
        )

    def streams(self) -> list[str]:
        """Return the names of all streams whose newest values are kept."""
        return list(self._kept)

    def join(self, outbox: Outbox, stream: Stream) -> None:
        """Offer a stream's updates to an outbox from now on."""
        if outbox in self._listeners.setdefault(stream.name, {}):
            return
        self._listeners[stream.name][outbox] = None
        if stream.noun is Noun.TICKS:
            self._count_ticks(stream.symbol, 1)

    def leave(self, outbox: Outbox, name: str) -> None:
        """Offer no more."""
        listeners = self._listeners.get(name, {})
        if outbox not in listeners:
            return
        del listeners[outbox]
        if not listeners:
            del self._listeners[name]
        stream = Stream.parse(name)
        if stream.noun is Noun.TICKS:
            self._count_ticks(stream.symbol, -1)

    def _count_ticks(self, symbol: str, more: int) -> None:
        self._ticks_of[symbol] += more
        self._ticks_of += Counter()  # without those that nobody listens to
        self.wish = Wish(self.wish.version + 1, frozenset(self._ticks_of))

    def offers(self, noun: Noun, wish: int) -> bool:
        """Return whether all that comes from now on is offered: ticks, as wished by a version."""
        return noun is not Noun.TICKS or self._granted >= wish

    @property
    def listeners(self) -> int:
        """How many subscriptions there are."""
        return sum(len(each) for each in self._listeners.values())
