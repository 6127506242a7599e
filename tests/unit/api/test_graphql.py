"""GraphQL: what REST answers, and what must not be done with it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from graphql import get_introspection_query
from starlette.requests import Request
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api.freshness import Origin
from app.api.graphql import limits, subscriptions
from app.api.graphql.caller import ROWS_AT_ONCE, Caller
from app.api.serving import Found
from app.api.streams import Noun
from tests.contract.records import at
from tests.unit.api.api import (
    SECRET_PLACE,
    Api,
    anomaly,
    bar,
    gap,
    principal,
    quote,
)

NAME = "BTC/USD@KRAKEN"
QUOTE = '{ quote(series: "BTC/USD@KRAKEN") { data { bid } } }'


async def post(api: Api, query: str, **variables: Any) -> httpx.Response:
    async with api.client() as client:
        return await client.post("/graphql", json={"query": query, "variables": variables})


async def ask(api: Api, query: str, **variables: Any) -> Any:
    """Return the data; there must be no error."""
    answer = (await post(api, query, **variables)).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


async def refusal(api: Api, query: str, **variables: Any) -> dict[str, Any]:
    """Return the only error."""
    response = await post(api, query, **variables)
    assert response.status_code == 200
    [error] = response.json()["errors"]
    assert SECRET_PLACE not in response.text
    return error


async def test_a_quote_is_what_rest_says() -> None:
    api = Api()
    api.keep(quotes=[quote(bid=Decimal("99.000000000001"))])
    fields = "symbol venue event_time sequence bid ask bid_size ask_size crossed tick_offset"

    found = await ask(
        api, f'{{ quote(series: "{NAME}") {{ data {{ {fields} }} source age_s stale }} }}'
    )
    async with api.client() as client:
        rest = (await client.get(f"/api/quotes/latest/{NAME}")).json()

    assert found["quote"]["data"] == {name: rest["data"][name] for name in fields.split()}
    assert found["quote"]["data"]["bid"] == "99.000000000001"
    assert {k: found["quote"][k] for k in ("source", "stale")} == {"source": "hot", "stale": False}


async def test_bars_are_paged_as_by_rest() -> None:
    api = Api()
    times = [at("00:00") + timedelta(minutes=n) for n in range(5)]
    api.keep(older=[bar(open_time=each) for each in times[:3]])
    api.keep(bars=[bar(open_time=each) for each in times[3:]])
    query = """query ($before: String) {
        bars(series: "BTC/USD@KRAKEN", limit: 3, before: $before) {
            data { open_time close_time notional revision is_final } next source
        }
    }"""

    newer = (await ask(api, query))["bars"]
    older = (await ask(api, query, before=newer["next"]))["bars"]

    opened = [each["open_time"] for each in (*older["data"], *newer["data"])]
    assert opened == [int(each.timestamp() * 1_000_000) for each in times]
    assert older["next"] is None
    assert older["source"] == "warm"
    assert newer["data"][0]["notional"] == "1250.000000000000000000000001"


@pytest.mark.parametrize("as_text", [False, True])
async def test_a_span_is_taken_in_microseconds_and_in_iso_8601(as_text: bool) -> None:
    api = Api()
    times = [at("00:00") + timedelta(minutes=n) for n in range(4)]
    api.keep(bars=[bar(open_time=each) for each in times])
    start, end = (
        each.isoformat() if as_text else int(each.timestamp() * 1_000_000) for each in times[1:4:2]
    )

    found = await ask(
        api,
        "query ($a: Micros, $b: Micros) { bars(series: "
        '"BTC/USD@KRAKEN", from: $a, to: $b) { data { open_time } } }',
        a=start, b=end,
    )  # fmt: skip

    assert len(found["bars"]["data"]) == 2


async def test_what_is_listed_is_answered() -> None:
    api = Api()
    api.publish(Noun.ANOMALIES, anomaly())
    api.publish(Noun.QUOTES, quote())
    api.open_gap(gap())

    found = await ask(
        api,
        """{
            symbols { data { symbol venue } }
            anomalies { data { kind severity value } source }
            gaps { data { from_id repaired_at detected_at } stale }
            feedHealth { data { venue status series open_gaps } }
        }""",
    )

    assert found["symbols"]["data"] == [{"symbol": "BTC/USD", "venue": "KRAKEN"}]
    assert found["anomalies"] == {
        "data": [{"kind": "price_jump", "severity": "warning", "value": 0.12}], "source": "topics",
    }  # fmt: skip
    assert found["gaps"]["data"][0]["from_id"] == 101
    assert found["feedHealth"]["data"] == [
        {"venue": "KRAKEN", "status": "live", "series": 1, "open_gaps": 1}
    ]


async def test_stale_is_told() -> None:
    api = Api()
    api.keep(quotes=[quote()])
    api.is_stale()

    found = await ask(api, f'{{ quote(series: "{NAME}") {{ stale age_s }} }}')

    assert found["quote"]["stale"] is True
    assert found["quote"]["age_s"] > 3000


# Who may


async def test_nobody_known_is_refused_before_anything_is_run() -> None:
    response = await post(Api(None), QUOTE)

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_forbidden_symbol_is_forbidden_here_too() -> None:
    api = Api(principal("viewer", symbols=("ETH/*",)))
    api.publish(Noun.ANOMALIES, anomaly())
    api.keep(quotes=[quote()], bars=[bar()])
    api.open_gap(gap())

    error = await refusal(api, QUOTE)
    assert (error["extensions"]["status"], error["extensions"]["title"]) == (403, "Not allowed")
    assert error["message"] == "desk may not see BTC/USD@KRAKEN"
    bars = await refusal(api, f'{{ bars(series: "{NAME}") {{ data {{ open }} }} }}')
    assert bars["extensions"]["status"] == 403
    listed = await ask(
        api, "{ symbols { data { symbol } } anomalies { data { kind } } gaps { data { from_id } } }"
    )
    assert [each["data"] for each in listed.values()] == [[], [], []]


async def test_feed_health_needs_ops_and_the_rest_does_not() -> None:
    api = Api(principal("trader"))
    query = "{ symbols { stale } feedHealth { stale } }"

    error = await refusal(api, query)
    assert error["extensions"]["status"] == 403
    assert error["path"] == ["feedHealth"]
    api.door.who = principal("ops")
    assert await ask(api, query)


async def test_a_symbol_of_several_venues_lists_them() -> None:
    api = Api()
    api.keep(quotes=[quote(), quote(venue="COINBASE")])

    error = await refusal(api, '{ quote(series: "BTC/USD") { stale } }')

    assert error["extensions"]["status"] == 409
    assert error["extensions"]["choices"] == ["BTC/USD@COINBASE", "BTC/USD@KRAKEN"]


async def test_a_store_that_is_away_is_a_503_that_tells_nothing() -> None:
    api = Api()
    api.hot_edge.is_away = api.warm_edge.is_away = True

    for query in (QUOTE, f'{{ bars(series: "{NAME}") {{ data {{ open }} }} }}'):
        error = await refusal(api, query)
        assert error["extensions"]["status"] == 503
        assert error["extensions"]["title"] == "Unavailable for now"
        assert error["extensions"]["retry_after_s"] >= 1


async def test_a_bug_is_a_500_that_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError(SECRET_PLACE)

    monkeypatch.setattr("app.api.quotes.newest", broken)

    error = await refusal(Api(), QUOTE)

    assert error["extensions"] == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500,
        "detail": "The request could not be answered; its id is in the logs.",
    }  # fmt: skip
    assert error["message"] == error["extensions"]["detail"]


# Abuse


def nested(depth: int) -> str:
    return "{ " + "quote { " * (depth - 1) + "x" + " }" * depth


@pytest.mark.parametrize("depth", [9, 30, 150, 320])
async def test_a_deep_query_is_refused(depth: int) -> None:
    error = await refusal(Api(), nested(depth))

    assert error["extensions"]["status"] == 400
    assert "depth must be 8 at most" in error["message"] or "too deep" in error["message"]


async def test_a_depth_of_eight_is_left_to_validation() -> None:
    response = await post(Api(), nested(8))
    assert "depth" not in response.text


async def test_depth_counts_through_fragments() -> None:
    parts = [f"fragment f{n} on Query {{ quote {{ ...f{n + 1} }} }}" for n in range(9)]
    query = "{ ...f0 } fragment f9 on Query { x } " + " ".join(parts)

    assert "depth must be 8 at most, is 10" in (await refusal(Api(), query))["message"]


async def test_a_flood_of_aliases_is_refused() -> None:
    api = Api()
    api.keep(quotes=[quote()])

    def aliased(count: int) -> str:
        return "{" + " ".join(
            f'q{n}: quote(series: "{NAME}") {{ stale }}' for n in range(count)
        ) + "}"  # fmt: skip

    assert len(await ask(api, aliased(20))) == 20
    error = await refusal(api, aliased(21))
    assert error["message"] == "aliases must be 20 at most, is 21"
    assert error["extensions"]["status"] == 400


async def test_aliases_count_wherever_a_fragment_is_spread() -> None:
    query = (
        f'{{ a: quote(series: "{NAME}") {{ ...f }} b: quote(series: "{NAME}") {{ ...f }} }}'
        "fragment f on QuoteAnswer {" + " ".join(f"s{n}: stale" for n in range(10)) + "}"
    )

    assert (await refusal(Api(), query))["message"] == "aliases must be 20 at most, is 22"


BARS = "open high low close open_time close_time volume vwap trades revision"


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        (f'{{ bars(series: "{NAME}", limit: 5000) {{ data {{ {BARS} symbol }} }} }}', 55_000),
        (
            (
                f'query ($n: Int! = 5000) {{ bars(series: "{NAME}", limit: $n) {{ ...r }} }}'
                f"fragment r on BarsAnswer {{ data {{ {BARS} symbol }} }}"
            ),
            55_000,
        ),
        (
            "{"
            + " ".join(
                f'b{n}: bars(series: "{NAME}", limit: 5000) {{ data {{ open close }} }}'
                for n in range(6)
            )
            + "}",
            60_000,
        ),
        (
            "{"
            + " ".join(f'b{n}: bars(series: "{NAME}") {{ ...rows }}' for n in range(11))
            + f"}} fragment rows on BarsAnswer {{ data {{ {BARS} }} }}",
            55_000,
        ),
    ],
)
async def test_a_query_that_costs_too_much_is_refused(query: str, cost: int) -> None:
    error = await refusal(Api(), query)

    assert error["message"] == f"cost must be 50000 at most, is {cost}"


async def test_the_cost_counts_variables() -> None:
    api = Api()
    api.keep(bars=[bar()])
    query = f"""query ($n: Int!) {{
        bars(series: "{NAME}", limit: $n) {{ data {{ {BARS} symbol }} }}
    }}"""

    assert len((await ask(api, query, n=500))["bars"]["data"]) == 1
    assert (await refusal(api, query, n=5000))["message"].startswith("cost must be 50000")


@pytest.mark.parametrize("limit", [0, -5, 5001, 999_999])
async def test_a_limit_beyond_its_bounds_is_refused(limit: int) -> None:
    error = await refusal(Api(), f'{{ bars(series: "{NAME}", limit: {limit}) {{ stale }} }}')

    bounds, cost = f"limit must be 1 to 5000, was {limit}", "cost must be 50000"
    assert error["message"] == bounds or error["message"].startswith(cost)


async def test_a_negative_limit_pays_for_no_other() -> None:
    query = (
        f'{{ a: bars(series: "{NAME}", limit: -50000) {{ data {{ {BARS} }} }}'
        f'   b: bars(series: "{NAME}", limit: 5000) {{ data {{ {BARS} symbol }} }} }}'
    )

    assert "cost must be 50000" in (await refusal(Api(), query))["message"]


async def test_a_document_of_many_tokens_is_refused() -> None:
    error = await refusal(Api(), "{" + " stale" * 1001 + "}")

    assert "1000 tokens" in error["message"]
    assert error["extensions"]["status"] == 400


async def test_a_huge_request_is_refused_unread() -> None:
    response = await post(Api(), "#" * 70_000 + QUOTE)

    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_request_of_no_stated_length_is_refused() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"#" * 1000

    async with Api().client() as client:
        response = await client.post(
            "/graphql", content=endless(), headers={"Content-Type": "application/json"}
        )

    assert response.status_code == 411


async def test_circular_fragments_are_refused() -> None:
    query = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }"

    assert "must not spread itself" in (await refusal(Api(), query))["message"]


async def test_fragments_of_fragments_do_not_explode() -> None:
    """2^90 spreads in 900 tokens: each fragment is looked at once."""
    parts = [f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(90)]
    spread = "{ ...f0 } " + " ".join(parts)
    began_s = time.monotonic()

    assert await ask(Api(), spread + "fragment f90 on Query { __typename }")
    error = await refusal(Api(), spread + "fragment f90 on Query { symbols { stale } }")
    assert "cost must be 50000 at most" in error["message"]
    assert time.monotonic() - began_s < 5


async def test_an_unknown_fragment_is_a_plain_error() -> None:
    error = await refusal(Api(), "{ ...nothing }")
    assert error["message"] == "Unknown fragment 'nothing'."


NUMBER = "9" * 5000
"""Longer than Python reads."""


async def test_a_number_that_python_does_not_read_is_refused() -> None:
    api = Api()
    of_bars = f'bars(series: "{NAME}", limit: %s) {{ data {{ open }} }}'

    error = await refusal(api, "{ " + of_bars % NUMBER + " }")
    assert error["extensions"]["status"] == 400
    error = await refusal(api, f"query ($n: Int! = {NUMBER}) {{ {of_bars % '$n'} }}")
    assert error["extensions"]["status"] == 400
    query = f"query ($n: Int!) {{ {of_bars % '$n'} }}"
    body = json.dumps({"query": query, "variables": {"n": 0}}).replace("0}", NUMBER + "}")
    async with api.client() as client:
        response = await client.post(
            "/graphql", content=body, headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 400


@pytest.mark.parametrize("value", ["x", True, {}, 1.5, 1e300, "1e400"])
async def test_a_variable_that_is_no_time_is_a_clear_error(value: object) -> None:
    query = 'query ($a: Micros) { bars(series: "BTC/USD@KRAKEN", from: $a) { stale } }'

    error = await refusal(Api(), query, a=value)

    assert 400 <= error["extensions"]["status"] < 500
    assert "must be an ISO 8601 time or whole microseconds" in error["message"]


async def test_json_without_end_is_refused() -> None:
    body = b'{"query": ' + b"[" * 30_000
    async with Api().client() as client:
        response = await client.post(
            "/graphql", content=body, headers={"Content-Type": "application/json"}
        )
    assert response.status_code == 400


async def test_a_frame_that_is_no_json_ends_its_connection_alone() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote())
    async with connected(api) as (socket, read):
        await subscribe(socket, FOLLOW)
        await read()
        await socket.send('{"id": ' + NUMBER)
        with pytest.raises(ConnectionClosed):
            await read()
        await emptied(api)


async def test_batches_are_refused() -> None:
    async with Api().client() as client:
        response = await client.post("/graphql", json=[{"query": QUOTE}, {"query": QUOTE}])

    assert response.status_code == 400
    assert response.json()["detail"] == "Batching is not enabled"


async def test_what_is_no_graphql_is_a_problem() -> None:
    as_text, as_json = ({"Content-Type": each} for each in ("text/plain", "application/json"))
    async with Api().client() as client:
        responses = [
            await client.post("/graphql", json={}),
            await client.post("/graphql", content=b"{}", headers=as_text),
            await client.post("/graphql", content=b"{", headers=as_json),
            await client.get("/graphql", params={"query": QUOTE}),
            await client.get("/graphql", headers={"Accept": "text/html"}),
        ]  # fmt: skip

    for response in responses:
        assert 400 <= response.status_code < 500
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code


async def test_introspection_is_allowed_but_not_without_end() -> None:
    api = Api()

    assert len((await ask(api, get_introspection_query()))["__schema"]["types"]) > 10
    deep = "{ __schema { types { fields { type { fields { type { fields { type { fields { name"
    error = await refusal(api, deep + " }" * 10)
    assert "introspection depth" in error["message"]


async def test_a_long_answer_leaves_the_others_their_turn() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    who = Caller(Request({"type": "http"}), Api().services, principal())
    data = who.answer(Found([{"n": n} for n in range(2000)], (Origin.HOT,)))["data"]
    found = [each["n"] async for each in data]
    task.cancel()

    assert found == [*range(2000)]
    assert turns >= 2000 // ROWS_AT_ONCE - 1


# Subscriptions


@asynccontextmanager
async def connected(
    api: Api, **headers: str
) -> AsyncIterator[tuple[ClientConnection, Callable[[], Awaitable[Any]]]]:
    """Connect by graphql-transport-ws; give the socket and what reads its next message."""
    with api.served() as url:
        uri = url.replace("http", "ws") + "/graphql"
        async with connect(
            uri, subprotocols=["graphql-transport-ws"], additional_headers=headers
        ) as socket:

            async def read() -> Any:
                return json.loads(await asyncio.wait_for(socket.recv(), 10))

            await socket.send(json.dumps({"type": "connection_init"}))
            assert (await read())["type"] == "connection_ack"
            yield socket, read


async def subscribe(socket: ClientConnection, query: str, at: str = "1") -> None:
    message = {"id": at, "type": "subscribe", "payload": {"query": query}}
    await socket.send(json.dumps(message))


async def emptied(api: Api) -> None:
    """Wait until nobody listens."""
    deadline = time.monotonic() + 5
    while api.hub.listeners and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread's
        await asyncio.sleep(0.01)
    assert api.hub.listeners == 0


FOLLOW = f"""subscription {{
    quotes(series: ["{NAME}"], throttle: 0) {{
        kind series seq token data {{ bid }} merged missed stale age_s
    }}
}}"""


async def test_a_subscription_gets_a_snapshot_then_updates_and_is_cleaned_up() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote(tick_offset=0))

    async with connected(api) as (socket, read):
        await subscribe(socket, FOLLOW)
        first = (await read())["payload"]["data"]["quotes"]
        api.publish(Noun.QUOTES, quote(bid=Decimal("99.75"), tick_offset=1))
        then = (await read())["payload"]["data"]["quotes"]
        assert api.hub.listeners == 1
        await socket.send(json.dumps({"id": "1", "type": "complete"}))
        await emptied(api)

    assert (first["kind"], first["seq"], first["data"]) == ("snapshot", 0, {"bid": "99.5"})
    assert (then["kind"], then["seq"], then["data"]) == ("update", 1, {"bid": "99.75"})
    assert then["series"] == NAME
    assert (then["merged"], then["missed"], then["stale"]) == (0, 0, False)


async def test_a_connection_that_ends_is_cleaned_up() -> None:
    api = Api()

    async with connected(api) as (socket, read):
        for n in range(3):
            await subscribe(socket, FOLLOW, str(n))
            await read()
        assert api.hub.listeners == 3
        await socket.close()
        await emptied(api)


async def test_what_is_followed_no_more_counts_no_more() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote())
    many = FOLLOW.replace(f'["{NAME}"]', json.dumps([NAME] * 400))

    async with connected(api) as (socket, read):
        for n in range(3):
            await subscribe(socket, many, str(n))
            assert "errors" not in (await read())["payload"]
            await socket.send(json.dumps({"id": str(n), "type": "complete"}))
            await emptied(api)


async def test_bars_are_followed_and_go_on_behind_a_token() -> None:
    api = Api()
    rows = [bar(last_offset=n) for n in range(3)]
    updates = api.publish(Noun.BARS, *rows)
    query = """subscription {
        bars(series: ["BTC/USD@KRAKEN"], resume: [{series: "BTC/USD@KRAKEN", token: "%s"}]) {
            kind token data { last_offset }
        }
    }"""

    async with connected(api) as (socket, read):
        await subscribe(socket, query % str(updates[0].token))
        found = [(await read())["payload"]["data"]["bars"] for _ in range(2)]

    assert [each["kind"] for each in found] == ["resumed", "update"]
    assert found[1]["data"] == {"last_offset": 2}, "the newest of what came since"


async def test_a_quiet_subscription_has_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "HEARTBEAT_S", 0.05)
    api = Api()
    api.is_stale()

    async with connected(api) as (socket, read):
        await subscribe(socket, FOLLOW)
        found = [(await read())["payload"]["data"]["quotes"] for _ in range(3)]

    assert [each["kind"] for each in found] == ["snapshot", "heartbeat", "heartbeat"]
    assert all(each["stale"] for each in found)


async def test_a_key_that_ends_ends_the_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "HEARTBEAT_S", 0.05)
    api = Api()

    async with connected(api) as (socket, read):
        await subscribe(socket, FOLLOW)
        await read()
        api.door.who = principal("viewer")
        while "errors" not in (message := await read())["payload"]:
            pass
        await emptied(api)

    assert message["payload"]["errors"][0]["extensions"]["status"] == 401


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ('quotes(series: ["ETH/USD@KRAKEN"])', 403, "may not see ETH/USD@KRAKEN"),
        ("quotes(series: [])", 422, "series must name one series at least"),
        ('quotes(series: ["BTC/USD@KRAKEN"], throttle: 1)', 422, "throttle must be a share"),
        ('quotes(series: ["DOGE/USD"])', 404, "DOGE/USD has no record here"),
        ('quotes(series: ["BTC/*@KRAKEN"])', 400, "a stream must be quotes:"),
        ('bars(series: ["BTC/USD@KRAKEN"], timeframe: "M 1")', 422, "timeframe must match"),
        (
            'quotes(series: ["BTC/USD@KRAKEN"], resume: [{series: "BTC/USD@KRAKEN", token: "x"}])',
            400, "a token must be PARTITION-OFFSET",
        ),
        (f"quotes(series: {json.dumps([NAME] * 501)})", 429, "500 streams at a time"),
    ],
)  # fmt: skip
async def test_a_subscription_that_may_not_be_is_refused(
    query: str, status: int, says: str
) -> None:
    api = Api(principal("viewer", symbols=("BTC/*",)))

    async with connected(api) as (socket, read):
        await subscribe(socket, f"subscription {{ {query} {{ kind }} }}")
        message = await read()
        await emptied(api)

    payload = message["payload"]
    [error] = payload["errors"] if isinstance(payload, dict) else payload
    assert error["extensions"]["status"] == status
    assert says in error["message"]


async def test_a_document_is_judged_here_too() -> None:
    async with connected(Api()) as (socket, read):
        await subscribe(socket, nested(9))
        message = await read()

    assert message["type"] == "error"
    assert "depth must be 8 at most" in message["payload"][0]["message"]


async def test_no_more_subscriptions_than_one_client_may_have() -> None:
    api = Api()
    api.publish(Noun.QUOTES, quote())

    async with connected(api) as (socket, read):
        for n in range(subscriptions.MOST_SUBSCRIPTIONS):
            await subscribe(socket, FOLLOW, str(n))
            assert (await read())["type"] == "next"
        await subscribe(socket, FOLLOW, "one more")
        refused = await read()
        assert refused["type"] == "error"
        assert api.hub.listeners == subscriptions.MOST_SUBSCRIPTIONS
        await socket.close()
        await emptied(api)


async def test_nobody_known_may_not_connect() -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connected(Api(None)):
            pass
    assert caught.value.response.status_code == 401


async def test_a_page_of_elsewhere_may_not_connect() -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with connected(Api(), Origin="https://elsewhere.example"):
            pass
    assert caught.value.response.status_code == 403


async def test_another_protocol_is_closed() -> None:
    with Api().served() as url, pytest.raises(ConnectionClosed):
        async with connect(url.replace("http", "ws") + "/graphql") as socket:
            await socket.recv()


def test_the_limits_are_those_that_are_documented() -> None:
    doc = limits.__doc__ or ""
    values = [limits.MOST_DEPTH, limits.MOST_ALIASES, limits.MOST_TOKENS, limits.MOST_COST]
    assert all(f"{each:,}" in doc for each in values)
