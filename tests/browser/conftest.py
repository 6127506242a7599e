"""A real Chromium before a real server, whose stores are in memory and in the tests' hands."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from prometheus_client import CollectorRegistry

from app.api.access import keys
from app.api.access.gate import Access
from app.api.access.roles import Role
from app.api.application import application
from connectors.access_memory import MemoryAuditLog, MemoryKeyStore
from tests.browser import market
from tests.browser.visitor import WAIT_MS, Visitor
from tests.live.conftest import make_world
from tests.unit.api.api import Api

__all__ = ["make_world"]

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Debian's Chromium, without a window.

    A module's, because Playwright keeps an event loop running in this thread, where the tests of
    other modules need their own.
    """
    assert CHROMIUM.exists(), (
        f"{CHROMIUM} is missing; install the Debian package chromium: apt-get install chromium"
    )
    expect.set_options(timeout=WAIT_MS)
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
def visit(browser: Browser, api: Api) -> Iterator[Visitor]:
    """Serve `api`, and return what opens its page."""
    with api.served() as url:
        visitor = Visitor(browser, url)
        yield visitor
        visitor.close()
    assert visitor.faults == []


@pytest.fixture
def locked(api: Api) -> str:
    """Let `api` take keys alone; return one of the role viewer. To be named before `visit`."""
    store = MemoryKeyStore()
    made = keys.new("desk", Role.VIEWER, datetime.now(UTC))
    store.put(made.key.row())
    access = Access.of(api.settings, store, MemoryAuditLog(), CollectorRegistry())
    api.app = application(api.services, access, api._started)
    return made.text


class Line:
    """A server that a test ends and begins anew at the same address, and a page that watches."""

    def __init__(self, browser: Browser, api: Api) -> None:
        self._api = api
        self._stack = ExitStack()
        url = self._stack.enter_context(api.served())
        self._port = urlsplit(url).port or 0
        self.visit = Visitor(browser, url)

    def cut(self) -> None:
        """End the server."""
        self._stack.close()

    def mend(self, api: Api | None = None) -> None:
        """Begin a server again, of another API if one is given."""
        self._stack.enter_context((api or self._api).served(self._port))


@pytest.fixture
def line(browser: Browser, api: Api) -> Iterator[Line]:
    """Return a served API that can be cut off."""
    line = Line(browser, api)
    yield line
    line.visit.close()
    line.cut()
    assert line.visit.faults == []


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for screenshots: that of TAPELINE_HOME, else a temporary one."""
    home = os.environ.get("TAPELINE_HOME")
    folder = Path(home).expanduser() if home else tmp_path_factory.mktemp("home")
    (folder / "screenshots").mkdir(parents=True, exist_ok=True)
    return folder / "screenshots"
