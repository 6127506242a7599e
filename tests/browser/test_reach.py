"""Everyone reaches everything: small screens, keyboards, screen readers, light and dark."""

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.checks import CONTRASTS, FAULTS
from tests.browser.seen import coloured, fact, loaded, option, rows
from tests.browser.visitor import SMALL, WIDE, Visitor

pytestmark = pytest.mark.live
BTC = "#BTC/USD@KRAKEN:M1"
Scheme = Literal["light", "dark"]
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of normal size."""


@pytest.mark.parametrize("size", [SMALL, WIDE, (768, 1024), (2560, 1300)], ids=str)
def test_nothing_is_wider_than_the_window(visit: Visitor, size: tuple[int, int]) -> None:
    page = visit(size, at=BTC)
    loaded(page)
    rows(page)

    width = page.evaluate("document.documentElement.scrollWidth")

    assert width <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["small", "wide"])
def test_text_stands_out(visit: Visitor, size: tuple[int, int], scheme: Scheme) -> None:
    page = visit(size, at=BTC, color_scheme=scheme)
    loaded(page)
    expect(page.locator("#health-parts li").first).to_be_attached()
    rows(page)

    found = page.evaluate(CONTRASTS)

    assert len(found) > 80
    assert [text for contrast, text in found if contrast < LEAST_CONTRAST] == []


def test_banner_and_dialog_stand_out_too(visit: Visitor, api: Any) -> None:
    api.is_stale()
    for scheme in ("light", "dark"):
        page = visit(at=BTC, color_scheme=scheme)
        expect(page.locator("#banner")).to_be_visible()
        page.get_by_role("button", name="Key").click()

        found = page.evaluate(CONTRASTS)

        assert any("Data are stale" in text for _, text in found)
        assert [text for contrast, text in found if contrast < LEAST_CONTRAST] == []


@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["small", "wide"])
def test_names_ids_and_landmarks_are_in_order(visit: Visitor, size: tuple[int, int]) -> None:
    page = visit(size, at=BTC)
    loaded(page)

    assert page.evaluate(FAULTS) == []


def test_light_and_dark_follow_the_system_until_one_is_chosen(visit: Visitor) -> None:
    page = visit(at=BTC, color_scheme="dark")
    loaded(page)
    dark = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    assert coloured(page, "panel") > 10_000

    page.emulate_media(color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    assert dark != light
    assert coloured(page, "panel") > 10_000

    theme = page.get_by_role("button", name="Theme")
    theme.click()
    expect(theme).to_have_text("Light")
    theme.click()
    expect(theme).to_have_text("Dark")
    page.reload()
    loaded(page)
    expect(theme).to_have_text("Dark")
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") == dark
    assert coloured(page, "panel") > 10_000


def test_the_drawer_opens_and_closes(visit: Visitor) -> None:
    page = visit(SMALL, at=BTC)
    loaded(page)
    opener = page.get_by_role("button", name="Symbols", exact=True)
    expect(page.get_by_label("Filter symbols")).to_be_hidden()

    opener.click()
    expect(page.get_by_label("Filter symbols")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Filter symbols")).to_be_hidden()
    expect(opener).to_be_focused()

    opener.click()
    option(page, "SOL/USD").click()
    expect(page.locator("#quote-symbol")).to_have_text("SOL/USD")
    expect(page.get_by_label("Filter symbols")).to_be_hidden()


def stops(page: Page, most: int = 40) -> Iterator[str]:
    """Press Tab until the page's end; yield what each stop is, and check that it is seen."""
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => {
              const node = document.activeElement;
              if (node === document.body) return null;
              const mark = node.matches("#timeframes input") ? node.nextElementSibling : node;
              const { outlineStyle, outlineWidth } = getComputedStyle(mark);
              const isSeen = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
              return [node.id || node.value || node.textContent.trim().slice(0, 20), isSeen];
            }"""
        )
        if stop is None:
            return
        name, is_seen = stop
        assert is_seen, f"the focus on {name} is not seen"
        yield name


def test_the_keyboard_reaches_everything_and_sees_where_it_is(visit: Visitor) -> None:
    page = visit(at=BTC)
    loaded(page)

    names = list(stops(page))

    assert names[0] == "Skip to the chart"
    wanted = ["filter", "symbols", "M1", "chart-box", "anomalies-all", "gaps-all", "speak"]
    assert [name for name in names if name in wanted] == wanted
    assert {"Auto", "Key", "Last bars as a table", "TradingView"} <= set(names)
    assert len(names) == len(set(names))


def test_arrows_choose_a_symbol_a_timeframe_and_a_bar(visit: Visitor) -> None:
    page = visit(at=BTC)
    loaded(page)

    page.locator("#filter").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#symbols .active .name")).to_have_text("DOGE/USD")
    expect(page.locator("#quote-symbol")).to_have_text("BTC/USD")
    page.keyboard.press("Enter")
    expect(page.locator("#quote-symbol")).to_have_text("DOGE/USD")
    expect(option(page, "DOGE/USD")).to_have_attribute("aria-selected", "true")

    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    assert page.url.endswith(":M5")
    page.keyboard.press("ArrowLeft")
    loaded(page)

    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(fact(page, "Opens, UTC")).to_have_text("2025-11-20 13:59:00")
    expect(page.locator("#spoken")).to_contain_text("2025-11-20 13:59:00: open 0.1")
    page.keyboard.press("Escape")
    expect(page.locator("#bar-which")).to_have_text("the last one")


def test_the_quote_is_spoken_now_and_then_and_not_when_that_is_switched_off(
    visit: Visitor,
) -> None:
    page = visit(at=BTC)
    expect(page.locator("#spoken")).to_have_attribute("aria-live", "polite")

    expect(page.locator("#spoken")).to_have_text(
        "BTC/USD at KRAKEN: bid 64626.9, ask 64627.2, last 64627"
    )

    page.get_by_role("button", name="Announce quotes").click()
    expect(page.locator("#spoken")).to_have_text("")


def test_who_wants_less_motion_gets_none(visit: Visitor) -> None:
    page = visit(SMALL, at=BTC, reduced_motion="reduce")

    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((node) => {
          const { transitionDuration, animationName } = getComputedStyle(node);
          return transitionDuration !== "0s" || animationName !== "none";
        }).length"""
    )

    assert moving == 0


def test_the_maker_of_the_chart_is_named(visit: Visitor) -> None:
    page = visit(SMALL, at=BTC)

    link = page.get_by_role("link", name="TradingView")
    expect(link).to_be_visible()
    expect(link).to_have_attribute("href", "https://www.tradingview.com/")
    expect(page.locator("footer")).to_contain_text("Copyright (c) 2026 TradingView, Inc.")
    licence = page.request.get(f"{page.url.split('#', maxsplit=1)[0]}vendor/LICENSE")
    assert "Apache License" in licence.text()
