"""Cancels, corrections and the clock on real servers: each bar as if it had always been so."""

from decimal import Decimal
from typing import Any

import pytest

from tests.live.conftest import MakeWorld
from tests.live.feed import START_US, Pair
from tests.live.outside import BarKey, Fields
from tests.live.recompute import MINUTE_US, recompute
from tests.live.world import World, wait_until
from tests.poison import tick, unscaled

pytestmark = pytest.mark.live

HOUR_US = 60 * MINUTE_US
FROM_US = START_US - START_US % (24 * HOUR_US)
EVERY_US = 20_000_000
VALUES = ("open", "high", "low", "close", "volume", "notional", "vwap", "trades")
NULLS = dict.fromkeys(("open", "high", "low", "close", "vwap"))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    world = make_world()
    world.started("all")
    return world


def trade(n: int, **fields: Any) -> Pair:
    """Return the n-th trade of a day: every 20 s, in a wave of prices, the highest at its crest."""
    price = 100 + (n * 7) % 50 + (1_000 if n == CREST else 0)
    whole = {
        "venue": "DAY", "symbol": "A/B", "event_time": FROM_US + n * EVERY_US,
        "ingest_time": FROM_US, "sequence": n, "trade_id": str(n), "source": "test",
        "price": unscaled(price * 10**12), "size": unscaled((1 + n % 3) * 10**12), **fields,
    }  # fmt: skip
    return b"A/B", tick(whole)


def cancel(n: int) -> Pair:
    return trade(n, action="CANCEL", price=None, size=None, event_time=FROM_US + DAY * EVERY_US)


def correct(n: int, price: int) -> Pair:
    return trade(n, action="CORRECT", price=unscaled(price * 10**12))


DAY = 24 * 180
"""Trades of a day: three a minute."""
CREST, OPENING, ONLY = 1_001, 4 * 180, 2_000
ALONE = range(ONLY - 2, ONLY + 4)
"""Of these only one trade is made: it is alone in its minute."""


def publish(world: World, *pairs: list[Pair]) -> None:
    with world.feed() as feed:
        for each in pairs:
            feed.send(each)


def expected(world: World, gone: set[int], prices: dict[int, int]) -> dict[BarKey, Fields]:
    """Recompute every bar from the ticks accepted, without those cancelled."""
    left = []
    for record, fields in world.outside.decoded("ticks.v1"):
        if fields["action"] == "NEW" and int(fields["trade_id"]) not in gone:
            price = prices.get(int(fields["trade_id"]))
            changed = {} if price is None else {"price": Decimal(price)}
            left.append((record, {**fields, **changed}))
    return recompute(left)


def require_equal(world: World, gone: set[int], prices: dict[int, int]) -> None:
    """Every bar of every timeframe, in Kafka, Redis and Postgres."""
    right = expected(world, gone, prices)
    world.settle()
    kafka = {}
    for record, bar in world.outside.decoded("bars.v1"):
        kafka[bar["symbol"], bar["venue"], bar["timeframe"], bar["open_time"]] = bar, record
    newest = {key: bar for key, (bar, _) in kafka.items()}
    for where, bars in (
        ("Kafka", newest),
        ("Postgres", world.outside.postgres_bars()),
        ("Redis", world.outside.redis_bars()),
    ):
        for key, bar in bars.items():
            values = {name: bar[name] for name in VALUES}
            if key not in right:
                nothing = {**NULLS, "volume": 0, "notional": 0, "trades": 0}
                assert values == nothing, f"{where} {key}"
            else:
                assert values == {name: right[key][name] for name in VALUES}, f"{where} {key}"
    assert newest.keys() >= right.keys()


def test_cancels_and_a_correction_an_hour_and_a_day_later(world: World) -> None:
    """Of a bar's high, of its open, of its only trade; a correction a day late.

    Then another group reads the log from its beginning, and tells the same to the last revision.
    """
    trades = [trade(n) for n in range(DAY) if n == ONLY or n not in ALONE]
    later = [trade(n) for n in range(DAY, 2 * DAY + 300)]
    publish(world, trades[: CREST + 180], [cancel(CREST)], trades[CREST + 180 :])
    publish(world, [cancel(OPENING), cancel(ONLY)], later)
    publish(world, [correct(500, 77), cancel(2 * DAY + 300)])
    publish(world, [trade(2 * DAY + 300), trade(2 * DAY + 301)])
    world.settle()

    gone, prices = {CREST, OPENING, ONLY, 2 * DAY + 300}, {500: 77}
    require_equal(world, gone, prices)
    reasons = {bar["reason"] for _, bar in world.outside.decoded("bars.v1") if bar["revision"] > 1}
    assert reasons == {"cancel", "correction"}

    publish(world, [cancel(9)])
    require_equal(world, gone | {9}, prices)
    for worker in world.workers:
        assert worker.terminate() == 0
    told = history(world)
    again = world.start("compute", TAPELINE_GROUP="again", CLOCK_EVERY="1h")
    again.wait_ready()
    wait_until(lambda: world.outside.lag("again-compute", "ticks.v1") == 0, 60, "the log is read")
    wait_until(lambda: len(world.outside.log("bars.v1")) >= 2 * len(told), 20, "all is told again")

    assert again.terminate() == 0
    assert history(world) == told


def history(world: World) -> set[str]:
    """Return every final and revised bar that was ever told, whole."""
    return {str(bar) for _, bar in world.outside.decoded("bars.v1") if bar["revision"]}


def test_the_clock_closes_an_idle_bar_once_and_a_new_group_closes_it_at_the_same_place(
    make_world: MakeWorld,
) -> None:
    """M1 with a second of grace: final though nothing more comes; a late trade then revises it."""
    world = make_world(BARS_GRACE="1s", BARS_TIMEFRAMES="S1,M1", CLOCK_EVERY="1s")
    world.started("compute")
    publish(world, [trade(n, event_time=FROM_US + n * 100_000) for n in range(595)])
    key = ("M1", FROM_US)

    def emissions() -> list[Fields]:
        found = [bar for _, bar in world.outside.decoded("bars.v1")]
        return [b for b in found if (b["timeframe"], b["open_time"]) == key and b["revision"]]

    wait_until(emissions, 20, "the clock closes the minute")
    publish(world, [trade(595, event_time=FROM_US + 30_000_000)])
    wait_until(lambda: len(emissions()) == 2, 20, "a trade after that is late")
    first = emissions()

    assert [(bar["revision"], bar["reason"], bar["trades"]) for bar in first] == [
        (1, "final", 595), (2, "late", 596),
    ]  # fmt: skip
    assert len(world.outside.log("clock.v1")) >= 1
    [worker] = world.workers
    assert worker.terminate() == 0
    again = world.start("compute", TAPELINE_GROUP="again", CLOCK_EVERY="1h")
    again.wait_ready()
    wait_until(lambda: len(emissions()) == 4, 20, "another group builds the same")

    assert emissions()[2:] == first
