"""The API against its own description: whatever fits it, and much that does not, is asked for.

Data are in the stores, the names in the requests are sometimes right: half of the routes answer
with records, the others say what is wrong. Nothing may be answered with a 5xx, and all is as the
description says: status, media type, and every value of every body.
"""

from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from prometheus_client import CollectorRegistry

from app.api import quotes
from app.api.access import keys
from app.api.access.gate import Access
from app.api.access.roles import Principal, Role
from app.api.problems import MEDIA_TYPE
from app.api.streams import Noun
from connectors.access_memory import MemoryAuditLog, MemoryKeyStore
from tests.unit.api.api import SECRET_PLACE, Api, anomaly, bar, gap, quote, tick

EXAMPLES = 40
"""Of each route."""
NAMES = ["BTC/USD@KRAKEN", "BTC/USD", "ETH/USD@KRAKEN", "NO/SUCH@KRAKEN"]


class Brief(Access):
    """Ends every stream at its first heartbeat, so that its answer has an end."""

    async def is_still_good(self, who: Principal) -> bool:  # noqa: ARG002 - as it is called
        return False


def fed() -> Api:
    """Return an API with some of everything, behind the real door."""
    api = Api(API_RATE_PER_MINUTE="0")
    store = MemoryKeyStore()
    store.put(KEY.key.row())
    store.put(VIEWER.key.row())
    Brief.of(api.settings, store, MemoryAuditLog(), CollectorRegistry()).install(api.app)
    api.keep(bars=[bar(), bar(timeframe="H1")], quotes=[quote()], ticks=[tick()])
    api.publish(Noun.QUOTES, quote(symbol="ETH/USD"), quote(symbol="ETH/USD", venue="COINBASE"))
    api.publish(Noun.BARS, bar(symbol="ETH/USD"))
    api.publish(Noun.ANOMALIES, anomaly(), anomaly(value=None))
    api.open_gap(gap(), gap(from_id=9, repaired_at=gap()["before_time"], repaired_by="backfill"))
    return api


KEY = keys.new("tests", Role.ADMIN, datetime.now(UTC))
VIEWER = keys.new("somebody", Role.VIEWER, datetime.now(UTC))
API = fed()
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", API.app)
DESCRIBED = API.app.openapi()
OPERATIONS = [
    (path, method.upper()) for path, methods in DESCRIBED["paths"].items() for method in methods
]
HEADERS = {"Authorization": f"Bearer {KEY.text}"}


@SCHEMA.hook
def map_path_parameters(_context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Let half of the names be of something."""
    if given and isinstance(given.get("symbol"), str) and len(given["symbol"]) % 2:
        given["symbol"] = NAMES[len(given["symbol"]) // 2 % len(NAMES)]
    return given


@pytest.fixture(autouse=True)
def _short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "HEARTBEAT_S", 0.005)


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_what_is_answered_is_what_is_described(case: schemathesis.Case) -> None:
    response = case.call(headers=HEADERS)

    assert response.status_code < 500, response.text
    case.validate_response(response)
    assert API.hub.listeners == 0


def case_of(path: str, method: str) -> schemathesis.Case:
    """Return a request that finds something."""
    needs_series = path.endswith("/stream")
    return SCHEMA[path][method].Case(
        path_parameters={"symbol": NAMES[0]} if "{symbol}" in path else {},
        query={"symbols": NAMES[0]} if needs_series else {},
    )


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_route_succeeds_as_described(path: str, method: str) -> None:
    case = case_of(path, method)

    response = case.call(headers=HEADERS)

    assert response.status_code == 200, response.text
    assert "data" not in response.text[:7] or response.json()["data"] not in ([], {})
    case.validate_response(response)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_route_has_an_example_that_fits_and_says_how_it_refuses(
    path: str, method: str
) -> None:
    responses = DESCRIBED["paths"][path][method.lower()]["responses"]
    [content] = responses["200"]["content"].values()

    assert "example" in content
    if content.get("schema", {}).get("type") == "object":
        jsonschema_rs.Draft202012Validator(content["schema"]).validate(content["example"])
    if path not in {"/livez", "/readyz"}:
        for status in ("400", "401", "403", "404", "409", "422", "429", "503"):
            assert [*responses[status]["content"]] == [MEDIA_TYPE]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_without_a_key_every_route_but_the_probes_is_closed(path: str, method: str) -> None:
    response = case_of(path, method).call()

    if path in {"/livez", "/readyz"}:
        assert response.status_code == 200
    else:
        assert response.status_code == 401
        assert response.headers["content-type"] == [MEDIA_TYPE]
        assert response.headers["www-authenticate"]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_a_role_that_is_too_low_is_refused_as_described(path: str, method: str) -> None:
    case = case_of(path, method)
    response = case.call(headers={"Authorization": f"Bearer {VIEWER.text}"})

    closed = path.startswith(("/api/pipeline", "/admin", "/metrics", "/api/quotes/history"))
    assert response.status_code == (403 if closed else 200)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_servers_that_are_away_are_a_503_that_says_when(path: str, method: str) -> None:
    api = fed()
    for edge in (api.hot_edge, api.warm_edge, api.past_edge):
        edge.is_away = True
    schema = schemathesis.openapi.from_asgi("/openapi.json", api.app)
    given = case_of(path, method)
    case = schema[path][method].Case(path_parameters=given.path_parameters, query=given.query)

    response = case.call(headers=HEADERS)

    assert response.status_code in {200, 503}
    if response.status_code == 503:
        assert int(response.headers["retry-after"][0]) >= 1
        assert SECRET_PLACE not in response.text
        assert response.headers["content-type"] == [MEDIA_TYPE]


async def test_a_stream_of_a_name_that_no_series_can_have_leaves_nobody_listening() -> None:
    api = Api()
    async with api.client() as client:
        response = await client.get(
            "/api/quotes/stream", params={"symbols": "BTC/USD@KRAKEN,no name@KRAKEN"}
        )

    assert response.status_code == 404
    assert api.hub.listeners == 0


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/admin/pipeline/cleanup", "POST"),
        ("POST", "/api/symbols", "GET"),
        ("DELETE", "/livez", "GET"),
    ],
)
async def test_a_method_that_a_route_does_not_have_is_told_which_it_has(
    method: str, path: str, allowed: str
) -> None:
    """The page is at the root of all paths, and must not answer for the API's."""
    async with Api().client() as client:
        response = await client.request(method, path)

    assert response.status_code == 405
    assert response.headers["allow"] == allowed


async def test_paths_that_are_none_are_one_label() -> None:
    """The metrics' labels are a closed set, whatever is asked for."""
    api = Api()
    async with api.client() as client:
        for path in ("/", "/style.css", "/nothing", "/api/nothing", "/a/b/c"):
            await client.get(path)
        text = (await client.get("/metrics")).text

    labels = {
        line.partition('route="')[2].partition('"')[0]
        for line in text.splitlines()
        if line.startswith("tapeline_api_request_seconds_count")
    }
    assert len(labels) <= 2, labels
