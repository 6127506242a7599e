"""While Redis runs a script it refuses every command; what the API answers meanwhile."""

from datetime import datetime

import pytest
import redis
from typing_extensions import override

from app.api.streams import Noun
from app.domain.ports import BarText, Held, Row
from app.errors import StoreError
from connectors.memory import MemoryHotStore
from connectors.redis_errors import translated
from tests.unit.api.api import Api, bar, quote, tick
from tests.unit.api.test_ws import joined

BUSY = (
    "Command # 1 (HGETALL tl:quote:BTC/USD@KRAKEN) of pipeline caused error: "
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
)
"""As redis-py 8.1 gives what Redis 7 says to a transaction."""


def refusal() -> StoreError:
    return translated(redis.ResponseError(BUSY))


class Busy(MemoryHotStore):
    """A hot store whose server runs a script."""

    @override
    def bar_texts(
        self,
        part: str,
        symbol: str,
        venue: str,
        timeframe: str,
        limit: int,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Held[list[BarText]]:
        raise refusal()

    @override
    def tick_texts(self, part: str, symbol: str, venue: str, limit: int) -> Held[list[str]]:
        raise refusal()

    @override
    def held_quote(self, part: str, symbol: str, venue: str) -> Held[Row | None]:
        raise refusal()


@pytest.fixture
def api() -> Api:
    api = Api()
    api.keep(bars=[bar()])
    api.keep_warm_ticks(tick(offset=1, raw_offset=1))
    api.services.hot = Busy()
    return api


@pytest.mark.parametrize("route", ["ohlc", "ohlc/latest", "quotes/history"])
async def test_what_postgres_has_comes_from_there(api: Api, route: str) -> None:
    async with api.client() as client:
        answer = await client.get(f"/api/{route}/BTC/USD@KRAKEN")

    assert answer.status_code == 200, answer.text
    assert answer.json()["source"] == "warm"
    assert answer.json()["data"]


async def test_a_quote_that_only_redis_has_is_asked_for_later(api: Api) -> None:
    async with api.client() as client:
        answer = await client.get("/api/quotes/latest/BTC/USD@KRAKEN")

    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "HGETALL" not in answer.text


def test_a_socket_is_told_and_stays(api: Api) -> None:
    with joined(api) as client:
        [told] = client.subscribe("quotes:BTC/USD@KRAKEN")
        api.publish(Noun.QUOTES, quote())
        snapshot, _ = client.subscribe("quotes:BTC/USD@KRAKEN")

    assert (told["type"], told["problem"]["status"]) == ("error", 503)
    assert snapshot["data"][0]["bid"] == "99.5"
