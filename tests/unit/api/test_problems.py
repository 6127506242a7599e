"""Every error is a problem of RFC 9457, and none tells what is inside."""

import pytest

from app.api.problems import Problem, close_code
from tests.unit.api.access.house import SECRET_PLACE, House


@pytest.mark.parametrize(
    ("how", "status", "retry_after"),
    [
        ("store", 503, "2"),
        ("login", 503, "2"),
        ("late", 503, "2"),
        ("breaker", 503, "4"),
        ("bug", 500, None),
        ("teapot", 418, None),
        ("own", 409, None),
    ],
)
async def test_an_error_has_its_status_and_says_when_to_come_again(
    how: str, status: int, retry_after: str | None
) -> None:
    answer = await House().get(f"/fails/{how}")

    body = answer.json()
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (body["status"], body["instance"]) == (status, f"/fails/{how}")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "db.internal" not in answer.text
    assert SECRET_PLACE not in answer.text


async def test_a_problem_carries_its_own_members_and_names_its_kind() -> None:
    body = (await House().get("/fails/own")).json()

    assert body["type"] == "urn:tapeline:problem:several-venues"
    assert (body["title"], body["detail"]) == ("Several venues", "SPY is at two")
    assert body["venues"] == ["NYSE", "ARCA"]


async def test_headers_of_an_http_exception_stay() -> None:
    assert (await House().get("/fails/teapot")).headers["x-tea"] == "green"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/no", 404), ("PUT", "/open", 405)])
async def test_what_the_router_refuses_is_a_problem(method: str, path: str, status: int) -> None:
    answer = await House().ask(method, path)

    assert (answer.status_code, answer.json()["type"]) == (status, "about:blank")
    assert answer.headers["content-type"] == "application/problem+json"
    assert status != 405 or answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("0", "greater than or equal to 1"),
        ("1001", "less than or equal to 1000"),
        ("x", "valid integer"),
    ],
)
async def test_a_broken_rule_names_field_rule_and_value(given: str, rule: str) -> None:
    answer = await House().get(f"/number?limit={given}")

    (fault,) = answer.json()["errors"]
    assert (answer.status_code, fault["field"], fault["in"]) == (422, "limit", "query")
    assert rule in fault["rule"]
    assert fault["value"] == given
    assert f"limit: {fault['rule']}, was {given!r}" in answer.json()["detail"]


async def test_a_missing_field_is_named() -> None:
    (fault,) = (await House().get("/number")).json()["errors"]

    assert (fault["field"], fault["value"]) == ("limit", None)


async def test_the_value_of_a_secret_is_not_repeated() -> None:
    answer = await House().ask("POST", "/login", None, {"password": "hunter2"})

    assert (answer.status_code, answer.json()["errors"][0]["value"]) == (422, "***")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("body", [b"{", b"[1", b"\xff\xfe", b'{"password": 1e999}', b"[" * 5000])
async def test_a_body_that_is_no_json_is_a_problem(body: bytes) -> None:
    house = House()
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/login", "raw_path": b"/login",
        "query_string": b"", "headers": [(b"content-type", b"application/json")],
        "scheme": "http", "server": ("h", 1), "client": ("h", 2), "http_version": "1.1",
        "root_path": "",
    }  # fmt: skip
    await house.app(scope, receive, send)  # type: ignore[arg-type]

    assert sent[0]["status"] in {400, 422}
    assert b"application/problem+json" in dict(sent[0]["headers"])[b"content-type"]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("status", "code"), [(400, 1008), (403, 1008), (429, 1013), (503, 1013), (500, 1011)]
)
def test_a_websocket_is_closed_with_the_code_of_its_problem(status: int, code: int) -> None:
    assert close_code(Problem(status, "x")) == code
