"""What the client asks by REST, against the application itself."""

import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import polars as pl
import pytest

from app.api.problems import Problem
from app.api.streams import Noun
from app.client import ApiProblem, AsyncClient, Client, Stale, Unreachable
from app.client import calls as client_calls
from tests.contract.records import at
from tests.unit.api.api import Api, anomaly, bar, gap, principal, quote, tick

NAME = "BTC/USD@KRAKEN"


@pytest.fixture
def api() -> Api:
    """Return an API that has nothing yet."""
    return Api()


@pytest.fixture
async def client(api: Api) -> AsyncIterator[AsyncClient]:
    """Return a client of it, without sockets."""
    transport = httpx.ASGITransport(api.app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport) as made:
        yield made


async def test_a_quote_comes_with_its_exact_values(api: Api, client: AsyncClient) -> None:
    sent = quote(bid=Decimal("99.000000000001"), ask=None)
    api.keep(quotes=[sent])

    assert await client.latest_quote(NAME) == sent


async def test_the_newest_bar_comes_with_its_exact_values(api: Api, client: AsyncClient) -> None:
    sent = bar()
    api.keep(bars=[sent])

    assert await client.latest_bar(NAME, "M1") == {
        name: value for name, value in sent.items() if name != "_offset"
    }


def minutes(count: int) -> list[datetime]:
    return [at("00:00") + timedelta(minutes=n) for n in range(count)]


async def test_bars_are_a_frame_of_decimals_and_utc_times(api: Api, client: AsyncClient) -> None:
    api.keep(bars=[bar()])

    frame = await client.bars(NAME, "M1")

    assert frame.schema["open"] == pl.Decimal(38, 12)
    assert frame.schema["open_time"] == pl.Datetime("us", "UTC")
    [row] = frame.iter_rows(named=True)
    assert row["low"] == Decimal("99.000000000001")
    assert row["open_time"] == at("10:00")
    assert row["notional"] == "1250.000000000000000000000001"


async def test_a_frame_without_bars_has_the_same_columns(api: Api, client: AsyncClient) -> None:
    api.keep(bars=[bar()])

    none = await client.bars(NAME, "H1")

    assert none.height == 0
    assert none.schema == (await client.bars(NAME, "M1")).schema


async def test_all_pages_are_followed_and_every_bar_comes_once(
    api: Api, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_calls, "MOST_BARS", 7)
    times = minutes(50)
    api.keep(older=[bar(open_time=each) for each in times[:30]])
    api.keep(bars=[bar(open_time=each) for each in times[30:]])

    frame = await client.bars(NAME, "M1")

    assert frame["open_time"].to_list() == times


