"""What the page in a real Chromium shows of the probes, and when the DOM has it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from playwright.async_api import Page, async_playwright

from tests.bench.probes import VENUE

CHROMIUM = Path("/usr/bin/chromium")
QUOTES, BARS = PLACES = ("page quotes", "page bars")
_WATCH_ROWS = """
  const seen = (globalThis.probesSeen = {bid: [], last: []});
  new MutationObserver((changes) => {
    const at = performance.timeOrigin + performance.now();
    for (const cell of new Set(changes.map((change) => change.target))) {
      const found = seen[cell.classList?.item(0)];
      const name = found && cell.closest("[data-name]")?.dataset.name;
      const text = cell.textContent;
      if (name?.endsWith("@%s") && /\\d/.test(text)) found.push([text, at]);
    }
  }).observe(document, {subtree: true, childList: true});
"""


class Shown(NamedTuple):
    """A price, as text, in a row of the list of symbols; `at` is seconds since the epoch."""

    place: str
    price: str
    at: float


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Page]:
    """Open the page; from its first moment on it notes the probes' bids and last prices.

    The probes' symbols are the first of the list, so their rows are in sight.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=os.geteuid() != 0
        )
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.add_init_script(_WATCH_ROWS % VENUE)
        await page.goto(url)
        yield page
        await browser.close()


async def shown(page: Page) -> list[Shown]:
    """Return what was shown since the last call."""
    found = await page.evaluate("[probesSeen.bid.splice(0), probesSeen.last.splice(0)]")
    return [
        Shown(place, price, at_ms / 1000)
        for place, prices in zip(PLACES, found, strict=True)
        for price, at_ms in prices
    ]
