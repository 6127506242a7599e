import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import pytest

from app.api import background
from app.api.background import Background
from app.api.freshness import Place
from app.api.streams import Noun
from app.errors import BrokerUnavailable
from tests.unit.api.api import Api, bar, quote


class Broker:
    """Takes 10 records of ticks.v1 between two looks; may be away."""

    def __init__(self) -> None:
        self.records = count(0, 10)
        self.is_away = False

    def look(self) -> tuple[Sequence[Place], Mapping[str, int]]:
        if self.is_away:
            raise BrokerUnavailable("gone")
        return [Place("compute", "ticks.v1", 0, 5, 5)], {"ticks.v1": next(self.records)}


async def until(claim: Callable[[], object]) -> None:
    for _ in range(400):
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(background, "SERIES_EVERY_S", 0.02)


async def test_rates_are_records_a_second_between_looks() -> None:
    api, broker = Api(), Broker()
    work = Background(api.services, broker.look)
    work.start()
    await until(lambda: api.services.rates)
    await asyncio.sleep(0.3)
    await work.stop()

    # 10 records each 50 ms, and what a look takes.
    assert 60 < api.services.rates["ticks.v1"] <= 200


async def test_series_are_those_of_the_store_and_those_of_the_topics() -> None:
    api = Api()
    api.hot.put_bars([bar()])
    api.publish(Noun.QUOTES, quote(symbol="ETH/USD", venue="COINBASE"))
    api.services.series = frozenset()
    work = Background(api.services, Broker().look)

    work.start()
    await until(lambda: len(api.services.series) == 2)
    await work.stop()

    assert api.services.series == {("BTC/USD", "KRAKEN"), ("ETH/USD", "COINBASE")}


async def test_a_broker_or_a_store_that_is_away_is_asked_again() -> None:
    api, broker = Api(), Broker()
    broker.is_away = api.hot_edge.is_away = True
    api.is_stale()
    work = Background(api.services, broker.look)
    work.start()
    await asyncio.sleep(0.1)
    assert api.services.rates == {}

    broker.is_away = False
    await until(lambda: api.services.rates)
    await work.stop()
