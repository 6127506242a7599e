"""When something is away or late, the page says so, and goes on when it is over."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from app.api.past import MOST_RECORDS
from app.api.streams import Noun
from app.domain.ports import Row
from schemas.json_form import microseconds
from tests.browser import market
from tests.browser.conftest import Line
from tests.browser.market import LAST, MINUTE, bar, quote
from tests.browser.seen import loaded, option, rows
from tests.browser.visitor import Visitor
from tests.unit.api.api import Api

pytestmark = pytest.mark.live
BTC = "#BTC/USD@KRAKEN:M1"
TAIL_IS_READ_MS = 3_000
"""After it was loaded, the page asks once more for the last bars."""
AWAY = ("ERR_CONNECTION_REFUSED", "WebSocket", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")


def test_stale_data_are_called_so_with_their_age_until_they_are_fresh(
    visit: Visitor, api: Api
) -> None:
    page = visit(at=BTC)
    loaded(page)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#banner")).to_be_hidden()

    api.is_stale()

    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#banner-text")).to_have_text("Data are stale: the pipeline is behind.")
    expect(page.locator("#banner-age")).to_have_text(re.compile(r"1 h 0 min old"))
    expect(page.locator("#connection")).to_have_text("Behind")
    api.is_fresh()
    expect(page.locator("#banner")).to_be_hidden()


def intercepted(page: Page, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Let `change` have every message of the server, and the page what it returns, if anything."""

    def pass_on(socket: WebSocketRoute, text: str | bytes) -> None:
        message = change(json.loads(text))
        if message is not None:
            socket.send(json.dumps(message))

    def routed(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(lambda text: pass_on(socket, text))

    page.route_web_socket(lambda _url: True, routed)


def overheard(page: Page, asked: list[str]) -> None:
    """Note what the page asks of the stream."""
    page.on("websocket", lambda ws: ws.on("framesent", lambda text: asked.append(str(text))))


def is_of(message: dict[str, Any], minutes: int) -> bool:
    """Return whether a message is the update of the bar that opened so long after `LAST`."""
    data = message.get("data")
    open_time = microseconds(LAST + MINUTE * minutes)
    return message["type"] == "update" and data.get("open_time") == open_time


def test_an_update_that_is_lost_on_the_way_is_had_from_the_history(
    visit: Visitor, api: Api
) -> None:
    """Only the sequence number tells of it."""
    page = visit(
        at=BTC,
        before=lambda page: intercepted(page, lambda each: None if is_of(each, 1) else each),
    )
    loaded(page)
    page.wait_for_timeout(TAIL_IS_READ_MS)
    new = [bar(LAST), bar(LAST + MINUTE), bar(LAST + 2 * MINUTE)]

    api.keep(bars=new)
    api.publish(Noun.BARS, *new)

    expect(rows(page).first).to_contain_text("14:02:00")
    expect(rows(page).nth(1)).to_contain_text("14:01:00")


def test_values_that_the_server_left_out_are_had_from_the_history(visit: Visitor, api: Api) -> None:
    """It says how many; the sequence is whole."""
    page = visit(
        at=BTC,
        before=lambda page: intercepted(
            page, lambda each: {**each, "missed": 3} if is_of(each, 3) else each
        ),
    )
    loaded(page)
    page.wait_for_timeout(TAIL_IS_READ_MS)
    api.publish(Noun.BARS, bar(LAST))
    expect(rows(page).first).not_to_contain_text("provisional")
    new = [bar(LAST + MINUTE * n) for n in range(1, 4)]

    api.keep(bars=new)
    api.publish(Noun.BARS, new[-1])

    expect(rows(page).first).to_contain_text("14:03:00")
    expect(rows(page).nth(1)).to_contain_text("14:02:00")
    expect(rows(page).nth(2)).to_contain_text("14:01:00")


def test_what_came_while_the_server_was_away_is_there_afterwards(api: Api, line: Line) -> None:
    asked: list[str] = []
    page = line.visit(at=BTC, may=AWAY, before=lambda page: overheard(page, asked))
    loaded(page)

    line.cut()
    expect(page.locator("#banner-text")).to_contain_text("Connection lost.")
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    api.publish(Noun.BARS, *(bar(LAST + MINUTE * n) for n in range(6)))
    api.publish(Noun.QUOTES, quote(bid="1.5", ask="1.75", event_time=LAST + MINUTE))
    line.mend()

    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#quote-bid")).to_have_text("1.5")
    bars = [json.loads(each) for each in asked if '"bars:BTC/USD@KRAKEN:M1"' in each]
    assert [list(each["resume"]) for each in bars] == [[], ["bars:BTC/USD@KRAKEN:M1"]]
    expect(rows(page).first).to_contain_text("14:05:00")
    times = [row.split("\t")[0] for row in rows(page).all_inner_texts()]
    assert times[:7] == [f"2025-11-20 14:0{n}:00" for n in range(5, -1, -1)] + [
        "2025-11-20 13:59:00"
    ]


def gone_far(*bars: Row) -> Api:
    """Return an API whose topics have gone on so far that no token helps."""
    api = Api()
    api.keep(bars=[*market.bars(), *bars])
    for place in list(api.hub.positions):
        api.hub._began[place] = api.hub.positions[place] = 10 * MOST_RECORDS
    return api


def test_a_server_that_has_gone_too_far_for_a_token_is_asked_for_the_history(
    api: Api, line: Line
) -> None:
    """A snapshot is all that its streams have, so the page asks for the bars."""
    api.keep(bars=[bar(LAST)])
    page = line.visit(at=BTC, may=AWAY)
    loaded(page)
    page.wait_for_timeout(TAIL_IS_READ_MS)

    line.cut()
    line.mend(gone_far(*(bar(LAST + MINUTE * n) for n in range(1, 4))))

    expect(rows(page).first).to_contain_text("14:03:00")
    expect(rows(page).nth(2)).to_contain_text("14:01:00")


def test_after_a_cut_longer_than_a_page_the_history_goes_on_without_a_hole(line: Line) -> None:
    #  known:   ... 14:00
    #  newest page:                        17:21 ... 01:40
    #  asked for next:  before 17:21 ^
    page = line.visit(at=BTC, may=AWAY)
    loaded(page)

    line.cut()
    line.mend(gone_far(*(bar(LAST + MINUTE * n) for n in range(1, 701))))
    expect(rows(page).nth(1)).to_contain_text("01:39:00")
    page.locator("#chart-box").focus()

    cursor = f"cursor={microseconds(LAST + MINUTE * 201)}"
    with page.expect_request(lambda asked: cursor in asked.url):
        page.keyboard.press("Home")


def test_the_pipeline_is_shown_to_who_may_see_it(visit: Visitor, api: Api) -> None:
    api.services.rates = {"ticks.raw.v1": 1234.5, "bars.v1": 8.0}
    page = visit(at=BTC)

    expect(page.locator("#tick-rate")).to_have_text("1235")
    expect(page.locator("#feeds")).to_contain_text("KRAKEN")
    expect(page.locator("#lags")).to_contain_text("compute")
    expect(page.locator("#alerts")).to_contain_text("gaps")


def test_bars_that_cannot_be_had_are_asked_for_again(visit: Visitor, api: Api) -> None:
    api.hot_edge.is_away = api.warm_edge.is_away = True
    page = visit(at=BTC, may=("503",))
    expect(page.locator("#chart-note")).to_contain_text("Bars cannot be had now")

    api.hot_edge.is_away = api.warm_edge.is_away = False

    loaded(page)
    expect(rows(page)).to_have_count(20)


def test_a_symbol_that_appears_later_is_listed(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    expect(page.get_by_role("option")).to_have_count(len(market.OPENS))

    api.publish(Noun.QUOTES, quote("AAA/USD"))

    expect(option(page, "AAA/USD")).to_contain_text("64250.1")
