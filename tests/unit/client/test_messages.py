"""Frames to messages, and what is done when something is wrong with them: without a socket."""

import json
from typing import Any

import pytest

from app.client.backoff import FIRST_S, LONGEST_S, Backoff
from app.client.effects import Close, Effect, Emit, Open, Pause, Receive, Send, Steps
from app.client.errors import ApiProblem, Unreachable, refused, retry_after_s
from app.client.following import follow
from app.client.messages import Followed, Message
from schemas.json_form import to_json
from tests.unit.api.api import quote

NAME = "quotes:BTC/USD@KRAKEN"
DATA = json.loads(to_json("quote", quote()))


def followed(*streams: str, tokens: dict[str, str] | None = None) -> Followed:
    made = Followed([*streams] or [NAME], None, None, tokens or {})
    list(made.opening())
    return made


def said(kind: str, seq: int, **fields: Any) -> str:
    data = DATA if kind == "update" else []
    message = {"type": kind, "stream": NAME, "seq": seq, "token": f"0-{seq}", "data": data}
    return json.dumps({**message, **fields})


def test_a_message_has_rows_and_the_place_to_go_on_from() -> None:
    it = followed()

    first, second = it.take(said("snapshot", 0)), it.take(said("update", 1, merged=3, missed=2))

    assert first == Message("snapshot", NAME, [], "0-0")
    assert second is not None
    assert (second.row, second.token, second.merged, second.missed) == (quote(), "0-1", 3, 2)
    assert it.tokens == {NAME: "0-1"}


@pytest.mark.parametrize("seq", [0, 1, 3, 9])
def test_a_message_that_does_not_go_on_is_seen(seq: int) -> None:
    """1 is said twice, 3 and 9 leave something out: only 2 goes on."""
    it = followed()
    it.take(said("snapshot", 0))
    it.take(said("update", 1))

    with pytest.raises(Unreachable, match=f"must go on with message 2, was {seq}"):
        it.take(said("update", seq))
    assert it.tokens == {NAME: "0-1"}, "the place behind which nothing is lost"


def test_each_stream_is_counted_on_its_own() -> None:
    other = "quotes:ETH/USD@KRAKEN"
    it = followed(NAME, other)

    for seq in (0, 1, 2):
        for name in (NAME, other):
            assert it.take(said("update" if seq else "snapshot", seq, stream=name)) is not None


def test_a_new_connection_counts_anew_and_asks_for_what_came_since() -> None:
    it = followed()
    it.take(said("snapshot", 0))
    it.take(said("update", 1))

    [asked] = it.opening()

    assert json.loads(asked)["resume"] == {NAME: "0-1"}
    resumed = it.take(said("resumed", 0, token="0-1"))  # noqa: S106 - a place, no secret
    assert resumed is not None
    assert not resumed.is_anew
    assert it.take(said("update", 1)) is not None


def test_an_update_before_its_beginning_is_seen() -> None:
    it = followed()
    it.take(said("snapshot", 0))
    list(it.opening())

    with pytest.raises(Unreachable, match="must go on with message 0, was 1"):
        it.take(said("update", 1))


def test_a_snapshot_in_place_of_a_resumption_says_so() -> None:
    it = followed(tokens={NAME: "0-5"})

    anew = it.take(said("snapshot", 0))

    assert anew is not None
    assert anew.is_anew


def test_many_streams_are_asked_for_in_several_requests() -> None:
    names = [f"bars:{n:032d}@{'V' * 32}:{'M' * 24}" for n in range(250)]
    it = Followed(names, 0.0, 50.0, dict.fromkeys(names, "123456-1234567890123456789"))

    asked = list(it.opening())

    assert [len(json.loads(each)["streams"]) for each in asked] == [100, 100, 50]
    assert all(len(each) < 65_536 for each in asked)
    assert {json.loads(each)["rate"] for each in asked} == {50.0}
    assert {json.loads(each)["throttle"] for each in asked} == {0.0}


def test_only_a_change_of_stale_is_told() -> None:
    it = followed()

    told = [
        it.take(json.dumps({"type": "heartbeat", "time": 0, "stale": stale, "age_s": 7.5}))
        for stale in (False, True, True, False)
    ]

    assert [each and each.stale for each in told] == [None, True, None, False]
    assert it.beats == 4


def test_what_is_said_after_a_heartbeat_is_marked_as_stale() -> None:
    it = followed()
    it.take(said("snapshot", 0))
    it.take(json.dumps({"type": "heartbeat", "time": 0, "stale": True, "age_s": 7.5}))

    message = it.take(said("update", 1))

    assert message is not None
    assert (message.stale, message.age_s) == (True, 7.5)


