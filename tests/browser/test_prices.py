"""Quotes and bars: what the API has is on the page, exactly, and what comes is added to it."""

from decimal import Decimal

import pytest
from playwright.sync_api import expect

from app.api.streams import Noun
from tests.browser import market
from tests.browser.market import LAST, MINUTE, bar, quote
from tests.browser.seen import coloured, fact, loaded, option, rows
from tests.browser.visitor import Visitor
from tests.unit.api.api import Api

pytestmark = pytest.mark.live
NOTHING = "\N{EN DASH}"
BTC = "#BTC/USD@KRAKEN:M1"


def test_the_list_shows_every_symbol_with_its_quote(visit: Visitor) -> None:
    page = visit()

    expect(page.get_by_role("option")).to_have_count(len(market.OPENS))
    row = option(page, "XRP/USD")
    expect(row.locator(".bid")).to_have_text("0.51764")
    expect(row.locator(".ask")).to_have_text("0.51767")
    expect(row.locator(".spread")).to_have_text("0.00003")
    expect(row.locator(".last")).to_have_text("0.51765")
    expect(row.locator(".change")).to_have_text("+0.00058")


def test_a_new_quote_is_shown_as_it_came(visit: Visitor, api: Api) -> None:
    """18 digits: a float would show other ones."""
    page = visit(at=BTC)
    expect(page.locator("#quote-bid")).to_have_text("64626.9")

    api.publish(
        Noun.QUOTES,
        quote(bid="70000.123456789012", ask="70000.123456789014", event_time=LAST + MINUTE),
    )

    expect(page.locator("#quote-bid")).to_have_text("70000.123456789012")
    expect(page.locator("#quote-spread")).to_have_text("0.000000000002")
    expect(option(page, "BTC/USD").locator(".ask")).to_have_text("70000.123456789014")


def test_the_filter_leaves_what_has_its_letters(visit: Visitor) -> None:
    page = visit()
    expect(page.get_by_role("option")).to_have_count(len(market.OPENS))

    page.get_by_label("Filter symbols").fill("l")

    expect(page.locator("[role=option] .name")).to_have_text(["LINK/USD", "LTC/USD", "SOL/USD"])
    page.get_by_label("Filter symbols").fill("zz")
    expect(page.locator("#symbols-none")).to_have_text("No symbol has “zz” in its name.")


