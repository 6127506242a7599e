"""What is repeated of what a client sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.redacted import body_of, is_secret, shown, text_of

KEY = "tl_k3v9x2ab_" + "s" * 43
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name", ["password", "Passwd", "client_secret", "access_token", "api_key", "API-Key", "Cookie"]
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize("name", ["symbol", "limit", "key", "timeframe", "from"])
def test_an_ordinary_name_is_no_secret(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (KEY, "tl_k3v9x2ab_***"),
        (f"a {KEY} b", "a tl_k3v9x2ab_*** b"),
        (f"Bearer {JWT}", "Bearer ***"),
        ("BTC/USD@KRAKEN", "BTC/USD@KRAKEN"),
    ],
)
def test_keys_and_tokens_are_taken_out_of_text(text: str, left: str) -> None:
    assert text_of(text) == left


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, None), (True, True), (3, 3), (1.5, 1.5), ("x" * 201, "x" * 200 + "..."),
        (float("inf"), "inf"), (10**400, "a very large number"), (b"ab", "b'ab'"),
        ({"a": {"token": [1]}}, {"a": {"token": "***"}}), ([KEY], ["tl_k3v9x2ab_***"]),
        ({KEY: 1}, {"tl_k3v9x2ab_***": 1}),
    ],
)  # fmt: skip
def test_a_value_is_told_as_json_holds_it(value: Any, told: Any) -> None:
    assert shown(value) == told


def test_what_is_nested_too_deep_is_cut() -> None:
    value: Any = "bottom"
    for _ in range(900):
        value = [value]

    assert "bottom" not in json.dumps(shown(value))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_whatever_is_told_can_be_written_as_json(value: Any) -> None:
    json.dumps(shown(value), allow_nan=False).encode()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_a_body_that_is_no_json_is_left_out(body: bytes) -> None:
    assert body_of(body) is None
