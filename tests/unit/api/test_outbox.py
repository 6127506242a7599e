from collections.abc import Iterable

import pytest

from app.api import outbox
from app.api.outbox import HELD_S, Outbox, Subscription
from app.api.streams import Stream, Token, Update

QUOTES = Stream.parse("quotes:BTC/USD@KRAKEN")
BARS = Stream.parse("bars:BTC/USD@KRAKEN:M1")
TICKS = Stream.parse("ticks:BTC/USD@KRAKEN")


def quote(rank: int, mid: float = 100.0) -> Update:
    return Update(QUOTES.name, 0, Token(0, rank), rank, b"%d" % rank, mid, 0)


def bar(open_us: int, rank: int) -> Update:
    return Update(BARS.name, open_us, Token(0, rank), rank, b"%d" % rank, None, 0)


def tick(offset: int) -> Update:
    return Update(TICKS.name, offset, Token(0, offset), offset, b"%d" % offset, None, 0)


def opened(stream: Stream, throttle: float = 0.0) -> Subscription:
    subscription = Subscription(stream, throttle)
    subscription.open(())
    return subscription


def box(*streams: Stream, rate: float = 100.0, throttle: float = 0.0) -> tuple[Outbox, list[int]]:
    """Return an outbox with open subscriptions, and where each wake leaves a mark."""
    wakes: list[int] = []
    made = Outbox(lambda: wakes.append(1), rate, 0.0)
    for stream in streams:
        made.add(stream, throttle).open(())
    return made, wakes


def bodies(messages: Iterable[outbox.Message]) -> list[bytes]:
    return [bytes(message.data) for message in messages]


def test_of_one_quote_only_the_newest_value_is_sent_and_says_for_how_many_it_stands() -> None:
    made, _ = box(QUOTES)
    for rank in (1, 2, 3):
        made.offer(quote(rank))

    [message] = made.take(0.0)

    assert (message.seq, message.token, message.merged, message.missed) == (1, "0-4", 2, 0)
    assert bytes(message.data) == b"3"


def test_an_older_value_never_replaces_a_newer_one() -> None:
    made, _ = box(QUOTES)
    made.offer(quote(5))
    made.offer(quote(4))

    assert bodies(made.take(0.0)) == [b"5"]


def test_bars_of_two_open_times_are_both_sent() -> None:
    """A final bar is not taken for an older value of the one that opens behind it."""
    made, _ = box(BARS)
    made.offer(bar(60, 1))
    made.offer(bar(120, 2))
    made.offer(bar(60, 3))

    messages = list(made.take(0.0))

    assert bodies(messages) == [b"3", b"2"]
    assert [message.seq for message in messages] == [1, 2]


def test_ticks_wait_in_order_and_those_that_found_no_room_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    made, _ = box(TICKS)
    for offset in range(5):
        made.offer(tick(offset))

    messages = list(made.take(0.0))

    assert bodies(messages) == [b"2", b"3", b"4"]
    assert [message.missed for message in messages] == [2, 0, 0]


def test_no_more_messages_are_sent_than_the_rate_allows() -> None:
    made, _ = box(TICKS, rate=10.0)
    for offset in range(30):
        made.offer(tick(offset))

    assert len(list(made.take(0.0))) == 10
    assert made.due_s(0.0) == pytest.approx(0.1)
    assert len(list(made.take(0.1))) == 1
    assert len(list(made.take(0.55))) == 4
    assert len(list(made.take(100.0))) == 10  # a pause is saved up for one second's worth


def test_a_rate_below_one_a_second_is_a_message_now_and_then() -> None:
    made, _ = box(TICKS, rate=0.5)
    made.offer(tick(1))
    made.offer(tick(2))

    assert bodies(made.take(0.0)) == [b"1"]
    assert bodies(made.take(1.9)) == []
    assert made.due_s(1.9) == pytest.approx(2.0)
    assert bodies(made.take(2.0)) == [b"2"]


def test_streams_take_turns_when_the_rate_is_short() -> None:
    made, _ = box(TICKS, QUOTES, rate=2.0)
    for offset in range(5):
        made.offer(tick(offset))
    made.offer(quote(1))

    assert [message.stream for message in made.take(0.0)] == [TICKS.name, QUOTES.name]


def test_a_quote_that_hardly_moved_is_held_back_until_it_moves_or_a_second_goes_by() -> None:
    made, _ = box(QUOTES, throttle=0.01)
    made.offer(quote(1, 100.0))
    assert bodies(made.take(0.0)) == [b"1"]

    made.offer(quote(2, 100.9))
    assert bodies(made.take(0.1)) == []
    assert made.due_s(0.1) == HELD_S
    made.offer(quote(3, 101.1))
    assert bodies(made.take(0.2)) == [b"3"]

    made.offer(quote(4, 101.1))
    assert bodies(made.take(1.1)) == []
    assert bodies(made.take(1.2)) == [b"4"]


def test_a_held_quote_does_not_hold_up_the_other_streams() -> None:
    made, _ = box(QUOTES, BARS, throttle=0.01)
    made.offer(quote(1, 100.0))
    list(made.take(0.0))
    made.offer(quote(2, 100.0))
    made.offer(bar(60, 1))

    assert [message.stream for message in made.take(0.1)] == [BARS.name]
    assert made.due_s(0.1) == HELD_S


def test_what_comes_before_the_snapshot_is_kept_and_what_it_holds_is_not_sent_again() -> None:
    made, wakes = box()
    subscription = made.add(BARS, 0.0)
    made.offer(bar(60, 1))
    made.offer(bar(120, 2))
    assert list(made.take(0.0)) == []
    assert wakes == []

    subscription.open([bar(60, 1)])
    made.mind(subscription)

    assert wakes
    assert bodies(made.take(0.0)) == [b"2"]


def test_a_value_newer_than_the_snapshot_is_sent() -> None:
    subscription = Subscription(QUOTES, 0.0)
    subscription.offer(quote(7))

    subscription.open([quote(6)])

    assert subscription.waits


def test_the_snapshot_counts_as_sent_for_the_throttle() -> None:
    made, _ = box()
    subscription = made.add(QUOTES, 0.01)
    subscription.open([quote(1, 100.0)], now_s=0.0)
    made.offer(quote(2, 100.5))

    assert bodies(made.take(0.9)) == []
    assert bodies(made.take(1.0)) == [b"2"]


def test_what_was_missed_while_away_comes_before_what_came_since() -> None:
    subscription = Subscription(TICKS, 0.0)
    subscription.offer(tick(9))

    subscription.open((), [tick(7), tick(8)])

    assert [bytes(subscription.take(0.0).data) for _ in range(3)] == [b"7", b"8", b"9"]


def test_a_stream_that_was_dropped_sends_nothing_more() -> None:
    made, _ = box(TICKS)
    made.offer(tick(1))

    assert made.drop(TICKS.name)
    assert not made.drop(TICKS.name)
    assert list(made.take(0.0)) == []
    assert made.names() == []


def test_a_wake_comes_once_for_a_stream_that_waits() -> None:
    made, wakes = box(TICKS)
    for offset in range(5):
        made.offer(tick(offset))

    assert len(wakes) == 1
    assert opened(TICKS).due_s() is None
