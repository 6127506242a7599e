"""The pipeline as operators see it."""

from typing import Any

import pytest

from app.api import pipeline
from app.api.freshness import Freshness, Place
from app.api.streams import Noun
from app.domain.ports import Row
from tests.contract.records import at
from tests.unit.api.api import FAR_S, Api, bar, gap, principal, quote


async def asked(api: Api, path: str, status: int = 200, method: str = "GET") -> Any:
    async with api.client() as client:
        answer = await client.request(method, path)
    assert answer.status_code == status, answer.text
    return answer.json().get("data", answer.json())


async def test_stats_tell_rates_lag_and_listeners() -> None:
    api = Api()
    api.services.rates = {"ticks.v1": 12.5}
    api.services.freshness = freshness = Freshness(5.0, 0.0)
    freshness.observe(FAR_S, [
        Place("hot", "bars.v1", 0, 7, 10), Place("hot", "bars.v1", 1, -1, 5),
    ])  # fmt: skip
    api.publish(Noun.QUOTES, quote())

    found = await asked(api, "/api/pipeline/stats")

    assert found["records_per_s"] == {"ticks.v1": 12.5}
    assert found["lag_records"] == {"hot": {"bars.v1": 8}}
    assert (found["series"], found["clients"], found["subscriptions"]) == (1, 0, 0)


async def test_health_names_the_part_that_is_away_and_alerts_say_it_too() -> None:
    api = Api()
    assert (await asked(api, "/api/pipeline/health"))["status"] == "ok"
    assert await asked(api, "/api/pipeline/alerts") == []

    api.hot_edge.is_away = True
    for _ in range(3):
        await asked(api, "/api/quotes/latest/BTC/USD@KRAKEN", 503)

    found = await asked(api, "/api/pipeline/health")
    assert found["status"] == "degraded"
    assert found["parts"]["redis"]["status"] == "away"
    assert found["parts"]["postgres"]["status"] == "ok"
    alerts = {each["alert"]: each for each in await asked(api, "/api/pipeline/alerts")}
    assert alerts["redis"] == {
        "alert": "redis", "severity": "critical", "detail": "redis is away",
    }  # fmt: skip


async def test_a_pipeline_that_is_behind_is_stale_not_away() -> None:
    api = Api()
    api.is_stale()

    parts = (await asked(api, "/api/pipeline/health"))["parts"]

    assert {parts[name]["status"] for name in ("topics", "hot", "warm")} == {"stale"}
    assert parts["kafka"]["status"] == "away"


async def test_dead_letters_and_open_gaps_are_alerts() -> None:
    api = Api()
    api.services.rates = {"ticks.dlq.v1": 2.0}
    api.open_gap(gap(), gap(from_id=200, repaired_at=at("10:05")))

    found = {each["alert"]: each["detail"] for each in await asked(api, "/api/pipeline/alerts")}

    assert found == {"dead_letters": "2.0 dead letters a second", "gaps": "open gaps: 1"}


async def test_a_feed_is_silent_when_nothing_came_for_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = Api()
    api.publish(Noun.BARS, bar())
    api.open_gap(gap())
    [live] = await asked(api, "/api/pipeline/feed-health")
    monkeypatch.setattr(pipeline, "FEED_SILENT_S", 0.0)
    [silent] = await asked(api, "/api/pipeline/feed-health")

    assert (live["venue"], live["status"], live["series"], live["open_gaps"]) == (
        "KRAKEN", "live", 1, 1,
    )  # fmt: skip
    assert silent["status"] == "silent"


@pytest.mark.parametrize("path", ["stats", "health", "feed-health", "alerts"])
async def test_operators_see_it_and_traders_do_not(path: str) -> None:
    await asked(Api(principal("trader")), f"/api/pipeline/{path}", 403)
    await asked(Api(principal("ops")), f"/api/pipeline/{path}")


async def test_only_an_admin_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    api, done = Api(principal("admin")), []
    monkeypatch.setattr(api.warm, "maintain", lambda: done.append(1) or "2 days made")

    found = await asked(api, "/admin/pipeline/cleanup", method="POST")

    assert found == {"maintained": "2 days made", "by": "desk"}
    assert done == [1]
    await asked(Api(principal("ops")), "/admin/pipeline/cleanup", 403, "POST")


@pytest.mark.parametrize(
    ("method", "path", "source", "behind"),
    [
        ("GET", "/api/pipeline/stats", "topics", "compute"),
        ("GET", "/api/pipeline/health", "topics", "compute"),
        ("GET", "/api/pipeline/feed-health", "topics", "compute"),
        ("GET", "/api/pipeline/alerts", "topics", "compute"),
        ("POST", "/admin/pipeline/cleanup", "warm", "warm"),
    ],
)
async def test_each_says_where_it_is_from_and_is_as_old_as_that(
    method: str, path: str, source: str, behind: str
) -> None:
    api, stale = Api(), set()
    for role in ("compute", "hot", "warm"):
        api.is_behind(role)
        async with api.client() as client:
            answer = (await client.request(method, path)).json()
        stale |= {role} if answer["stale"] else set()
        assert (answer["source"], "next" in answer) == (source, False)

    assert stale == {"compute", behind}


async def test_ready_once_the_topics_are_read_and_alive_always() -> None:
    api = Api(None)
    async with api.client() as client:
        ready = await client.get("/readyz")
        api.hub.positions.clear()
        waiting = await client.get("/readyz")
        alive = await client.get("/livez")

    assert (ready.status_code, waiting.status_code, alive.status_code) == (200, 503, 200)
    assert waiting.headers["retry-after"]


async def test_metrics_are_for_operators() -> None:
    async with Api(principal("ops")).client() as client:
        await client.get("/api/symbols")
        text = (await client.get("/metrics")).text

    assert 'tapeline_api_request_seconds_count{route="/api/symbols",status="200"} 1.0' in text
    async with Api(principal("viewer")).client() as client:
        assert (await client.get("/metrics")).status_code == 403


def symbols(rows: list[Row]) -> list[str]:
    return [f"{row['symbol']}@{row['venue']}" for row in rows]


async def test_symbols_are_those_a_key_may_see() -> None:
    api = Api(principal(symbols=("*@KRAKEN",)))
    api.keep(bars=[bar(), bar(venue="COINBASE"), bar(symbol="ADA/USD")])

    assert symbols(await asked(api, "/api/symbols")) == ["ADA/USD@KRAKEN", "BTC/USD@KRAKEN"]


async def test_gaps_are_told_until_they_are_repaired() -> None:
    api = Api()
    api.open_gap(gap(), gap(from_id=200, repaired_at=at("10:05")))

    assert [each["from_id"] for each in await asked(api, "/api/gaps")] == [101]
    both = await asked(api, "/api/gaps?repaired=true")
    assert sorted(each["from_id"] for each in both) == [101, 200]
    assert await asked(api, "/api/gaps?symbol=BTC/USD@KRAKEN&limit=1") != []


async def test_every_answer_tells_browsers_what_they_may_do() -> None:
    async with Api(None).client() as client:
        headers = (await client.get("/api/symbols")).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
