"""Quotes and ticks by REST."""

from typing import Any

import pytest

from app.api.streams import Noun
from tests.unit.api.api import Api, principal, quote, tick

LATEST = "/api/quotes/latest/BTC/USD@KRAKEN"
HISTORY = "/api/quotes/history/BTC/USD@KRAKEN"


async def asked(api: Api, path: str, status: int = 200) -> Any:
    async with api.client() as client:
        answer = await client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_the_newest_quote_is_the_topics_and_else_the_stores() -> None:
    api = Api()
    api.keep(quotes=[quote(sequence=1)])
    assert (await asked(api, LATEST))["source"] == "hot"

    api.publish(Noun.QUOTES, quote(sequence=2))
    api.hot_edge.is_away = True

    answer = await asked(api, LATEST)
    assert (answer["source"], answer["data"]["sequence"]) == ("topics", 2)


async def test_a_quote_of_a_store_that_is_being_filled_is_not_believed() -> None:
    """It may be an old one, and none may be there though there is one."""
    api = Api()
    api.keep(quotes=[quote()])
    api.is_filled(filled=False)

    await asked(api, LATEST, 503)


async def test_nobody_quoted_is_404() -> None:
    await asked(Api(), LATEST, 404)


async def test_the_newest_ticks_come_oldest_first() -> None:
    api = Api()
    api.keep(ticks=[tick(offset=n, raw_offset=n, trade_id=str(n)) for n in range(5)])

    answer = await asked(api, f"{HISTORY}?limit=3")

    assert [row["trade_id"] for row in answer["data"]] == ["2", "3", "4"]
    assert answer["source"] == "hot"


@pytest.mark.parametrize("is_away", [True, False])
async def test_ticks_that_redis_may_have_lost_come_from_postgres(*, is_away: bool) -> None:
    api = Api()
    row = tick(offset=1, raw_offset=1, trade_id="7")
    api.keep(ticks=[tick(offset=0, raw_offset=0, trade_id="6")])
    api.keep_warm_ticks(row)
    api.is_filled(filled=False)
    api.hot_edge.is_away = is_away

    answer = await asked(api, HISTORY)

    assert [each["trade_id"] for each in answer["data"]] == ["7"]
    assert answer["source"] == "warm"


@pytest.mark.parametrize("source", ["hot", "warm"])
async def test_ticks_are_as_old_as_the_store_that_they_are_from(source: str) -> None:
    api = Api()
    api.keep(ticks=[tick(offset=0, raw_offset=0)])
    api.is_filled(filled=source == "hot")
    found = []
    for role in ("hot", "warm"):
        api.is_behind(role)
        answer = await asked(api, HISTORY)
        found += [role] if answer["stale"] else []
        assert answer["source"] == source

    assert found == [source]


async def test_ticks_are_for_traders() -> None:
    await asked(Api(principal("viewer")), HISTORY, 403)


@pytest.mark.parametrize("limit", [0, 1001, "x"])
async def test_a_limit_out_of_bounds_is_refused(limit: object) -> None:
    assert "limit" in (await asked(Api(), f"{HISTORY}?limit={limit}", 422))["detail"]
