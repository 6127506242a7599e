"""What a route's guard lets in, and what it answers to all others."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import structlog

from app.api.access.credentials import Shown
from app.api.access.keys import successor
from app.api.access.roles import Principal, Role
from tests.unit.api.access.house import SECRET_PLACE, House

ROLES = [role.value for role in Role]


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "instance"} <= set(body)
    return body


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("needed", ROLES)
async def test_a_role_may_do_what_those_before_it_may(has: str, needed: str) -> None:
    house = House()

    answer = await house.get(f"/{needed}", house.key(has).text)

    is_enough = ROLES.index(has) >= ROLES.index(needed)
    assert answer.status_code == (200 if is_enough else 403)
    if not is_enough:
        assert problem(answer)["needed"] == needed
        assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
        assert house.counted("tapeline_api_refused_requests_total", reason="forbidden") == 1


@pytest.mark.parametrize("header", ["Authorization", "authorization", "X-API-Key"])
async def test_a_key_comes_in_either_header(header: str) -> None:
    house = House()
    made = house.key()
    text = made.text if header == "X-API-Key" else f"Bearer {made.text}"

    answer = await house.get("/viewer", None, **{header: text})

    assert answer.json() == f"desk viewer key {made.key.id}"


async def test_who_shows_nothing_is_told_what_to_show() -> None:
    house = House()
    house.key()

    answer = await house.get("/viewer")

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="tapeline"'
    assert "API key or a JWT" in problem(answer)["detail"]
    assert house.counted("tapeline_api_refused_requests_total", reason="unauthenticated") == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("secret", "This API key is not known."),
        ("id", "This API key is not known."),
        ("form", "This is no API key"),
        ("cut", "This is no API key"),
        ("empty", "Authorization must be: Bearer"),
        ("jwt", "JWTs are not configured"),
    ],
)
async def test_a_wrong_key_is_refused_and_not_repeated(wrong: str, told: str) -> None:
    """Nobody learns from the answer whether the id or the secret was wrong."""
    house = House()
    text = house.key().text
    last = "A" if text[-1] != "A" else "B"
    shown = {
        "secret": text[:-1] + last,
        "id": "tl_00000000" + text[11:],
        "form": "tl_nothing",
        "cut": text[:-1],
        "empty": "",
        "jwt": "eyJhbGciOiJub25lIn0.e30.",
    }[wrong]

    answer = await house.get("/viewer", shown)

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert told in problem(answer)["detail"]
    assert not shown or shown not in answer.text


async def test_another_scheme_than_bearer_is_refused() -> None:
    house = House()
    key = house.key().text

    answer = await house.get("/viewer", None, Authorization=f"Basic {key}", X_API_Key=key)

    assert (answer.status_code, key in answer.text) == (401, False)


async def test_an_expired_key_is_refused_once_its_secret_is_right() -> None:
    house = House()
    made = house.key(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    right = await house.get("/viewer", made.text)
    wrong = await house.get("/viewer", made.text[:-2] + "xx")

    assert (right.status_code, wrong.status_code) == (401, 401)
    assert f"The API key {made.key.id} is expired." in problem(right)["detail"]
    assert made.key.id not in problem(wrong)["detail"]


async def test_a_key_ends_while_it_is_held() -> None:
    """Its end is looked at on every request, not when it is read."""
    house = House()
    made = house.key()
    assert (await house.get("/viewer", made.text)).status_code == 200
    held, at = house.access._ring._held[made.key.id]
    house.access._ring._held[made.key.id] = (
        type(held).of({**held.row(), "expires_at": datetime.now(UTC)}), at,
    )  # fmt: skip

    assert (await house.get("/viewer", made.text)).status_code == 401
    assert house.keys.asked == 1


async def test_a_revoked_key_is_refused_within_30_s() -> None:
    house = House()
    made = house.key()
    assert (await house.get("/viewer", made.text)).status_code == 200
    house.keys.revoke(made.key.id, datetime.now(UTC))

    house.clock.now_s += 30
    answer = await house.get("/viewer", made.text)

    assert (answer.status_code, "is revoked" in problem(answer)["detail"]) == (401, True)


async def test_a_rotated_key_and_its_successor_are_good_together() -> None:
    house = House()
    old = house.key("trader")
    new = successor(old.key, datetime.now(UTC))
    house.keys.rotate(new.key.row(), datetime.now(UTC) + timedelta(hours=1))

    answers = [await house.get("/trader", made.text) for made in (old, new)]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_a_token_in_the_query_is_for_streams_alone() -> None:
    house = House()
    key = house.key().text

    stream = await house.get(f"/stream?access_token={key}")
    other = await house.get(f"/viewer?access_token={key}")

    assert (stream.status_code, other.status_code) == (200, 401)
    assert "WebSockets and event streams alone" in problem(other)["detail"]
    assert key not in other.text


async def test_a_header_counts_before_the_query() -> None:
    house = House()

    answer = await house.get(f"/stream?access_token={house.key().text}", "tl_nothing")

    assert answer.status_code == 401


async def test_over_the_limit_is_429_with_retry_after() -> None:
    house = House(API_RATE_PER_MINUTE="3")
    mine, other = house.key().text, house.key().text

    answers = [await house.get("/viewer", mine) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    told = problem(answers[-1])
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert (told["limit"], told["remaining"]) == (3, 0)
    assert (await house.get("/viewer", other)).status_code == 200
    assert house.counted("tapeline_api_refused_requests_total", reason="over_limit") == 1


async def test_a_request_that_passes_two_guards_is_counted_once() -> None:
    house = House(API_RATE_PER_MINUTE="2")
    key = house.key("trader").text

    answers = [await house.get("/trader", key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_made_up_keys_cannot_keep_the_store_busy() -> None:
    house = House(API_RATE_PER_MINUTE="5")
    good = house.key().text
    assert (await house.get("/viewer", good)).status_code == 200

    answers = [await house.get("/viewer", f"tl_{n:08}_{'x' * 43}") for n in range(10)]

    assert [answer.status_code for answer in answers] == [401] * 4 + [429] * 6
    assert house.keys.asked == 5
    assert (await house.get("/viewer", good)).status_code == 200


async def test_while_postgres_is_away_known_keys_are_good_for_ten_minutes() -> None:
    house = House()
    known, unknown = house.key().text, house.key().text
    assert (await house.get("/viewer", known)).status_code == 200
    house.keys.is_away = True

    house.clock.now_s += 599
    still, never = await house.get("/viewer", known), await house.get("/viewer", unknown)
    house.clock.now_s += 1
    over = await house.get("/viewer", known)

    assert [answer.status_code for answer in (still, never, over)] == [200, 503, 503]
    assert int(over.headers["retry-after"]) >= 1
    assert SECRET_PLACE not in over.text + never.text
    house.keys.is_away = False
    house.clock.now_s += 10
    assert (await house.get("/viewer", unknown)).status_code == 200


async def test_a_wrong_secret_is_refused_while_postgres_is_away() -> None:
    house = House()
    key = house.key().text
    await house.get("/viewer", key)
    house.keys.is_away = True
    house.clock.now_s += 60

    assert (await house.get("/viewer", key[:-2] + "xx")).status_code == 401


async def test_long_connections_are_asked_again() -> None:
    house = House()
    made, brief = house.key(), house.key(lifetime=timedelta(hours=1))
    assert await house.access.is_still_good(made.key.principal())
    assert await house.access.is_still_good(brief.key.principal())

    house.keys.revoke(made.key.id, datetime.now(UTC))
    assert await house.access.is_still_good(made.key.principal())
    house.clock.now_s += 30
    assert not await house.access.is_still_good(made.key.principal())


@pytest.mark.parametrize(("left", "is_good"), [(1, True), (-1, False)])
async def test_a_long_connection_ends_with_its_token(left: int, is_good: bool) -> None:
    ends = datetime.now(UTC) + timedelta(hours=left)
    who = Principal("ann", Role.VIEWER, "jwt", "ann", ends)

    assert await House().access.is_still_good(who) is is_good


async def test_an_outage_does_not_cut_long_connections_off() -> None:
    house = House()
    who = house.key().key.principal()
    house.keys.is_away = True

    assert await house.access.is_still_good(who)


@pytest.mark.parametrize("way", ["header", "query"])
async def test_a_websocket_is_let_in_by_header_or_query(way: str) -> None:
    house = House()
    key = house.key("trader").text
    headers = {"Authorization": f"Bearer {key}"} if way == "header" else {}
    path = "/ws" if way == "header" else f"/ws?access_token={key}"

    sent = await house.websocket(path, **headers)

    assert [message["type"] for message in sent] == [
        "websocket.accept", "websocket.send", "websocket.close",
    ]  # fmt: skip
    assert sent[1]["text"] == "desk"


@pytest.mark.parametrize(
    ("shown", "status"),
    [("nothing", 401), ("viewer", 403), ("trader, away", 503), ("trader, often", 429)],
)
async def test_a_websocket_is_refused_with_a_problem_before_it_is_accepted(
    shown: str, status: int
) -> None:
    house = House(API_RATE_PER_MINUTE="2")
    role = "viewer" if shown == "viewer" else "trader"
    key = house.key(role).text
    path = "/ws" if shown == "nothing" else f"/ws?access_token={key}"
    if shown == "trader, often":
        await house.websocket(path)
        await house.websocket(path)
    house.keys.is_away = shown == "trader, away"

    start, body = await house.websocket(path)

    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
    assert headers["content-type"] == "application/problem+json"
    assert ("retry-after" in headers) == (status in {429, 503})
    assert ("www-authenticate" in headers) == (status in {401, 403})
    assert json.loads(body["body"])["status"] == status
    assert key.encode() not in body["body"]


@pytest.mark.parametrize(("how", "code"), [("store", 1013), ("own", 1008), ("breaker", 1013)])
async def test_an_accepted_websocket_that_fails_is_closed_with_a_code(how: str, code: int) -> None:
    house = House()

    sent = await house.websocket(f"/ws?access_token={house.key('trader').text}", how)

    assert (sent[-1]["type"], sent[-1]["code"]) == ("websocket.close", code)
    assert SECRET_PLACE not in sent[-1]["reason"]


async def test_the_openapi_document_says_how_to_authenticate() -> None:
    document = (await House().get("/openapi.json")).json()

    assert document["paths"]["/viewer"]["get"]["security"] == [{"bearer": []}, {"apiKey": []}]
    assert "security" not in document["paths"]["/open"]["get"]
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-API-Key"
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_no_secret_is_in_a_log_a_repr_or_a_problem() -> None:
    house = House()
    made = house.key("admin")
    secret = made.text[len("tl_12345678_") :]
    with structlog.testing.capture_logs() as logged:
        answers = [
            await house.get("/viewer", made.text),
            await house.get(f"/viewer?access_token={made.text}"),
            await house.ask("POST", "/admin/do", made.text, json={"key": made.text, "fail": "bug"}),
            await house.ask("POST", "/admin/do", made.text, json=[made.text]),
            await house.get(f"/number?limit={made.text}"),
            await house.get(f"/no/{made.text}"),
            await house.get(f"/fails/{made.text}"),
            await house.get("/viewer", made.text + "x"),
        ]
    told = [answer.text for answer in answers]
    credential = Shown(made.text, is_key=True)
    shown = [repr(each) for each in (made, made.key, made.key.principal(), credential)]
    assert [answer.status_code for answer in answers] == [200, 401, 500, 422, 422, 404, 500, 401]

    everything = "\n".join([*told, *shown, json.dumps(logged, default=str), repr(house.log.rows())])
    assert secret not in everything
    assert repr(made.key.secret_hash) not in everything.replace(repr(house.keys._rows), "")
