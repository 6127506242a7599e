"""The feed's thread, over a consumer in memory: what it picks, and what it says of it."""

from collections.abc import Callable

import pytest
from confluent_kafka import Message
from confluent_kafka import TopicPartition as Position

from app import topics
from app.api import feed
from app.api.feed import Feed
from app.api.hub import Batch, Wish
from app.api.reading import Reading
from app.api.streams import Noun
from app.topics import TopicPartition
from schemas.json_form import fields
from schemas.record import RecordCodec
from schemas.registry import built_in
from tests.unit.api.api import tick

TICKS = TopicPartition(topics.TICKS.name, 0)


class Log:
    """A consumer of one partition of ticks.v1, whose end a test moves."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.assigned: list[Position] = []
        self.end = 0

    def assign(self, _places: list[Position]) -> None:
        """Nothing but ticks is here."""

    def incremental_assign(self, places: list[Position]) -> None:
        self.assigned += places

    def get_watermark_offsets(self, _place: Position, _timeout: float) -> tuple[int, int]:
        return 0, self.end

    def poll(self, _timeout: float) -> Message | None:
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, _count: int, _timeout: float) -> list[Message]:
        found, self.waiting = self.waiting, []
        return found

    def close(self) -> None:
        """Nothing to close."""

    def append(self, symbol: str) -> None:
        codec = RecordCodec("tick", built_in())
        row = tick(symbol=symbol, offset=self.end)
        value = codec.encode({name: row[name] for name in fields("tick") if name in row})
        self.waiting.append(
            Message(
                topic=TICKS.topic, partition=0, offset=self.end, key=symbol.encode(), value=value,
                timestamp=(2, 0),
            )
        )  # fmt: skip
        self.end += 1


class Turns:
    """Runs the feed's loop for as many turns as there are steps, one after each batch."""

    def __init__(self, log: Log, *steps: Callable[["Turns"], None]) -> None:
        self.log, self.wish = log, Wish(0, frozenset())
        self.batches: list[Batch] = []
        self._steps = list(steps)
        start = {TopicPartition(noun.topic.name, 0): 0 for noun in Noun if noun is not Noun.TICKS}
        self.feed = Feed({}, "", Reading(built_in()), start, lambda: self.wish, self._take)

    def _take(self, batch: Batch, done: Callable[[], None]) -> None:
        self.batches.append(batch)
        done()
        if self._steps:
            self._steps.pop(0)(self)
        else:
            self.feed._ended.set()

    def wants(self, *symbols: str) -> None:
        self.wish = Wish(self.wish.version + 1, frozenset(symbols))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    made = Log()
    monkeypatch.setattr(feed, "Consumer", lambda _settings: made)
    return made


def names(batch: Batch) -> list[str]:
    return [update.stream for update in batch.updates]


def test_ticks_are_read_from_their_end_once_somebody_listens(log: Log) -> None:
    log.end = 5
    turns = Turns(log, lambda turns: turns.wants("BTC/USD"))

    turns.feed._run()

    assert [(place.topic, place.offset) for place in log.assigned] == [(TICKS.topic, 5)]
    assert turns.batches[-1] == Batch((), {TICKS: 5}, {}, 1)


def test_each_batch_says_by_which_wish_its_ticks_were_picked(log: Log) -> None:
    def wanted(turns: Turns) -> None:
        turns.wants("BTC/USD")
        log.append("ETH/USD")
        log.append("BTC/USD")

    def wanted_too(turns: Turns) -> None:
        turns.wants("BTC/USD", "ETH/USD")

    turns = Turns(log, wanted, lambda _: None, wanted_too)

    turns.feed._run()

    start, asked, picked, again = turns.batches
    assert (start.wish, asked.wish, picked.wish, again.wish) == (0, 1, 1, 2)
    assert names(picked) == ["ticks:BTC/USD@KRAKEN"]
    assert picked.positions == {TICKS: 2}
    assert len(log.assigned) == 1
