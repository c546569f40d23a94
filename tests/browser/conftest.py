"""A real browser, if one is installed, and a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import TimeoutError as Late

from tests.browser.chromium import DEADLINE_MS, chromium
from tests.e2e.server import Server, running
from tests.programs import unusable

_STORED = """async () => [
    Object.keys(localStorage).filter((key) => !["xray.language", "xray.theme", "xray.prevalence"].includes(key)).length,
    sessionStorage.length, document.cookie, (await indexedDB.databases()).length,
    (await caches.keys()).length, (await navigator.serviceWorker.getRegistrations()).length,
]"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    if reason := unusable(("chromium",)):
        pytest.skip(reason)
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture(scope="package")
def server(guarded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose probability is the brightness, with a guard and three operating points."""
    with running(guarded_folder, tmp_path_factory.mktemp("page")) as started:
        yield started


def new_context(browser: Browser, height: int = 800, locale: str = "en-GB") -> BrowserContext:
    """A browser context of a desktop's size, with the tests' deadline as its timeout."""
    context = browser.new_context(viewport={"width": 1280, "height": height}, locale=locale)
    context.set_default_timeout(DEADLINE_MS)
    return context


def load_page(opened: Page, url: str) -> None:
    """Open the page and wait until it has loaded its model.

    On a machine with six times the load it can take, this did not end twice in one run of the suite, for an unknown
    reason. The tests are about the page, not the machine, so the page is opened again; what it was waiting for is
    printed.
    """
    waiting: set[str] = set()
    opened.on("request", lambda request: waiting.add(request.url))
    opened.on("requestfinished", lambda request: waiting.discard(request.url))
    for wait_ms in (DEADLINE_MS / 5, DEADLINE_MS):
        opened.goto(url)
        try:
            return opened.locator("#point option").first.wait_for(state="attached", timeout=wait_ms)
        except Late:
            print(f"the page did not load within {wait_ms / 1000:g} s; it waits for {sorted(waiting)}")
    raise AssertionError("the page did not load")


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, opened. It sends requests to this server only, raises no error and stores nothing but preferences."""
    context = new_context(browser)
    opened = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    opened.on("requestfailed", lambda request: print("failed:", request.url, request.failure))
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    load_page(opened, server.url)
    yield opened
    assert errors == []
    assert asked
    assert [url for url in asked if not url.startswith((f"{server.url}/", f"blob:{server.url}/"))] == []
    stored = opened.evaluate(_STORED)
    assert stored == [0, 0, "", 0, 0, 0]
    assert context.cookies() == []
    context.close()
