"""What is odd is seen on the chart, and said beside it."""

import re
from decimal import Decimal

import pytest
from playwright.sync_api import expect

from app.api.streams import Noun
from tests.browser import market
from tests.browser.market import LAST, MINUTE, VENUE, bar
from tests.browser.seen import coloured, fact, loaded, rows
from tests.browser.visitor import Visitor
from tests.unit.api.api import Api, anomaly, gap

pytestmark = pytest.mark.live
PLAIN = "#ETH/USD@KRAKEN:M1"
ODD = {"symbol": "ETH/USD", "venue": VENUE}


def test_a_revision_is_marked_and_says_what_changed(visit: Visitor, api: Api) -> None:
    page = visit(at=PLAIN)
    loaded(page)
    assert coloured(page, "revised") == 0
    before = market.bars("ETH/USD")[-3]

    late = {"revision": 2, "reason": "late", "late": 4, "trades": before["trades"] + 4}
    close = before["close"] + Decimal("0.000000000001")
    api.publish(Noun.BARS, {**before, **late, "close": close, "last_offset": 99_999})

    expect(rows(page).nth(2)).to_contain_text("revised (r2, late), 4 late")
    assert coloured(page, "revised") > 10
    page.locator("#chart-box").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    expect(fact(page, "Revision")).to_have_text("2")
    expect(fact(page, "Reason")).to_contain_text("late: trades came after it was final")
    expect(page.locator(".changes caption")).to_have_text("Revision 1 to 2, by late")
    changes = [row.split("\t") for row in page.locator(".changes tbody tr").all_inner_texts()]
    assert changes[0] == ["close", f"{before['close']:f}", f"{close:f}", "+0.000000000001"]
    assert [row[0] for row in changes] == ["close", "trades", "late"]


def test_an_anomaly_is_marked_and_listed(visit: Visitor, api: Api) -> None:
    page = visit(at=PLAIN)
    loaded(page)
    assert coloured(page, "critical") == 0
    expect(page.locator("#anomalies-none")).to_be_visible()

    at = {"event_time": LAST - MINUTE * 5, "tick_offset": 77}
    api.publish(Noun.ANOMALIES, anomaly(**ODD, **at, severity="critical", kind="price_jump"))

    expect(page.locator("#anomalies-list li")).to_contain_text("criticalprice_jump")
    assert coloured(page, "critical") > 10
    expect(rows(page).nth(5)).to_contain_text("price_jump (critical)")


def test_anomalies_from_before_are_marked_and_those_of_all_symbols_are_a_click_away(
    visit: Visitor, api: Api
) -> None:
    page = visit(at="#BTC/USD@KRAKEN:M1")
    loaded(page)

    expect(page.locator("#anomalies-list strong")).to_have_text(
        ["crossed_quote", "price_jump", "spread_wide"]
    )
    assert all(coloured(page, name) > 10 for name in ("critical", "warning", "info"))
    api.publish(Noun.ANOMALIES, anomaly(**ODD, kind="silence", event_time=LAST, tick_offset=9))
    page.locator("#anomalies-all").check()
    expect(page.locator("#anomalies-list li").first).to_contain_text("silence ETH/USD@KRAKEN")


def test_bars_in_which_trades_are_missing_are_hatched(visit: Visitor, api: Api) -> None:
    page = visit(at=PLAIN)
    loaded(page)
    assert coloured(page, "missing") == 0
    newest = market.bars("ETH/USD")[-1]
    api.publish(
        Noun.BARS,
        {**newest, "complete": False, "revision": 2, "reason": "gap", "last_offset": 99_999},
    )

    expect(rows(page).first).to_contain_text("revised (r2, gap), trades missing")
    expect(fact(page, "Complete")).to_have_text("no: trades are missing")
    assert coloured(page, "missing") > 10


def test_an_open_gap_is_hatched_and_listed_until_it_is_repaired(visit: Visitor, api: Api) -> None:
    page = visit(at=PLAIN)
    loaded(page)
    assert coloured(page, "missing") == 0
    expect(page.locator("#gaps-none")).to_be_visible()

    times = {"after_time": LAST - MINUTE * 9, "before_time": LAST - MINUTE * 6}
    huge = {"from_id": 9_007_199_254_740_993, "to_id": 9_007_199_254_740_995}
    api.open_gap(gap(**ODD, **times, **huge))

    expect(page.locator("#gaps-list li")).to_contain_text(
        re.compile("9007199254740993 . 9007199254740995")
    )
    expect(page.locator("#gaps-count")).to_have_text("1 open")
    assert coloured(page, "missing") > 0
    api.open_gap(gap(**ODD, **times, **huge, repaired_at=LAST, repaired_by="rest"))
    expect(page.locator("#gaps-list li")).to_contain_text("repaired 14:00:00 by rest")
    assert coloured(page, "missing") == 0


def test_a_provisional_bar_is_hollow_until_it_is_final(visit: Visitor, api: Api) -> None:
    only = {"symbol": "NEW/USD", "timeframe": "D1", "close": Decimal("100.5"), "low": Decimal(100)}
    api.keep(bars=[bar(LAST, **only, revision=0, reason="live", is_final=False)])
    page = visit(at="#NEW/USD@KRAKEN:D1")
    loaded(page)
    expect(page.locator("#legend .note")).to_have_text("provisional")
    hollow = coloured(page, "up")

    api.publish(Noun.BARS, bar(LAST, **only, last_offset=99))

    expect(page.locator("#legend .note")).to_have_count(0)
    assert 0 < hollow < coloured(page, "up") - 50


def test_the_mouse_points_at_a_bar(visit: Visitor) -> None:
    page = visit(at=PLAIN)
    loaded(page)
    expect(page.locator("#bar-which")).to_have_text("the last one")
    box = page.locator("#chart-box").bounding_box()
    assert box is not None

    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)

    expect(page.locator("#bar-which")).to_have_text("under the cursor")
    expect(fact(page, "Opens, UTC")).not_to_have_text("2025-11-20 14:00:00")
