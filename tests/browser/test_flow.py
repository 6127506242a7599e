"""From a tick in Kafka to the page, through real workers: what is seen is what the topics hold."""

import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.seen import coloured, fact, loaded, rows
from tests.browser.visitor import Visitor
from tests.live.conftest import MakeWorld
from tests.live.feed import Pair, market
from tests.live.world import World
from tests.poison import tick, trade, unscaled

pytestmark = pytest.mark.live
VENUE, SYMBOL = "LIVE", "BTC/USD"
SERIES = f"{SYMBOL}@{VENUE}"
START_US = 1_700_000_000_000_000
MINUTE_US = 60_000_000
TICKS = 6_000
END_US = START_US + TICKS * 2_000_000 // 2
"""Event time of the market's end: a trade every two seconds of each of two symbols."""


def at(minutes: float, number: int, price: int) -> Pair:
    """Return a trade so many minutes after the market's end."""
    fields = trade(SYMBOL, VENUE, END_US + int(minutes * MINUTE_US), f"z{number}")
    return SYMBOL.encode(), tick({**fields, "price": unscaled(price), "sequence": number})


@pytest.fixture(scope="module")
def flow(make_world: MakeWorld) -> tuple[World, str]:
    """Return a world whose market has been worked through, and its API's address."""
    world = make_world()
    world.started("compute", "hot", "warm")
    pairs = market(
        1, TICKS, venue=VENUE, symbols=[SYMBOL, "ETH/USD"], start_us=START_US, jitter_us=0
    )
    sent(world, pairs)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = world.start("api", API_PORT=str(port))
    api.wait_ready()
    return world, api.url().rstrip("/")


@pytest.fixture
def visit(browser: Browser, flow: tuple[World, str]) -> Iterator[Visitor]:
    visitor = Visitor(browser, flow[1])
    yield visitor
    visitor.close()
    assert visitor.faults == []


def sent(world: World, pairs: list[Pair]) -> None:
    with world.feed() as feed:
        for _ in feed.send_at(50_000, pairs):
            pass
    world.settle()


def test_the_page_shows_the_bars_that_the_api_has(visit: Visitor, flow: tuple[World, str]) -> None:
    page = visit(at=f"#{SERIES}:M1")
    loaded(page)

    bars = httpx.get(f"{flow[1]}/api/ohlc/{SERIES}?limit=20").json()["data"]
    expect(rows(page)).to_have_count(20)
    shown = [row.split("\t")[1:6] for row in rows(page).all_inner_texts()]

    names = ("open", "high", "low", "close", "volume")
    assert shown == [[bar[name] for name in names] for bar in reversed(bars)]
    assert coloured(page, "up") + coloured(page, "down") > 300


def test_ticks_become_bars_before_ones_eyes_and_late_ones_revise_them(
    visit: Visitor, flow: tuple[World, str]
) -> None:
    world, _ = flow
    page = visit(at=f"#{SERIES}:M1")
    loaded(page)

    sent(world, [at(5, 1, 777 * 10**12), at(7, 2, 778 * 10**12)])
    expect(page.locator("#quote-last")).to_have_text("778")
    expect(page.locator("#legend")).to_contain_text("provisional")

    sent(world, [at(5.1, 3, 901 * 10**12 + 1)])
    row = rows(page).filter(has_text="901.000000000001").first
    expect(row).to_contain_text("revised (r2, late), 1 late")
    assert coloured(page, "revised") > 0
    page.locator("#chart-box").focus()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
        if fact(page, "Revision").text_content() == "2":
            break
    expect(page.locator(".changes caption")).to_have_text("Revision 1 to 2, by late")
    expect(page.locator(".changes tbody tr").first).to_contain_text("901.000000000001")
