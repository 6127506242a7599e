"""Every admin call is in the audit log, before it is made and after."""

import asyncio
import hashlib
import json
from time import sleep
from typing import Any

import pytest
import structlog

from app.api.access.audit import LONGEST_BODY
from tests.unit.api.access.house import SECRET_PLACE, House


def phases(house: House) -> list[tuple[str, int | None]]:
    return [(row["phase"], row["status"]) for row in house.log.rows()]


async def test_an_admin_call_is_written_before_and_after() -> None:
    house = House()
    made = house.key("admin", name="ann")

    answer = await house.ask(
        "POST", "/admin/do?dry=1&token=abc", made.text, {"days": 3}, X_Request_ID="r-17"
    )

    intent, outcome = house.log.rows()
    assert answer.status_code == 200
    body = b'{"days":3}'
    same = {
        "name": "ann", "role": "admin", "kind": "key", "key_id": made.key.id, "method": "POST",
        "path": "/admin/do", "query": "dry=1&token=***", "body": '{"days": 3}',
        "body_sha256": hashlib.sha256(body).hexdigest(), "client": "127.0.0.1",
        "request_id": "r-17", "call_id": outcome["call_id"],
    }  # fmt: skip
    assert {name: intent[name] for name in same} == same
    assert {name: outcome[name] for name in same} == same
    assert phases(house) == [("intent", None), ("outcome", 200)]
    assert intent["at"] <= outcome["at"]


async def test_a_call_that_passes_two_guards_is_written_once() -> None:
    house = House()

    assert (await house.get("/admin/twice", house.key("admin").text)).status_code == 200
    assert phases(house) == [("intent", None), ("outcome", 200)]


async def test_what_cannot_be_written_is_not_done() -> None:
    house = House()
    key = house.key("admin").text
    house.log.room = 0

    answer = await house.ask("POST", "/admin/do", key, {})

    assert (answer.status_code, house.done) == (503, [])
    assert int(answer.headers["retry-after"]) >= 1
    assert "audit log cannot be written" in answer.json()["detail"]
    assert SECRET_PLACE not in answer.text


async def test_a_log_that_does_not_answer_refuses_the_call_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    key = house.key("admin").text
    monkeypatch.setattr(house.access._trail._aside, "_timeout_s", 0.05)
    monkeypatch.setattr(house.log, "append", lambda _row: sleep(0.5))

    answer = await asyncio.wait_for(house.ask("POST", "/admin/do", key, {}), 30)

    assert (answer.status_code, house.done) == (503, [])


async def test_an_outcome_that_cannot_be_written_is_said_and_changes_nothing() -> None:
    house = House()
    key = house.key("admin").text
    house.log.room = 1

    with structlog.testing.capture_logs() as logged:
        answer = await house.ask("POST", "/admin/do", key, {})

    assert (answer.status_code, house.done) == (200, ["done"])
    (told,) = [each for each in logged if each["event"] == "outcome not in the audit log"]
    assert (told["log_level"], told["status"]) == ("error", 200)
    assert house.counted("tapeline_api_unwritten_outcomes_total") == 1


@pytest.mark.parametrize(
    ("how", "status"), [("own", 409), ("store", 503), ("teapot", 418), ("bug", 500)]
)
async def test_a_call_that_fails_has_its_status(how: str, status: int) -> None:
    house = House()

    answer = await house.ask("POST", "/admin/do", house.key("admin").text, {"fail": how})

    assert answer.status_code == status
    assert phases(house) == [("intent", None), ("outcome", status)]


async def test_a_body_that_keeps_no_rule_is_an_outcome_too() -> None:
    house = House()

    answer = await house.ask("POST", "/admin/do", house.key("admin").text, [1])

    assert answer.status_code == 422
    assert phases(house) == [("intent", None), ("outcome", 422)]


async def test_who_may_not_is_written_as_refused() -> None:
    house = House()
    answer = await house.ask("POST", "/admin/do", house.key("ops").text, {})

    assert answer.status_code == 403
    assert phases(house) == [("refused", 403)]
    assert house.log.rows()[0]["role"] == "ops"


async def test_who_may_not_is_refused_although_it_cannot_be_written() -> None:
    house = House()
    house.log.room = 0

    assert (await house.ask("POST", "/admin/do", house.key("ops").text, {})).status_code == 403


async def test_strangers_cannot_fill_the_log() -> None:
    house = House()
    house.key()

    assert (await house.ask("POST", "/admin/do", None, {})).status_code == 401
    assert house.log.rows() == []


async def test_other_calls_are_not_written() -> None:
    house = House()
    key = house.key("admin").text

    assert (await house.get("/ops", key)).status_code == 200
    assert (await house.get("/open")).status_code == 200
    assert house.log.rows() == []


async def test_an_open_api_is_audited_as_well() -> None:
    house = House()

    assert (await house.ask("POST", "/admin/do", None, {})).status_code == 200
    assert [row["kind"] for row in house.log.rows()] == ["open", "open"]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"password": "hunter2", "days": 3}, {"password": "***", "days": 3}),
        ({"a": [{"api_key": "x"}]}, {"a": [{"api_key": "***"}]}),
        ({"note": "tl_k3v9x2ab_" + "s" * 43}, {"note": "tl_k3v9x2ab_***"}),
        ({"text": "y" * 300}, {"text": "y" * 200 + "..."}),
        ({"n": ["0"] * LONGEST_BODY}, None),
    ],
)
async def test_no_secret_and_nothing_long_is_kept(body: Any, kept: Any) -> None:
    house = House()

    await house.ask("POST", "/admin/do", house.key("admin").text, body)

    row = house.log.rows()[0]
    assert (json.loads(row["body"]) if row["body"] else None) == kept
    assert row["body_sha256"] is not None


async def test_a_request_id_is_the_clients_when_it_is_plain_and_else_made_up() -> None:
    house = House()

    given = await house.get("/open", X_Request_ID="abc-1.2_3")
    odd = await house.get("/open", X_Request_ID="a b\x7f")
    missing = await house.get("/nowhere")

    assert given.headers["x-request-id"] == "abc-1.2_3"
    assert len(odd.headers["x-request-id"]) == len(missing.headers["x-request-id"]) == 32
    assert missing.json()["request_id"] == missing.headers["x-request-id"]
