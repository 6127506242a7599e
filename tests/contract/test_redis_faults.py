"""What the hot store on Redis promises beyond its port: announcements, and trouble."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
import redis

from app.domain.ports import Held, HotStore
from app.errors import StoreRejected, StoreUnavailable
from connectors import hot_questions
from connectors.hot_questions import Question
from connectors.hot_redis import RedisHotStore
from tests.contract.conftest import PrivateRedis
from tests.contract.records import at, bar, quote, ticks

pytestmark = pytest.mark.live
SERIES = ("BTC-USD", "KRAKEN", "M1")
HELD: dict[str, Callable[[HotStore], Held[Any]]] = {
    "bars": lambda store: store.bar_texts("bars.v1:0", *SERIES, 10),
    "ticks": lambda store: store.tick_texts("ticks.v1:0", "BTC-USD", "KRAKEN", 10),
    "quote": lambda store: store.held_quote("quotes.v1:0", "BTC-USD", "KRAKEN"),
}
"""What readers ask together with whether it is whole."""


@pytest.fixture
def private(private_redis: PrivateRedis) -> Iterator[RedisHotStore]:
    with closing(RedisHotStore(private_redis.url, timeout_s=0.3)) as store:
        yield store


def heard(listener: redis.client.PubSub) -> list[object]:
    """Return the messages so far, decoded."""
    messages = iter(lambda: listener.get_message(timeout=0.2), None)
    return [json.loads(m["data"]) for m in messages if m["type"] == "pmessage"]


@pytest.fixture
def listener(redis_url: str, redis_store: RedisHotStore) -> Iterator[redis.client.PubSub]:
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as listener:
        listener.psubscribe(f"{redis_store.prefix}:*")
        assert listener.get_message(timeout=5)
        yield listener


def test_a_bar_is_announced_when_it_was_applied(
    redis_store: RedisHotStore, listener: redis.client.PubSub
) -> None:
    redis_store.put_bars([bar(revision=1)])
    redis_store.put_bars([bar(revision=0)])

    (message,) = heard(listener)

    assert isinstance(message, dict)
    assert message["open_time"] == 1_763_632_800_000_000
    assert (message["low"], message["open"], message["revision"]) == ("99.000000000001", "100", 1)


def test_a_quote_is_announced_when_it_was_applied(
    redis_store: RedisHotStore, listener: redis.client.PubSub
) -> None:
    redis_store.put_quotes([quote()])
    redis_store.put_quotes([quote(event_time=at("09:00"))])

    (message,) = heard(listener)

    assert isinstance(message, dict)
    assert (message["bid"], message["ask_size"]) == ("99.5", None)


def test_ticks_are_announced_unless_they_are_repeated_or_too_old_to_stay(
    redis_store: RedisHotStore, listener: redis.client.PubSub
) -> None:
    live = ticks({"offset": 1, "price": Decimal("1.50")}, {"offset": 2})
    redis_store.put_ticks(live, keep=2)
    redis_store.put_ticks(live, keep=2)
    redis_store.put_ticks(ticks({"event_time": at("09:00"), "offset": 9}), keep=2)

    (message,) = heard(listener)

    assert isinstance(message, list)
    assert [tick["price"] for tick in message] == ["1.5", "100"]


def test_what_stands_in_redis_is_as_documented(redis_url: str, redis_store: RedisHotStore) -> None:
    redis_store.put_quotes([quote(bid=Decimal("1E+3"), ask=Decimal("0E-12"))])
    redis_store.put_bars([bar(open=Decimal("100.500"))])

    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        held = client.hgetall(f"{redis_store.prefix}:quote:BTC-USD@KRAKEN")
        ((member, score),) = client.zrange(
            f"{redis_store.prefix}:bars:BTC-USD@KRAKEN:M1", 0, -1, withscores=True
        )

    assert (held["bid"], held["ask"], held["crossed"]) == ("1000", "0", "false")
    assert "ask_size" not in held
    assert held["event_time"] == "1763632800000000"
    assert (score, json.loads(member[40:])["open"]) == (1_763_632_800_000_000, "100.5")


def test_a_prefix_means_itself_whatever_letters_it_has(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private.put_ticks(ticks({}))
    private.mark_whole("ticks.v1:0", private.era())
    with (
        closing(RedisHotStore(private_redis.url, prefix="t?[a-l]*")) as odd,
        closing(RedisHotStore(private_redis.url, prefix="t[l]")) as other,
    ):
        odd.put_quotes([quote(symbol="ETH/USD")])
        listed = [each.series() for each in (private, odd, other)]

    assert listed == [{("BTC-USD", "KRAKEN")}, {("ETH/USD", "KRAKEN")}, set()]


def test_scripts_that_the_server_lost_are_loaded_again(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private.put_bars([bar()])
    private_redis.ask("SCRIPT", "FLUSH")

    assert private.put_bars([bar(revision=1)]) == 1


def test_a_server_that_went_away_is_unavailable_and_used_again_when_back(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private.put_bars([bar()])
    private_redis.kill()

    with pytest.raises(StoreUnavailable, match="Redis"):
        private.put_bars([bar(revision=1)])
    with pytest.raises(StoreUnavailable):
        private.ping()

    private_redis.start()
    assert private.put_bars([bar(revision=1)]) == 1
    assert private.ping().startswith("Redis ")


def test_a_server_that_does_not_answer_is_unavailable_in_time(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private.put_bars([bar()])
    private_redis.ask("CLIENT", "PAUSE", "60000")
    started = time.monotonic()

    with pytest.raises(StoreUnavailable):
        private.latest_bar(*SERIES)
    assert time.monotonic() - started < 5


@pytest.fixture
def busy(private_redis: PrivateRedis, private: RedisHotStore) -> Iterator[RedisHotStore]:
    """Return a store whose server runs a script, for as long as the test lasts."""
    private.ping()
    private_redis.ask("CONFIG", "SET", "busy-reply-threshold", "10")
    runner = redis.Connection("127.0.0.1", private_redis.port)
    runner.send_command("EVAL", "while true do end", "0")
    with pytest.raises(redis.ResponseError, match="BUSY"):
        private_redis.ask("PING")
    yield private
    runner.disconnect()


@pytest.mark.parametrize("noun", HELD)
def test_a_server_that_runs_a_script_is_unavailable_to_readers(
    busy: RedisHotStore, noun: str
) -> None:
    """The client puts the number and the text of the command before what the server said."""
    with pytest.raises(StoreUnavailable, match=r"^Redis: BUSY Redis is busy") as caught:
        HELD[noun](busy)
    assert "BTC-USD" not in str(caught.value)


def test_out_of_memory_is_unavailable_and_leaves_the_old_value_whole(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private.put_quotes([quote()])
    private.put_bars([bar()])
    private_redis.ask("CONFIG", "SET", "maxmemory", "1mb")

    with pytest.raises(StoreUnavailable, match="maxmemory"):
        private.put_quotes([quote(event_time=at("11:00"))])
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        private.put_bars([bar(revision=1)])
    assert private.latest_quote("BTC-USD", "KRAKEN") == quote()
    assert private.latest_bar(*SERIES)

    private_redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert private.put_quotes([quote(event_time=at("11:00"))]) == 1


@pytest.mark.parametrize("noun", HELD)
def test_out_of_memory_readers_are_answered_and_know_whether_it_is_whole(
    private_redis: PrivateRedis, private: RedisHotStore, noun: str
) -> None:
    """Redis refuses each command of a transaction then, and none that only reads outside one."""
    private.put_quotes([quote()])
    private.put_bars([bar()])
    private.put_ticks(ticks({}))
    unmarked = HELD[noun](private)
    for topic in ("bars.v1:0", "ticks.v1:0", "quotes.v1:0"):
        private.mark_whole(topic, private.era())
    marked = HELD[noun](private)
    private_redis.ask("CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(StoreUnavailable, match="maxmemory"):
        private.put_bars([bar(revision=1)])
    assert HELD[noun](private) == marked
    assert marked.value
    assert (unmarked.is_whole, marked.is_whole, unmarked.value) == (False, True, marked.value)


MEANWHILE: dict[str, Callable[[redis.Redis, str], object]] = {
    "nothing": lambda server, _: server.ping(),
    "emptied": lambda server, _: server.flushall(),
    "filled": lambda server, era: server.set("mark", era),
    "evicting": lambda server, _: server.config_set("maxmemory", "2mb"),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_what_is_held_is_whole_only_if_it_was_before_and_behind_the_answer(
    private_redis: PrivateRedis, private: RedisHotStore, what: str
) -> None:
    era = private.era()
    private_redis.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    for n in range(20):
        private_redis.ask("SET", f"filler {n}", "x" * 200_000, "EX", "600")
    if what != "filled":
        private_redis.ask("SET", "mark", era)
    question = Question(lambda server: MEANWHILE[what](server, era), lambda answer: answer)

    with redis.Redis.from_url(private_redis.url, decode_responses=True) as server:
        held = hot_questions.held(server, "mark", question)

        assert held == (True, what == "nothing")
        assert (server.exists("mark") == 0) == (what == "emptied")
    assert (private.era() == era) == (what != "evicting")


def test_a_key_of_another_type_is_rejected_by_name(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private_redis.ask("SET", "tl:bars:BTC-USD@KRAKEN:M1", "something else")

    with pytest.raises(StoreRejected, match=r"tl:bars:BTC-USD@KRAKEN:M1.*WRONGTYPE"):
        private.put_bars([bar()])


def test_a_read_only_replica_is_unavailable(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    private_redis.ask("REPLICAOF", "127.0.0.1", "1")

    with pytest.raises(StoreUnavailable):
        private.put_bars([bar()])


def test_what_can_be_mended_from_outside_is_unavailable(
    private_redis: PrivateRedis, private: RedisHotStore
) -> None:
    """NOREPLICAS is no error class of the client's; its code has to be read."""
    private_redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")

    with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
        private.put_bars([bar()])


