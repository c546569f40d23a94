"""WCAG 2.2 AA as axe-core checks it, in every state of the page, dark and light, wide and narrow."""

from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import CHEST, choose, finished
from tests.drawings import encode

AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FLAT = encode(np.full((300, 300), 200, np.uint8), "PNG")


def violations(page: Page) -> list[str]:
    """What axe finds: rule, and where."""
    page.evaluate(AXE)
    found: Any = page.evaluate("tags => axe.run({ runOnly: tags })", TAGS)
    assert len(found["passes"]) > 10
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found["violations"]]


@pytest.mark.parametrize(("scheme", "width"), [("dark", 1366), ("light", 1366), ("dark", 360)])
def test_no_state_of_the_page_violates_it(page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 768})
    assert violations(page) == []
    choose(page, ("a.png", CHEST), ("flat.png", FLAT), ("bad.png", b"no"))
    finished(page, 3)
    if width == 360:
        assert violations(page) == []
    page.locator("#list .row").nth(1).click()
    expect(page.locator("#heat")).to_be_visible()
    page.locator("#split").check()
    assert violations(page) == []
    page.keyboard.press("t")
    assert violations(page) == []


@pytest.mark.parametrize("button", ["open-help", "open-card", "clear"])
def test_no_dialog_violates_it(page: Page, button: str) -> None:
    choose(page, ("a.png", CHEST))
    finished(page, 1)
    page.locator(f"#{button}").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    assert violations(page) == []
