"""When something is away, late or forbidden, the page says so, and goes on when it is over."""

import re

import pytest
from playwright.sync_api import expect

from app.api.past import MOST_RECORDS
from app.api.streams import Noun
from tests.browser import market
from tests.browser.conftest import Line
from tests.browser.market import LAST, MINUTE, bar, quote
from tests.browser.seen import loaded, option, rows
from tests.browser.visitor import Visitor
from tests.unit.api.api import Api, principal

pytestmark = pytest.mark.live
BTC = "#BTC/USD@KRAKEN:M1"
AWAY = ("ERR_CONNECTION_REFUSED", "WebSocket", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")


def test_stale_data_are_called_so_with_their_age_until_they_are_fresh(
    visit: Visitor, api: Api
) -> None:
    page = visit(at=BTC)
    loaded(page)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#banner")).to_be_hidden()

    api.is_stale()

    expect(page.locator("#banner-text")).to_have_text("Data are stale: the pipeline is behind.")
    expect(page.locator("#banner-age")).to_have_text(re.compile(r"1 h 0 min old"))
    expect(page.locator("#connection")).to_have_text("Behind")
    api.is_fresh()
    expect(page.locator("#banner")).to_be_hidden()


def test_what_came_while_the_server_was_away_is_there_afterwards(api: Api, line: Line) -> None:
    page = line.visit(at=BTC, may=AWAY)
    loaded(page)

    line.cut()
    expect(page.locator("#banner-text")).to_contain_text("Connection lost.")
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    api.publish(Noun.BARS, *(bar(LAST + MINUTE * n) for n in range(6)))
    api.publish(Noun.QUOTES, quote(bid="1.5", ask="1.75", event_time=LAST + MINUTE))
    line.mend()

    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#quote-bid")).to_have_text("1.5")
    expect(rows(page).first).to_contain_text("14:05:00")
    times = [row.split("\t")[0] for row in rows(page).all_inner_texts()]
    assert times[:7] == [f"2025-11-20 14:0{n}:00" for n in range(5, -1, -1)] + [
        "2025-11-20 13:59:00"
    ]


def test_a_server_that_has_gone_too_far_for_a_token_is_asked_for_the_history(line: Line) -> None:
    """A snapshot is all that its streams have, so the page asks for the bars."""
    page = line.visit(at=BTC, may=AWAY)
    loaded(page)

    line.cut()
    other = Api()
    other.keep(bars=[*market.bars(), *(bar(LAST + MINUTE * n) for n in range(1, 4))])
    for place in list(other.hub.positions):
        other.hub._began[place] = other.hub.positions[place] = 10 * MOST_RECORDS
    line.mend(other)

    expect(rows(page).first).to_contain_text("14:03:00")
    expect(rows(page).nth(2)).to_contain_text("14:01:00")


def test_without_a_key_the_page_asks_for_one_and_keeps_it(locked: str, visit: Visitor) -> None:
    page = visit(at=BTC, may=("401", "403", "WebSocket"))
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This call needs an API key or a JWT.")
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.get_by_label("API key or token")).to_be_focused()

    page.get_by_label("API key or token").fill("tl_wrong")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("This is no API key")
    page.get_by_label("API key or token").fill(locked)
    page.get_by_role("button", name="Use it").click()

    expect(dialog).to_be_hidden()
    loaded(page)
    expect(page.locator("#connection")).to_have_text("Live")
    assert locked not in page.url
    assert page.evaluate("Object.values(sessionStorage)") == [locked]
    page.reload()
    loaded(page)
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_who_cancels_the_dialog_is_told_what_is_missing(locked: str, visit: Visitor) -> None:
    page = visit(at=BTC, may=("401", "403", "WebSocket"))

    page.get_by_role("button", name="Cancel").click()

    expect(page.locator("#locked")).to_contain_text("This API needs a key.")
    page.get_by_role("button", name="Enter a key").click()
    page.get_by_label("API key or token").fill(locked)
    page.keyboard.press("Enter")
    loaded(page)
    expect(page.locator("#locked")).to_be_hidden()


def test_a_role_too_low_for_the_pipeline_is_told_politely(visit: Visitor, api: Api) -> None:
    api.door.who = principal("viewer")
    page = visit(at=BTC, may=("403",))
    loaded(page)

    expect(page.locator("#pipeline-note")).to_contain_text("These figures are for operators.")
    expect(page.locator("#pipeline-figures")).to_be_hidden()
    expect(page.get_by_role("dialog")).to_be_hidden()


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
