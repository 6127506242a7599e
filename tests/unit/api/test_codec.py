"""Frames of both kinds, from a client's request to what it is sent."""

import json

import msgspec
import pytest

from app.api.codec import AS_JSON, AS_MSGPACK, MOST_BYTES, Codec
from app.api.outbox import Message
from app.api.problems import Problem

BOTH = pytest.mark.parametrize("codec", [AS_JSON, AS_MSGPACK], ids=["json", "msgpack"])


def frame(codec: Codec, value: object) -> bytes:
    """Return what a client of that kind sends."""
    return msgspec.msgpack.encode(value) if codec.binary else msgspec.json.encode(value)


@BOTH
def test_a_request_is_what_the_client_asks(codec: Codec) -> None:
    asked = codec.request(frame(codec, {"op": "subscribe", "id": "a", "streams": ["quotes:A@B"]}))

    assert (asked.op, asked.id, asked.streams, asked.resume) == (
        "subscribe", "a", ["quotes:A@B"], {},
    )  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"op": 1}, "Expected `str`, got `int` - at `$.op`"),
        ({"op": "ping", "stream": []}, "unknown field `stream`"),
        ({}, "missing required field `op`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_request_is_told_the_field_and_its_rule(
    codec: Codec, value: object, said: str
) -> None:
    with pytest.raises(Problem) as caught:
        codec.request(frame(codec, value))

    assert caught.value.status == 400
    assert said in caught.value.detail


@BOTH
@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"{"])
def test_what_is_no_frame_of_its_kind_is_a_problem_too(codec: Codec, garbage: bytes) -> None:
    with pytest.raises(Problem) as caught:
        codec.request(garbage)

    assert caught.value.status == 400


@BOTH
def test_a_request_may_be_as_long_as_the_limit_and_no_longer(codec: Codec) -> None:
    around = len(frame(codec, {"op": "x" * 60_000})) - 60_000

    assert codec.request(frame(codec, {"op": "x" * (MOST_BYTES - around)})).op
    with pytest.raises(Problem, match="had 65537") as caught:
        codec.request(frame(codec, {"op": "x" * (MOST_BYTES - around + 1)}))
    assert caught.value.status == 413


def test_both_kinds_say_the_same_of_records_that_are_json_already() -> None:
    raw = msgspec.Raw(b'{"bid":"1.5","ask":null}')
    for data in (raw, [raw, raw], []):
        message = Message("update", "quotes:A@B", 3, "0-7", data, merged=2)

        said = json.loads(AS_JSON.payload(message))

        assert msgspec.msgpack.decode(AS_MSGPACK.payload(message)) == said
        assert (said["seq"], said["merged"]) == (3, 2)
        assert "missed" not in said
