"""``/docs`` in a real browser: it uses no other host, and uploads a file."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import new_context
from tests.drawings import jpeg
from tests.e2e.server import Server
from tests.openapi import operations

FILE: Any = {"name": "x.jpeg", "mimeType": "image/jpeg", "buffer": jpeg()}


@pytest.fixture
def docs(browser: Browser, server: Server) -> Iterator[Page]:
    """Swagger UI, opened. It sends requests to this server only, and all succeed."""
    context = new_context(browser, height=1600)
    opened = context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("response", lambda answer: errors.append(answer.url) if answer.status >= 400 else None)
    opened.on("requestfailed", lambda request: errors.append(request.url))
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    opened.goto(f"{server.url}/docs")
    yield opened
    assert errors == []
    assert len(asked) > 4
    assert [url for url in asked if not url.startswith((f"{server.url}/", f"blob:{server.url}/", "data:"))] == []
    context.close()


def open_call(docs: Page, path: str) -> Locator:
    call = docs.locator(f"#operations-Prediction-{path}")
    call.click()
    call.locator(".try-out__btn").click()
    return call


@pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", "multipart/form-data"])
@pytest.mark.parametrize("path", ["predict", "explain"])
def test_a_file_is_uploaded_and_read(docs: Page, path: str, kind: str) -> None:
    call = open_call(docs, path)
    call.locator(".opblock-section-request-body select").first.select_option(kind)
    call.locator("input[type=file]").set_input_files(FILE)
    call.get_by_role("button", name="Execute").click()
    answer = call.locator(".live-responses-table")
    expect(answer.locator(".response-col_status").last).to_have_text("200")
    if path == "predict":
        expect(answer.locator(".highlight-code").first).to_contain_text('"probability"')
    else:
        expect(answer.locator("img")).to_be_visible()
        assert answer.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") >= 560


def test_every_call_is_shown(docs: Page) -> None:
    calls = docs.locator(".opblock")
    expect(calls).to_have_count(len(list(operations())))
    calls.last.locator(".opblock-summary").first.click()
    expect(calls.last.locator(".responses-wrapper")).to_contain_text("uri-too-long")
