"""Pages of the browser, and what must never happen in one of them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, Route

SMALL, WIDE = (360, 800), (1440, 900)
WAIT_MS = 20_000
SERVER_ERROR = 500


class Visitor:
    """Opens pages of one server; what they must not do is in `faults`.

    That is: a warning or an error in the console (a breach of the policy is one), a request to
    elsewhere, an answer of 500 or above.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser, self._url = browser, url
        self._contexts: list[BrowserContext] = []
        self.faults: list[str] = []

    def __call__(
        self,
        size: tuple[int, int] = WIDE,
        *,
        at: str = "",
        may: tuple[str, ...] = (),
        before: Callable[[Page], None] = lambda _page: None,
        **context: Any,
    ) -> Page:
        """Open the page.

        Args:
            size: The window's.
            at: Fragment of the address: the symbol and the timeframe.
            may: Words of faults that are expected.
            before: Done with the page before it is loaded.
            context: More of the browser context, such as ``color_scheme="dark"``.
        """
        viewport = {"width": size[0], "height": size[1]}
        made = self._browser.new_context(viewport=viewport, **context)
        self._contexts.append(made)
        made.set_default_timeout(WAIT_MS)
        page = made.new_page()
        self._watch(page, may)
        before(page)
        page.goto(f"{self._url}/{at}")
        return page

    def _watch(self, page: Page, may: tuple[str, ...]) -> None:
        def fault(text: str) -> None:
            if not any(word in text for word in may):
                self.faults.append(text)

        def said(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                fault(f"console: {message.text} {message.location.get('url', '')}")

        def answered(response: Response) -> None:
            if response.status >= SERVER_ERROR:
                fault(f"{response.status} of {response.url}")

        def elsewhere(route: Route) -> None:
            fault(f"request to elsewhere: {route.request.url}")
            route.abort()

        page.on("console", said)
        page.on("pageerror", lambda error: fault(f"error: {error}"))
        page.on("response", answered)
        page.route(lambda asked: urlsplit(asked).netloc != urlsplit(self._url).netloc, elsewhere)

    def close(self) -> None:
        """Close all pages."""
        for context in self._contexts:
            context.close()
