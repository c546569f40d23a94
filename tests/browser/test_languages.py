"""The page in each language: chosen by the browser, changed by the user, remembered; nothing overflows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import ROOT
from tests.browser.conftest import load_page, new_context
from tests.browser.pages import CHEST, choose
from tests.e2e.server import Server

LANGUAGES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "service/page/languages").iterdir()}


@pytest.fixture
def page_in(browser: Browser, server: Server) -> Iterator[Any]:
    contexts = []

    def open_page(locale: str) -> Page:
        context = new_context(browser, locale=locale)
        contexts.append(context)
        page = context.new_page()
        load_page(page, server.url)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de-AT", "de"), ("fr-CA", "fr"), ("es-MX", "es"), ("pt-BR", "pt"), ("zh-CN", "zh"), ("fi-FI", "en")],
)
def test_the_browser_chooses_the_language_and_nothing_overflows(page_in: Any, locale: str, language: str) -> None:
    page: Page = page_in(locale)
    texts = LANGUAGES[language]
    assert page.evaluate("document.documentElement.lang") == language
    expect(page.locator("h1")).to_have_text(texts["title"])
    choose(page, ("x.png", CHEST))
    expect(page.locator("#list .verdict .label")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text(texts["probability"])
    for width in (1366, 1024, 360):
        page.set_viewport_size({"width": width, "height": 768})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    undefined = page.evaluate("document.body.textContent.match(/undefined|NaN|\\\\{\\\\w+\\\\}/)")
    assert undefined is None


def test_the_user_changes_the_language_and_it_is_remembered(page_in: Any) -> None:
    page: Page = page_in("en-GB")
    choose(page, ("x.png", CHEST), ("y.txt", b"no"))
    expect(page.locator("#list .verdict .label")).to_be_visible()
    number = page.locator("#list .number").inner_text()
    page.locator("#language").select_option("de")
    expect(page.locator("#clear")).to_have_text("Alle entfernen")
    expect(page.locator("#progress")).to_contain_text("2 von 2 fertig")
    expect(page.locator("#list .number")).to_have_text(number.replace(".", ","))
    expect(page.locator("#facts")).to_contain_text("Wahrscheinlichkeit")
    expect(page.locator("#list .error")).to_have_text("Weder JPEG noch PNG noch DICOM.")
    page.goto(page.url)
    expect(page.locator("h1")).to_have_text("Röntgenthorax")
