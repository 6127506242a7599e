"""What the other tests of the API stand on stands."""

import httpx

from app.api.streams import Noun
from tests.unit.api.api import Api, anomaly, bar, gap, principal, quote, tick


async def test_what_is_fed_is_answered() -> None:
    api = Api()
    api.keep(bars=[bar()], ticks=[tick()])
    api.publish(Noun.QUOTES, quote())
    api.publish(Noun.ANOMALIES, anomaly())
    api.open_gap(gap())

    async with api.client() as client:
        answers = [
            await client.get(path)
            for path in (
                "/api/quotes/latest/BTC/USD",
                "/api/quotes/history/BTC/USD@KRAKEN",
                "/api/ohlc/latest/BTC/USD@KRAKEN",
                "/api/ohlc/BTC/USD@KRAKEN",
                "/api/anomalies",
                "/api/gaps",
            )
        ]

    assert [answer.status_code for answer in answers] == [200] * 6
    assert [bool(answer.json()["data"]) for answer in answers] == [True] * 6
    assert not any(answer.json()["stale"] for answer in answers)


async def test_a_store_that_is_away_is_a_503() -> None:
    api = Api()
    api.keep(quotes=[quote()])
    api.hot_edge.is_away = True

    async with api.client() as client:
        answer = await client.get("/api/quotes/latest/BTC/USD@KRAKEN")

    assert answer.status_code == 503


async def test_the_door_knows_roles() -> None:
    async with Api(principal("viewer")).client() as client:
        assert (await client.get("/api/pipeline/stats")).status_code == 403
    async with Api(None).client() as client:
        assert (await client.get("/api/symbols")).status_code == 401


def test_it_is_served_over_a_socket_and_fed_from_another_thread() -> None:
    api = Api()

    with api.served() as url:
        api.publish(Noun.QUOTES, quote())
        answer = httpx.get(f"{url}/api/quotes/latest/BTC/USD@KRAKEN")

    assert answer.json()["data"]["bid"] == "99.5"
