"""Who has no key is asked for one; who may see less is told so."""

import pytest
from playwright.sync_api import expect

from tests.browser.seen import loaded
from tests.browser.visitor import Visitor
from tests.unit.api.api import Api, principal

pytestmark = pytest.mark.live
BTC = "#BTC/USD@KRAKEN:M1"


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
