"""Bars by REST: what a reader of history is promised."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from app.api.freshness import Origin
from app.api.history import Span, bars
from app.api.streams import Noun
from app.domain.ports import Row
from schemas.json_form import microseconds
from tests.contract.records import at
from tests.unit.api.api import Api, bar, principal

SERIES = "/api/ohlc/BTC/USD@KRAKEN"


def minute(n: int, **values: Any) -> Row:
    """Return the final bar of the n-th minute after ten."""
    open_time = at("10:00") + timedelta(minutes=n)
    values = {"revision": 1, "is_final": True, "last_offset": n, **values}
    return bar(open_time=open_time, **values)


async def asked(api: Api, path: str, status: int = 200, **headers: str) -> httpx.Response:
    async with api.client() as client:
        answer = await client.get(path, headers=headers)
    assert answer.status_code == status, answer.text
    return answer


def minutes(answer: httpx.Response) -> list[int]:
    first = microseconds(at("10:00"))
    return [(row["open_time"] - first) // 60_000_000 for row in answer.json()["data"]]


async def test_history_is_joined_at_the_hot_stores_oldest_bar_without_a_seam() -> None:
    """Neither twice nor not at all: the warm one is asked only for what is before it."""
    #  warm: 0 1 2 3 4
    #  hot:      2 3 4
    api = Api()
    api.keep(bars=[minute(n) for n in (2, 3, 4)], older=[minute(n) for n in (0, 1)])

    answer = await asked(api, SERIES)

    assert minutes(answer) == [0, 1, 2, 3, 4]
    assert answer.json()["source"] == "hot"
    assert "next" not in answer.json()


async def test_a_page_that_the_hot_store_fills_asks_no_other() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in range(5)])
    api.warm_edge.is_away = True

    answer = await asked(api, f"{SERIES}?limit=3")

    assert minutes(answer) == [2, 3, 4]


async def test_next_leads_to_the_page_before_and_ends() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in (3, 4)], older=[minute(n) for n in (0, 1, 2)])
    seen, cursor = [], ""

    while True:
        answer = await asked(api, f"{SERIES}?limit=2{cursor}")
        seen.append(minutes(answer))
        if "next" not in answer.json():
            break
        cursor = f"&cursor={answer.json()['next']}"

    assert seen == [[3, 4], [1, 2], [0]]


async def test_a_page_across_both_stores_is_no_longer_than_asked_for() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in (4, 5)], older=[minute(n) for n in range(4)])

    span = Span("BTC/USD", "KRAKEN", "M1", None, None, 3)
    found, origins = await bars(api.services, span)

    assert len(found) == 3
    assert origins == [Origin.WARM, Origin.HOT]


async def test_a_hot_store_that_is_not_whole_is_not_asked() -> None:
    api = Api()
    api.keep(older=[minute(n) for n in range(4)])
    api.hot.put_bars([minute(0), minute(3)])
    api.is_filled(filled=False)

    answer = await asked(api, SERIES)

    assert minutes(answer) == [0, 1, 2, 3]
    assert answer.json()["source"] == "warm"


@pytest.mark.parametrize("partition_is_whole", [True, False])
async def test_what_is_out_of_reach_is_503_and_never_a_history_with_a_hole(
    *, partition_is_whole: bool
) -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in (2, 3)], older=[minute(n) for n in (0, 1)])
    api.warm_edge.is_away = True
    if not partition_is_whole:
        api.is_filled(filled=False)

    answer = await asked(api, SERIES, 503)

    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1


async def test_without_redis_all_comes_from_postgres() -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in (2, 3)], older=[minute(n) for n in (0, 1)])
    api.hot_edge.is_away = True

    answer = await asked(api, SERIES)

    assert minutes(answer) == [0, 1, 2, 3]
    assert answer.json()["source"] == "warm"


def iso(time: datetime) -> str:
    return time.isoformat().replace("+", "%2B")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (iso(at("10:01")), iso(at("10:03"))),
        (str(microseconds(at("10:01"))), str(microseconds(at("10:03")))),
        ("2025-11-20T10:01:00Z", "2025-11-20T10:03:00"),
        ("2025-11-20T11:01:00+01:00", "2025-11-20T10:03:00"),  # a plus that was not escaped
    ],
)
async def test_from_counts_and_to_does_not(start: str, end: str) -> None:
    api = Api()
    api.keep(bars=[minute(n) for n in range(5)])

    answer = await asked(api, f"{SERIES}?from={start}&to={end}")

    assert minutes(answer) == [1, 2]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "from must be an ISO 8601 time or whole microseconds"),
        ("to=99999999999999999999", "to must be"),
        ("cursor=x", "cursor must be"),
        ("limit=0", "limit"),
        ("limit=5001", "limit"),
        ("timeframe=M1;drop", "timeframe"),
    ],
)
async def test_a_parameter_that_breaks_its_rule_is_named(query: str, said: str) -> None:
    answer = await asked(Api(), f"{SERIES}?{query}", 422)

    assert said in answer.json()["detail"]


async def test_closed_bars_have_an_etag_that_changes_with_a_revision() -> None:
    api = Api()
    api.keep(bars=[minute(0), minute(1)])
    tag = (await asked(api, SERIES)).headers["etag"]

    assert (await asked(api, SERIES, 304, **{"If-None-Match": f'"x", {tag}'})).content == b""
    api.keep(bars=[minute(1, revision=2, reason="late", last_offset=9)])
    assert (await asked(api, SERIES, 200, **{"If-None-Match": tag})).headers["etag"] != tag


async def test_a_page_with_a_provisional_bar_has_no_etag() -> None:
    api = Api()
    api.keep(bars=[minute(0), minute(1, revision=0, is_final=False)])

    assert "etag" not in (await asked(api, SERIES)).headers


async def test_decimals_are_strings_and_times_microseconds() -> None:
    api = Api()
    api.keep(bars=[minute(0)])

    [row] = (await asked(api, SERIES)).json()["data"]

    assert (row["low"], row["open_time"]) == ("99.000000000001", microseconds(at("10:00")))


async def test_the_latest_bar_is_the_one_that_opened_last_as_the_topics_have_it() -> None:
    api = Api()
    api.keep(bars=[minute(0)])
    assert (await asked(api, f"{SERIES}".replace("ohlc", "ohlc/latest"))).json()["source"] == "hot"

    api.publish(Noun.BARS, minute(2, last_offset=9), minute(1, last_offset=10))

    answer = await asked(api, f"{SERIES}".replace("ohlc", "ohlc/latest"))
    assert answer.json()["source"] == "topics"
    assert answer.json()["data"]["last_offset"] == 9


@pytest.mark.parametrize(
    ("where", "behind", "source", "stale"),
    [
        ("topics", "hot", "topics", False),
        ("hot", "hot", "hot", True),
        ("hot", "warm", "hot", False),
        ("warm", "warm", "warm", True),
        ("warm", "hot", "warm", False),
    ],
)
async def test_the_latest_bar_names_where_it_is_from_and_is_as_old_as_that(
    where: str, behind: str, source: str, *, stale: bool
) -> None:
    api = Api()
    api.keep(bars=[minute(0)])
    if where == "topics":
        api.publish(Noun.BARS, minute(1))
    api.is_filled(filled=where == "hot")
    api.is_behind(behind)

    answer = (await asked(api, SERIES.replace("ohlc", "ohlc/latest"))).json()

    assert (answer["source"], answer["stale"], "next" in answer) == (source, stale, False)


async def test_a_page_across_both_stores_names_the_newest_and_is_as_old_as_the_oldest() -> None:
    api = Api()
    api.keep(bars=[minute(1)], older=[minute(0)])
    api.is_behind("warm")

    answer = (await asked(api, SERIES)).json()

    assert (answer["source"], answer["stale"]) == ("hot", True)


async def test_an_answer_behind_a_pipeline_that_is_away_says_that_it_is_stale() -> None:
    api = Api()
    api.keep(bars=[minute(0)])
    assert not (await asked(api, SERIES)).json()["stale"]

    api.is_stale()

    answer = (await asked(api, SERIES)).json()
    assert answer["stale"]
    assert answer["age_s"] >= 3600


async def test_a_symbol_nobody_lists_is_404_and_one_at_two_venues_409() -> None:
    api = Api()
    api.keep(bars=[minute(0), minute(0, venue="COINBASE")])

    await asked(api, "/api/ohlc/NO/NE", 404)
    await asked(api, "/api/ohlc/NO/NE@KRAKEN", 404)
    answer = await asked(api, "/api/ohlc/BTC/USD", 409)

    assert answer.json()["choices"] == ["BTC/USD@COINBASE", "BTC/USD@KRAKEN"]


async def test_a_key_sees_only_its_symbols() -> None:
    api = Api(principal(symbols=("ETH/*@*",)))
    api.keep(bars=[minute(0)])

    await asked(api, SERIES, 403)


async def test_of_a_series_without_bars_in_the_span_the_page_is_empty() -> None:
    api = Api()
    api.keep(bars=[minute(0)])

    answer = await asked(api, f"{SERIES}?to=0")

    assert answer.json()["data"] == []
