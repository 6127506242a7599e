"""When nobody needs a key: on loopback, before the first one, and for this machine alone."""

from datetime import UTC, datetime

import pytest
import structlog

from app.errors import ConfigError
from tests.unit.api.access.house import House

LOOPBACK = ["127.0.0.1", "localhost", "::1"]
JWKS = "https://id.example.com/jwks"


@pytest.mark.parametrize("host", LOOPBACK)
async def test_without_keys_everyone_on_loopback_is_admin_and_it_is_said(host: str) -> None:
    house = House(API_HOST=host)

    with structlog.testing.capture_logs() as logged:
        await house.access.start()
    answer = await house.get("/admin")

    assert answer.json() == "everyone on this machine admin open open"
    (told,) = [each for each in logged if each["event"] == "API open"]
    assert (told["log_level"], told["host"]) == ("warning", host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "api.example.com"])  # noqa: S104
async def test_without_keys_no_other_address_is_served(host: str) -> None:
    house = House(API_HOST=host)

    with pytest.raises(ConfigError) as caught:
        await house.access.start()

    assert str(caught.value).startswith("API_HOST must be a loopback address such as 127.0.0.1")
    assert str(caught.value).endswith(f"was {host!r}")
    assert (await house.get("/viewer")).status_code == 401


async def test_with_a_key_another_address_is_served_and_nobody_is_let_in_without() -> None:
    house = House(API_HOST="0.0.0.0")  # noqa: S104
    key = house.key().text

    await house.access.start()

    assert (await house.get("/viewer")).status_code == 401
    assert (await house.get("/viewer", key)).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
async def test_with_jwts_configured_nothing_is_open(host: str) -> None:
    house = House(API_HOST=host, API_JWT_JWKS=JWKS)

    await house.access._opening.start()

    assert (await house.get("/viewer")).status_code == 401


async def test_the_first_key_ends_it_within_30_s_without_a_restart() -> None:
    house = House()
    await house.access.start()
    assert (await house.get("/admin")).status_code == 200
    house.key()

    house.clock.now_s += 29
    before = await house.get("/admin")
    house.clock.now_s += 1
    with structlog.testing.capture_logs() as logged:
        after = await house.get("/admin")

    assert (before.status_code, after.status_code) == (200, 401)
    assert [each["event"] for each in logged] == ["API no longer open"]


async def test_a_key_that_is_shown_ends_it_at_once() -> None:
    house = House()
    assert (await house.get("/admin")).status_code == 200

    assert (await house.get("/viewer", house.key().text)).status_code == 200
    assert (await house.get("/admin")).status_code == 401


async def test_it_does_not_open_again_when_the_last_key_is_revoked() -> None:
    house = House()
    house.keys.revoke(house.key().key.id, datetime.now(UTC))

    assert (await house.get("/viewer")).status_code == 401


async def test_a_wrong_key_is_refused_while_it_is_open() -> None:
    assert (await House().get("/viewer", "tl_nothing")).status_code == 401


async def test_before_the_store_ever_answered_nothing_is_open() -> None:
    house = House()
    house.keys.is_away = True
    await house.access.start()

    assert (await house.get("/viewer")).status_code == 503

    house.keys.is_away = False
    house.clock.now_s += 10
    assert (await house.get("/viewer")).status_code == 200


async def test_while_the_store_is_away_it_stays_open_for_ten_minutes() -> None:
    house = House()
    await house.access.start()
    house.keys.is_away = True

    house.clock.now_s += 599
    still = await house.get("/viewer")
    house.clock.now_s += 1
    over = await house.get("/viewer")

    assert (still.status_code, over.status_code) == (200, 503)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example.com:8000"},
        {"Host": "127.0.0.1.nip.io"},
        {"Host": "localhost.evil.com"},
        {"Host": "[::1"},
        {"Host": ""},
        {"Origin": "https://evil.example.com"},
        {"Origin": "null"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"X-Real-IP": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
    ],
)
async def test_it_is_not_open_to_web_pages_from_elsewhere_nor_through_a_proxy(
    headers: dict[str, str],
) -> None:
    """A browser on this machine reaches loopback for any page, by rebinding DNS or by a form."""
    house = House()

    answer = await house.get("/viewer", None, **headers)

    assert (answer.status_code, answer.json()["title"]) == (403, "Open to this machine alone")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "LOCALHOST:8000"},
        {"Host": "[::1]:8000"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Origin": "https://desk.example.com"},
    ],
)
async def test_it_is_open_to_pages_of_this_machine_and_of_allowed_origins(
    headers: dict[str, str],
) -> None:
    house = House(API_CORS_ORIGINS="https://desk.example.com")

    assert (await house.get("/viewer", None, **headers)).status_code == 200


async def test_a_page_from_elsewhere_opens_no_websocket() -> None:
    house = House()

    refused = await house.websocket("/ws", origin="https://evil.example.com")
    served = await house.websocket("/ws", origin="http://localhost:8000")

    assert [refused[0]["type"], served[0]["type"]] == [
        "websocket.http.response.start", "websocket.accept",
    ]  # fmt: skip
    assert refused[0]["status"] == 403


async def test_nobody_is_counted_while_it_is_open() -> None:
    house = House(API_RATE_PER_MINUTE="1")

    assert [(await house.get("/viewer")).status_code for _ in range(3)] == [200, 200, 200]


async def test_a_connection_that_was_let_in_without_a_key_ends_with_the_first_one() -> None:
    house = House()
    await house.access.start()
    who = house.access._opening.principal(_Here())  # type: ignore[arg-type]
    assert await house.access.is_still_good(who)
    house.key()

    house.clock.now_s += 30
    assert not await house.access.is_still_good(who)


class _Here:
    """A connection from this machine, as far as it is looked at."""

    headers = {"host": "127.0.0.1"}  # noqa: RUF012 - never changed