@pytest.mark.parametrize("names", [[], ["candles:BTC/USD@KRAKEN"]])
def test_streams_that_are_none_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="stream"):
        Followed(names, None, None, {})


class Driven:
    """Takes steps by hand."""

    def __init__(self, steps: Steps[None]) -> None:
        self.steps = steps
        self.at: Effect = next(steps)

    def send(self, result: Any = None) -> Effect:
        self.at = self.steps.send(result)
        return self.at

    def fail(self, error: Exception) -> Effect:
        self.at = self.steps.throw(error)
        return self.at


def until_receive(it: Driven) -> None:
    while not isinstance(it.at, Receive):
        it.send()


def pause_after(it: Driven, error: Exception) -> float:
    """Fail, and return the pause that follows."""
    assert it.fail(error) == Close()
    status = it.send()
    assert isinstance(status, Emit)
    assert status.value.connected is False
    assert status.value.stale is True
    pause = it.send()
    assert isinstance(pause, Pause)
    assert it.send() == Open()
    return pause.seconds


def test_a_connection_is_opened_asked_and_read() -> None:
    it = Driven(follow(Followed([NAME], None, None, {}), patience_s=25.0))

    assert it.at == Open()
    assert isinstance(it.send(), Send)
    assert it.send() == Receive(25.0)
    assert isinstance(it.send(said("snapshot", 0)), Emit)
    assert it.send() == Receive(25.0)
    assert it.send(json.dumps({"type": "subscribed", "id": 0, "streams": [NAME]})) == Receive(25.0)


def test_pauses_grow_while_nothing_works() -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))

    pauses = [pause_after(it, Unreachable("gone")) for _ in range(12)]

    bounds = [min(LONGEST_S, FIRST_S * 2**n) for n in range(12)]
    assert all(b / 2 <= p <= b for b, p in zip(bounds, pauses, strict=True))
    assert bounds[-1] == LONGEST_S
    assert len(set(pauses)) == 12, "with jitter"


def test_pauses_begin_anew_once_a_connection_has_lasted() -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))
    for _ in range(8):
        pause_after(it, Unreachable("gone"))

    until_receive(it)
    it.send(said("snapshot", 0))
    assert pause_after(it, Unreachable("cut at once")) > 10
    until_receive(it)
    it.send(json.dumps({"type": "heartbeat", "time": 0, "stale": False, "age_s": 0.1}))
    assert pause_after(it, Unreachable("cut later")) <= FIRST_S


def test_a_wait_that_is_asked_for_is_kept() -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))

    assert 7 <= pause_after(it, ApiProblem(503, "Unavailable for now", "", 7.0)) < 8
    assert 90 <= pause_after(it, ApiProblem(429, "Too many requests", "", 90.0)) < 91


@pytest.mark.parametrize(
    "problem",
    [
        ApiProblem(401, "Unauthorized"),
        ApiProblem(403, "Not allowed"),
        ApiProblem(404, "Not Found"),
        ApiProblem(429, "Too many streams"),
    ],
)
def test_what_would_not_be_better_later_is_raised(problem: ApiProblem) -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))

    assert it.fail(problem) == Close()
    with pytest.raises(ApiProblem) as caught:
        it.send()
    assert caught.value is problem


def test_a_stream_that_is_refused_is_raised() -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))
    until_receive(it)

    problem = {"title": "Not allowed", "status": 403, "detail": "desk may not follow it"}
    assert it.send(json.dumps({"type": "error", "id": 0, "problem": problem})) == Close()
    with pytest.raises(ApiProblem, match="403 Not allowed: desk may not follow it"):
        it.send()


def test_a_lost_message_makes_the_connection_anew_from_the_last_one() -> None:
    it = Driven(follow(Followed([NAME], None, None, {})))
    until_receive(it)
    it.send(said("snapshot", 0))
    until_receive(it)

    assert it.send(said("update", 2)) == Close()
    while not isinstance(it.at, Send):
        it.send()
    assert json.loads(it.at.frame)["resume"] == {NAME: "0-0"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, None), ("7", 7.0), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_a_count_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text) == seconds


def test_a_date_in_the_future_is_waited_for() -> None:
    wait_s = retry_after_s("Fri, 01 Jan 2100 00:00:00 GMT")
    assert wait_s is not None
    assert wait_s > 1e6


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"'])
def test_an_answer_of_a_proxy_is_a_problem_too(body: bytes) -> None:
    problem = refused(502, {"retry-after": "3"}, body)

    assert (problem.status, problem.title, problem.retry_after_s) == (502, "Bad Gateway", 3.0)
    assert problem.is_passing


def test_a_pause_is_never_shorter_than_asked_for() -> None:
    backoff = Backoff()

    assert all(backoff.next_s(5.0) >= 5.0 for _ in range(100))
