"""A real Chromium before a real server, whose stores are in memory and in the tests' hands.

What the page must never do fails every test: an error in the console, a request to elsewhere, a
breach of its Content-Security-Policy, an answer of 500 or above.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route, sync_playwright
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.browser import market
from tests.unit.api.api import Api

CHROMIUM = Path("/usr/bin/chromium")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""All that the page needs; nothing inline, nothing from elsewhere."""
SMALL, WIDE = (360, 800), (1440, 900)
WAIT_MS = 15_000


class Guarded:
    """Sends the policy with every answer of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"content-security-policy", POLICY.encode())
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, added)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return Debian's Chromium, without a window."""
    assert CHROMIUM.exists(), (
        f"{CHROMIUM} is missing; install the Debian package chromium: apt-get install chromium"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


@pytest.fixture
def api() -> Api:
    """Return an API that has the market; it is not served yet."""
    api = Api()
    market.stock(api)
    return api


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    """Serve `api`, with the policy the page needs; return its address."""
    api.app = Guarded(api.app)  # type: ignore[assignment] - served just the same
    with api.served() as url:
        yield url


class Open(Protocol):
    """Opens the page; see `visit`."""

    def __call__(
        self, size: tuple[int, int] = WIDE, *, at: str = "", may: tuple[str, ...] = (), **context: Any
    ) -> Page: ...


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Open]:
    """Return a function that opens the page.

    Its arguments: the window's size, a fragment of the address, words of faults that are expected,
    and more of a browser context, such as ``color_scheme="dark"``.
    """
    contexts, faults = [], []

    def open_page(
        size: tuple[int, int] = WIDE, *, at: str = "", may: tuple[str, ...] = (), **context: Any
    ) -> Page:
        viewport = {"width": size[0], "height": size[1]}
        made = browser.new_context(viewport=viewport, **context)
        contexts.append(made)
        made.set_default_timeout(WAIT_MS)
        page = made.new_page()

        def fault(text: str) -> None:
            if not any(word in text for word in may):
                faults.append(text)

        def said(message: ConsoleMessage) -> None:
            if message.type in {"error", "warning"}:
                fault(f"console: {message.text}")

        def answered(response: Response) -> None:
            if response.status >= 500:
                fault(f"{response.status} of {response.url}")

        def elsewhere(route: Route) -> None:
            fault(f"request to elsewhere: {route.request.url}")
            route.abort()

        page.on("console", said)
        page.on("pageerror", lambda error: fault(f"error: {error}"))
        page.on("response", answered)
        made.route(lambda asked: urlsplit(asked).netloc != urlsplit(url).netloc, elsewhere)
        page.goto(f"{url}/{at}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots: that of TAPELINE_HOME, else a temporary one."""
    home = os.environ.get("TAPELINE_HOME")
    folder = Path(home).expanduser() if home else tmp_path_factory.mktemp("home")
    (folder / "screenshots").mkdir(parents=True, exist_ok=True)
    return folder / "screenshots"
