"""The documentation site in a real browser, from a disk: it can be searched, and asks nobody for anything."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tools.build_site import build


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site") / "out")


def test_it_is_searched_and_read_without_a_server(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{site.as_uri()}/index.html")
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("audit-unavailable")
    found = page.locator("a[href*='errors.html'][href$='#audit-unavailable']").first
    expect(found).to_be_visible()
    found.click()
    expect(page).to_have_url(re.compile(r"/docs/errors\.html(\?.*)?#audit-unavailable$"))
    expect(page.locator("#audit-unavailable")).to_be_in_viewport()
    assert len(asked) > 4
    assert [url for url in asked if not url.startswith((f"{site.as_uri()}/", "data:"))] == []
    context.close()