def test_candles_appear_and_a_new_bar_arrives(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    loaded(page)
    assert coloured(page, "up") > 300
    assert coloured(page, "down") > 300
    expect(rows(page).first).to_contain_text("2025-11-20 14:00:00")

    close = Decimal("64700.000000000001")
    api.publish(Noun.BARS, bar(LAST + MINUTE, high=close, close=close, open=close, low=close))

    expect(rows(page).first).to_contain_text("2025-11-20 14:01:00")
    expect(rows(page).first).to_contain_text("64700.000000000001")
    expect(page.locator("#legend")).to_contain_text("C 64700.000000000001")
    expect(option(page, "BTC/USD").locator(".last")).to_have_text("64700.000000000001")


def test_another_symbol_and_timeframe_are_shown(visit: Visitor, api: Api) -> None:
    api.keep(bars=[bar(LAST, "ETH/USD", timeframe="H1", close=Decimal("3.5"))])
    page = visit(at=BTC)
    loaded(page)

    option(page, "ETH/USD").click()
    expect(page.locator("#quote-symbol")).to_have_text("ETH/USD")
    page.get_by_text("H1", exact=True).click()

    expect(page.locator("#legend")).to_contain_text("C 3.5")
    assert page.url.endswith("#ETH/USD@KRAKEN:H1")
    expect(rows(page)).to_have_count(1)


def test_bars_of_quotes_are_offered_where_there_are_any(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    names = page.locator("#timeframes span")
    expect(names).to_have_text(["M1", "M5", "M15", "H1", "H4", "D1"])

    api.keep(bars=[bar(LAST, "ETH/USD", timeframe="M1.mid", quotes=12)])
    option(page, "ETH/USD").click()

    expect(names).to_have_text(["M1", "M5", "M15", "H1", "H4", "D1", "M1.mid"])
    page.get_by_text("M1.mid", exact=True).click()
    expect(fact(page, "Quotes")).to_have_text("12")


def test_history_comes_page_by_page_until_its_first_bar(visit: Visitor, api: Api) -> None:
    api.keep(bars=market.bars("BTC/USD", 1_150))
    page = visit(at=BTC)
    loaded(page)
    cursors: list[str] = []
    page.on("request", lambda asked: cursors.append(asked.url) if "cursor=" in asked.url else None)
    first = f"{LAST - MINUTE * 1_149:%Y-%m-%d %H:%M:%S}"

    page.locator("#chart-box").focus()
    for _ in range(20):
        page.keyboard.press("Home")
        page.wait_for_timeout(200)
        if fact(page, "Opens, UTC").text_content() == first:
            break

    expect(fact(page, "Opens, UTC")).to_have_text(first)
    assert len(cursors) == 2


def test_the_mouse_wheel_reaches_older_bars(visit: Visitor, api: Api) -> None:
    api.keep(bars=market.bars("BTC/USD", 700))
    page = visit(at=BTC)
    loaded(page)
    page.locator("#chart-box").hover()

    with page.expect_request(lambda asked: "cursor=" in asked.url):
        for _ in range(40):
            page.mouse.wheel(-400, 0)
            page.wait_for_timeout(20)


def test_a_bar_that_the_store_had_not_taken_yet_becomes_final(visit: Visitor, api: Api) -> None:
    """The hub gave it out before the page came, so no update brings it: the page asks again."""
    #  store:  14:00 provisional
    #  hub:    14:00 final  14:01 final  14:02 provisional
    #  page:          subscribes ^
    live = {"revision": 0, "is_final": False, "reason": "live"}
    walk = [
        bar(LAST, close=Decimal("100.3")), bar(LAST + MINUTE), bar(LAST + 2 * MINUTE, **live),
    ]  # fmt: skip
    api.publish(Noun.BARS, *walk)
    page = visit(at=BTC)
    loaded(page)
    expect(rows(page).nth(1)).to_contain_text("14:00:00")
    expect(rows(page).nth(1)).to_contain_text("provisional")

    api.keep(bars=walk)

    expect(rows(page).nth(2)).to_contain_text("100.3")
    expect(rows(page).nth(2)).not_to_contain_text("provisional")
    times = [row.split("\t")[0] for row in rows(page).all_inner_texts()]
    assert times[:3] == [f"2025-11-20 14:0{n}:00" for n in (2, 1, 0)]
    assert len(set(times)) == len(times)


def test_an_older_emission_changes_nothing(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    loaded(page)
    newest = {"revision": 2, "reason": "late", "last_offset": 9_000}
    api.publish(Noun.BARS, bar(LAST, close=Decimal("100.4"), **newest))
    expect(rows(page).first).to_contain_text("100.4")

    api.publish(Noun.BARS, bar(LAST, close=Decimal("77.7"), revision=1, last_offset=9_999))
    api.publish(Noun.BARS, bar(LAST + MINUTE, close=Decimal("100.2")))

    expect(rows(page).first).to_contain_text("14:01:00")
    expect(rows(page).nth(1)).to_contain_text("100.4")


def test_a_revision_of_an_older_bar_is_no_last_price(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    loaded(page)
    older = market.bars()[-5]

    api.publish(Noun.BARS, {**older, "close": Decimal("1.5"), "revision": 2, "reason": "late"})

    expect(rows(page).nth(4)).to_contain_text("revised (r2, late)")
    expect(page.locator("#quote-last")).to_have_text("64627")
    expect(option(page, "BTC/USD").locator(".last")).to_have_text("64627")


def test_an_empty_bar_has_no_candle_and_no_number(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    loaded(page)

    nothing = dict.fromkeys(("open", "high", "low", "close", "vwap"))
    api.publish(Noun.BARS, bar(LAST + MINUTE, **nothing, volume=Decimal(0), trades=0))

    expect(rows(page).first).to_contain_text("14:01:00")
    expect(fact(page, "Close")).to_have_text(NOTHING)


def test_many_updates_keep_one_row_for_each_bar(visit: Visitor, api: Api) -> None:
    page = visit(at=BTC)
    loaded(page)

    for second in range(60):
        price = Decimal(64_600 + second)
        live = {"revision": 0, "is_final": False, "reason": "live", "last_offset": 10_000 + second}
        prices = dict.fromkeys(("open", "high", "low", "close"), price)
        api.publish(Noun.BARS, bar(LAST + MINUTE * (1 + second // 10), **prices, **live))

    expect(rows(page).first).to_contain_text("14:06:00")
    times = [row.split("\t")[0] for row in rows(page).all_inner_texts()]
    assert times[:7] == [f"2025-11-20 14:0{n}:00" for n in range(6, -1, -1)]
    assert len(set(times)) == len(times)
