"""How the page looks: small and wide, light and dark."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import SMALL, WIDE, Visitor

pytestmark = pytest.mark.live


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [SMALL, WIDE], ids=["small", "wide"])
def test_screenshots(
    visit: Visitor, screenshots: Path, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> None:
    page = visit(size, at="#BTC/USD@KRAKEN:M1", color_scheme=scheme)
    expect(page.locator("#quote-bid")).to_have_text("64626.9")
    expect(page.locator("#chart-note")).to_be_hidden()
    expect(page.locator("#anomalies-list li")).to_have_count(3)
    page.wait_for_timeout(300)

    path = screenshots / f"page-{size[0]}x{size[1]}-{scheme}.png"
    page.screenshot(path=path)
    page.screenshot(path=path.with_stem(f"{path.stem}-whole"), full_page=True)

    assert path.stat().st_size > 10_000
