import pytest

from app.api import hub
from app.api.hub import Batch, Hub
from app.api.outbox import Outbox
from app.api.streams import Stream, Token, Update
from app.topics import TopicPartition

BARS = Stream.parse("bars:BTC/USD@KRAKEN:M1")
TICKS = Stream.parse("ticks:BTC/USD@KRAKEN")
PLACE = TopicPartition("bars.v1", 1)


def bar(about: int, offset: int, rank: int | None = None) -> Update:
    body = b"%d" % offset
    return Update(BARS.name, about, Token(1, offset), rank or offset, body, None, 0)


def fed(*updates: Update, began: int = 0) -> Hub:
    """Return a hub that began to read at `began` and took these since."""
    made = Hub()
    made.take(Batch((), {PLACE: began}, {}))
    for update in updates:
        made.take(Batch([update], {PLACE: update.token.offset + 1}, {}))
    return made


def since(made: Hub, offset: int) -> list[int] | None:
    found = made.since(BARS, PLACE, offset)
    return None if found is None else [each.token.offset for each in found]


def test_the_newest_bar_is_the_one_that_opened_last_whichever_came_last() -> None:
    newest = fed(bar(60, 1), bar(120, 2), bar(60, 3)).newest(BARS.name)

    assert newest is not None
    assert newest.token.offset == 2


def test_an_older_emission_of_a_bar_replaces_nothing() -> None:
    newest = fed(bar(60, 5, rank=5), bar(60, 6, rank=4)).newest(BARS.name)

    assert newest is not None
    assert newest.rank == 5


def test_what_came_since_a_place_is_each_bar_once_in_the_order_of_the_log() -> None:
    made = fed(bar(60, 1), bar(120, 2), bar(60, 3))

    assert since(made, 0) == [2, 3]
    assert since(made, 2) == [3]
    assert since(made, 3) == []


def test_a_place_before_the_beginning_is_for_the_log() -> None:
    made = fed(bar(60, 12), began=10)

    assert since(made, 8) is None
    assert since(made, 9) == [12]


def test_a_stream_nothing_came_of_since_the_beginning_has_missed_nothing() -> None:
    assert since(fed(began=10), 9) == []
    assert since(fed(began=10), 8) is None


def test_a_place_beyond_the_end_is_of_a_topic_that_was_made_anew() -> None:
    assert since(fed(bar(60, 1)), 1) == []
    assert since(fed(bar(60, 1)), 2) is None
    assert since(fed(), 0) is None


def test_what_was_let_go_is_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "BARS_KEPT", 2)
    made = fed(bar(60, 1), bar(120, 2), bar(180, 3))

    assert since(made, 0) is None
    assert since(made, 1) == [2, 3]


def test_streams_silent_longest_are_let_go_and_not_taken_for_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub, "MOST_KEPT", 1)
    made = fed(bar(60, 1))
    other = Update("bars:ETH/USD@KRAKEN:M1", 60, Token(1, 2), 2, b"", None, 0)
    made.take(Batch([other], {PLACE: 3}, {}))
    assert made.newest(BARS.name) is None
    assert since(made, 0) is None

    made.take(Batch([bar(120, 3)], {PLACE: 4}, {}))

    assert since(made, 0) is None
    assert since(made, 2) == [3]


def test_ticks_are_wanted_as_long_as_somebody_listens() -> None:
    made, boxes = Hub(), [Outbox(lambda: None, 1.0, 0.0) for _ in range(2)]
    for box in boxes:
        made.join(box, TICKS)
    made.join(boxes[0], TICKS)  # twice is once

    made.leave(boxes[0], TICKS.name)
    assert made.wish.symbols == {"BTC/USD"}
    made.leave(boxes[0], TICKS.name)
    assert made.listeners == 1
    made.leave(boxes[1], TICKS.name)

    assert (made.wish.symbols, made.listeners) == (frozenset(), 0)


def test_the_gap_ledger_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "MOST_GAPS", 2)
    made = Hub()

    made.take(Batch((), {}, {b"%d" % n: {"from_id": n} for n in range(4)}))

    assert [gap["from_id"] for gap in made.gaps.values()] == [2, 3]


def test_ticks_are_offered_whole_from_the_batch_that_was_picked_by_the_wish() -> None:
    """A batch on its way was picked before anybody listened, and lacks the symbol."""
    made, box = Hub(), Outbox(lambda: None, 1.0, 0.0)
    box.add(TICKS, 0.0)
    made.join(box, TICKS)
    wish = made.wish.version

    assert not made.offers(TICKS.noun, wish)
    made.take(Batch((), {TopicPartition("ticks.v1", 1): 7}, {}, wish - 1))
    assert not made.offers(TICKS.noun, wish)
    made.take(Batch((), {}, {}, wish))

    assert made.offers(TICKS.noun, wish)
    assert made.offers(BARS.noun, wish + 1)