@pytest.mark.parametrize("limit", [1, 6, 7, 8, 14, 49, 50, 51])
async def test_a_limit_takes_the_newest(
    api: Api, client: AsyncClient, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(client_calls, "MOST_BARS", 7)
    times = minutes(50)
    api.keep(bars=[bar(open_time=each) for each in times])

    frame = await client.bars(NAME, "M1", limit=limit)

    assert frame["open_time"].to_list() == times[-limit:]


async def test_a_span_holds_its_start_and_not_its_end(api: Api, client: AsyncClient) -> None:
    #  bars:  00:00  00:01  00:02  00:03
    #  span:         [------------)
    times = minutes(4)
    api.keep(bars=[bar(open_time=each) for each in times])

    for start, end in [(times[1], times[3]), (str(times[1].isoformat()), times[3].isoformat())]:
        frame = await client.bars(NAME, "M1", start=start, end=end)
        assert frame["open_time"].to_list() == times[1:3]


async def test_a_time_without_a_zone_is_refused(client: AsyncClient) -> None:
    with pytest.raises(ValueError, match="from must have a time zone"):
        await client.bars(NAME, "M1", start=datetime(2026, 1, 1))  # noqa: DTZ001 - on purpose


async def test_ticks_symbols_anomalies_and_gaps_come(api: Api, client: AsyncClient) -> None:
    api.keep(ticks=[tick(offset=n, raw_offset=n, price=Decimal(n + 1)) for n in range(5)])
    api.publish(Noun.ANOMALIES, anomaly())
    api.open_gap(gap())

    assert (await client.ticks(NAME, 3))["price"].to_list() == [3, 4, 5]
    assert await client.symbols() == [NAME]
    assert (await client.anomalies(NAME))["severity"].to_list() == ["warning"]
    assert (await client.gaps())["from_id"].to_list() == [101]


async def test_a_problem_says_what_and_when_to_try_again(api: Api, client: AsyncClient) -> None:
    api.door.problem = Problem(
        429, "Too many requests", "At most 600 a minute.", {"Retry-After": "17"}, limit=600
    )

    with pytest.raises(ApiProblem) as caught:
        await client.latest_quote(NAME)

    problem = caught.value
    assert (problem.status, problem.title, problem.retry_after_s) == (429, "Too many requests", 17)
    assert problem.detail == "At most 600 a minute."
    assert problem.members["limit"] == 600
    assert str(problem) == "429 Too many requests: At most 600 a minute."


async def test_an_unknown_symbol_is_a_problem(client: AsyncClient) -> None:
    with pytest.raises(ApiProblem, match="404 Unknown symbol: DOGE/USD has no record here"):
        await client.latest_quote("DOGE/USD")


async def test_a_symbol_cannot_become_another_path(api: Api, client: AsyncClient) -> None:
    api.keep(quotes=[quote()])

    with pytest.raises(ApiProblem, match=r"404 Unknown symbol: BTC/USD\?limit=1#x"):
        await client.latest_quote("BTC/USD?limit=1#x")


async def test_an_answer_that_is_too_old_is_refused_where_asked_for(api: Api) -> None:
    api.keep(quotes=[quote()])
    api.is_stale()
    transport = httpx.ASGITransport(api.app)

    async with AsyncClient(transport=transport) as careless:
        assert (await careless.latest_quote(NAME))["ask"] == 100
    async with AsyncClient(transport=transport, max_age_s=5) as careful:
        with pytest.raises(Stale, match="must be 5 s old at most, was") as caught:
            await careful.latest_quote(NAME)
    assert caught.value.age_s > 3000


@pytest.mark.parametrize("given", ["argument", "environment"])
async def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    api = Api(principal("viewer"))
    api.keep(quotes=[quote()])
    monkeypatch.setenv("TAPELINE_API_KEY", "tl_env" if given == "environment" else "tl_other")
    key = None if given == "environment" else "tl_env"

    async with AsyncClient(key=key, transport=httpx.ASGITransport(api.app)) as client:
        await client.latest_quote(NAME)

    assert api.door.asked[-1]["authorization"] == "Bearer tl_env"


def test_the_key_is_in_no_repr() -> None:
    with Client(key="tl_secret") as client:
        assert "tl_secret" not in repr(vars(client))


def test_the_client_that_waits_gives_the_same() -> None:
    api = Api()
    api.keep(bars=[bar(open_time=each) for each in minutes(3)], quotes=[quote()])

    with api.served() as url, Client(url) as client:
        assert client.latest_quote(NAME) == quote()
        assert client.bars(NAME, "M1", limit=2)["open_time"].to_list() == minutes(3)[1:]
        with pytest.raises(ApiProblem, match="404"):
            client.latest_bar("DOGE/USD@KRAKEN", "M1")


def test_nobody_there_is_unreachable() -> None:
    with Client("http://127.0.0.1:9", timeout_s=1) as client, pytest.raises(Unreachable):
        client.symbols()


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must be http://HOST or https://HOST, was"):
        Client(url)


def test_both_clients_have_the_same_methods() -> None:
    def public(of: type) -> dict[str, list[str]]:
        return {
            name.removeprefix("a") if name == "aclose" else name: [*inspect.signature(m).parameters]
            for name, m in inspect.getmembers(of, inspect.isfunction)
            if not name.startswith("_")
        }

    assert public(Client) == public(AsyncClient)
    assert [*inspect.signature(Client).parameters] == [*inspect.signature(AsyncClient).parameters]


def test_times_of_frames_are_utc(api: Api) -> None:
    api.keep(quotes=[quote()])
    with api.served() as url, Client(url) as client:
        assert client.latest_quote(NAME)["event_time"].tzinfo is UTC