def test_a_restart_begins_a_new_era(private_redis: PrivateRedis, private: RedisHotStore) -> None:
    """Its disk may hold what it was told a minute ago, the mark among it."""
    era = private.era()
    private.mark_whole("bars.v1:0", era)
    private_redis.kill()
    private_redis.start()
    private.mark_whole("bars.v1:0", era)

    assert not private.is_whole("bars.v1:0")


def test_an_eviction_begins_a_new_era(private_redis: PrivateRedis, private: RedisHotStore) -> None:
    era = private.era()
    private_redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    private_redis.ask("CONFIG", "SET", "maxmemory", "2mb")
    for n in range(20):
        private_redis.ask("SET", f"filler {n}", "x" * 200_000)
    private_redis.ask("CONFIG", "SET", "maxmemory", "0")
    private.mark_whole("bars.v1:0", era)

    assert not private.is_whole("bars.v1:0")


def test_no_password_stands_in_an_error(private_redis: PrivateRedis) -> None:
    private_redis.ask("CONFIG", "SET", "requirepass", "right")
    url = private_redis.url.replace("//", "//:s3cret@")

    with closing(RedisHotStore(url)) as store, pytest.raises(StoreUnavailable) as caught:
        store.ping()
    assert "s3cret" not in str(caught.value)
