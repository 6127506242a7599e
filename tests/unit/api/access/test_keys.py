"""API keys: what they look like, what is kept of them, and how long they last."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.api.access import keys
from app.api.access.keys import ApiKey, NewKey
from app.api.access.roles import Role

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(**fields: Any) -> NewKey:
    return keys.new("desk", Role.VIEWER, NOW, **fields)


def test_a_key_has_an_id_of_8_and_a_secret_of_43_characters() -> None:
    new = made()

    prefix, key_id, secret = new.text.split("_", 2)
    assert (prefix, len(key_id), len(secret)) == ("tl", 8, 43)
    assert keys.parsed(new.text) == (new.key.id, secret)


def test_what_is_kept_is_the_hash_of_the_secret_and_not_the_secret() -> None:
    new = made()
    secret = new.text[12:]

    row = new.key.row()
    assert row["secret_hash"] == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(row)
    assert secret not in repr(new)


def test_no_two_keys_are_alike() -> None:
    assert len({made().text for _ in range(100)}) == len({made().key.id for _ in range(100)}) == 100


def test_the_secret_opens_and_nothing_else_does() -> None:
    new = made()
    secret = new.text[12:]

    assert new.key.opens(secret)
    for wrong in ("", secret[:-1], secret + "A", secret.swapcase(), made().text[12:]):
        assert not new.key.opens(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "", "tl_", "tl_short_" + "a" * 43, "tl_k3v9x2ab_" + "a" * 42, "tl_k3v9x2ab_" + "a" * 44,
        "tl_K3V9X2AB_" + "a" * 43, "tl_k3v9x2ab_" + "a" * 42 + "\n", " tl_k3v9x2ab_" + "a" * 43,
        "tl_k3v9x2ab_" + "é" * 43, "xl_k3v9x2ab_" + "a" * 43, "tl_k3v9x2ab_" + "a" * 43 + "\n",
    ],
)  # fmt: skip
def test_what_is_no_key_is_not_taken_for_one(text: str) -> None:
    assert keys.parsed(text) is None


def test_a_key_is_good_before_its_end_and_not_at_it() -> None:
    key = made(lifetime=HOUR).key

    assert key.state(NOW + HOUR - timedelta(microseconds=1)) == "active"
    assert key.state(NOW + HOUR) == "expired"
    assert made().key.state(NOW + 10_000 * HOUR) == "active"


def test_a_revoked_key_stays_revoked_whatever_its_end() -> None:
    row = {**made(lifetime=HOUR).key.row(), "revoked_at": NOW}

    assert ApiKey.of(row).state(NOW + 2 * HOUR) == ApiKey.of(row).state(NOW) == "revoked"


def test_a_row_gives_the_same_key_again() -> None:
    key = made(lifetime=HOUR, symbols=("BTC/*@*",), streams=("bars",)).key

    assert ApiKey.of({**key.row(), "symbols": ["BTC/*@*"], "secret_hash": memoryview(
        key.secret_hash)}) == key  # fmt: skip


def test_a_successor_is_the_same_but_for_its_secret_and_its_time() -> None:
    old = made(lifetime=3 * HOUR, symbols=("BTC/*@*",), streams=("quotes",))
    new = keys.successor(old.key, NOW + HOUR)

    assert new.key.rotated_from == old.key.id
    assert new.key.id != old.key.id
    assert not new.key.opens(old.text[12:])
    assert (new.key.created_at, new.key.expires_at) == (NOW + HOUR, NOW + 4 * HOUR)
    assert (new.key.name, new.key.role) == (old.key.name, old.key.role)
    assert (new.key.symbols, new.key.streams) == (old.key.symbols, old.key.streams)


def test_a_principal_holds_what_its_key_may() -> None:
    key = made(lifetime=HOUR, symbols=("BTC/*@*",), streams=("bars", "quotes")).key

    who = key.principal()
    assert (who.name, who.role, who.kind, who.id) == ("desk", Role.VIEWER, "key", key.id)
    assert who.expires_at == key.expires_at
    assert who.may_see("BTC/USD@KRAKEN")
    assert not who.may_see("ETH/BTC/USD@KRAKEN")
    assert who.may_follow("bars")
    assert not who.may_follow("ticks")


@pytest.mark.parametrize("name", ["", " desk", "desk ", "a\nb", "a\x1b[31m", "x" * 65])
def test_a_name_that_would_spoil_a_line_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 printable characters"):
        keys.new(name, Role.VIEWER, NOW)


@pytest.mark.parametrize(
    "fields", [{"symbols": ("",)}, {"symbols": ("BTC/USD",)}, {"streams": ("candles",)}]
)
def test_a_pattern_that_nothing_fits_is_refused(fields: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="pattern of"):
        made(**fields)
