"""What can be seen on the page: rows of its tables, and colours on its canvas."""

from playwright.sync_api import Locator, Page, expect

_COLOURED = """(name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(--${name})`;
  const wanted = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number);
  probe.remove();
  let found = 0;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (canvas.width * canvas.height === 0) continue;
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, copy.width, copy.height);
    for (let at = 0; at < data.length; at += 4) {
      const isNear = (part) => Math.abs(data[at + part] - wanted[part]) <= 3;
      if (data[at + 3] > 250 && isNear(0) && isNear(1) && isNear(2)) found++;
    }
  }
  return found;
}"""


def coloured(page: Page, name: str) -> int:
    """Return how many pixels of the chart have a colour of the palette, such as ``critical``."""
    page.wait_for_timeout(200)
    return int(page.evaluate(_COLOURED, name))


def loaded(page: Page) -> None:
    """Wait until the chart has its bars."""
    expect(page.locator("#chart-note")).to_be_hidden()
    expect(page.locator("#legend")).to_contain_text("Vol")


def rows(page: Page) -> Locator:
    """Open the table of the last bars; return its rows, newest first."""
    if page.locator("#bar-table").get_attribute("open") is None:
        page.locator("#bar-table summary").click()
    return page.locator("#bar-rows tr")


def fact(page: Page, name: str) -> Locator:
    """Return what the panel of the bar says of something, such as ``Revision``."""
    return page.locator(f"#bar-facts dt:text-is('{name}') + dd")


def option(page: Page, symbol: str) -> Locator:
    """Return a symbol's row in the list."""
    return page.get_by_role("option").filter(has=page.get_by_text(symbol, exact=True))
