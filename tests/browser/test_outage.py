"""The service goes away while images are analysed: nothing is lost, and what waited is done by itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect

from tests.browser.conftest import load_page, new_context
from tests.browser.pages import CHEST, choose, finished, rows
from tests.drawings import jpeg
from tests.e2e.server import running

AWAY = "The service is not responding"


def fail(status: int, slug: str | None) -> Any:
    """A handler of a route that answers with a problem, or as a proxy without a service behind it."""

    def answer(route: Route) -> None:
        body = json.dumps({"type": f"/problems/{slug}", "title": "", "status": status, "detail": "", "request_id": "x"})
        route.fulfill(status=status, body=body if slug else "<html>Bad Gateway</html>")

    return answer


def test_fifty_images_and_a_service_that_is_killed_and_started_again(
    browser: Browser, guarded_folder: Path, tmp_path: Path
) -> None:
    context = new_context(browser)
    page = context.new_page()
    with running(guarded_folder, tmp_path) as first:
        load_page(page, first.url)
        choose(page, *((f"{number:02}.jpeg", jpeg(number)) for number in range(30)))
        expect(rows(page)).to_have_count(30)
        first.process.kill()
        first.process.wait()
        choose(page, *((f"{number:02}.jpeg", jpeg(number)) for number in range(30, 50)))
        expect(page.locator("#banner")).to_contain_text(AWAY)
        expect(page.locator("#progress")).to_contain_text("of 50 done")
        expect(page.locator("#progress")).not_to_contain_text("failed")
        expect(page.locator("#progress")).not_to_contain_text("50 of 50")
    with running(guarded_folder, tmp_path, port=first.port):
        finished(page, 50)
        expect(page.locator("#banner")).to_be_empty()
        expect(page.locator("#progress")).not_to_contain_text("failed")
        assert rows(page).locator(".number").count() == 50
        page.locator("#list .row").nth(49).click()
        expect(page.locator("#heat")).to_be_visible()
    context.close()


def test_a_proxy_that_has_no_service_behind_it_is_waited_for(page: Page) -> None:
    for path in ("**/predict*", "**/health/ready"):
        page.route(path, fail(502, None))
    choose(page, ("a.png", CHEST), ("b.png", CHEST))
    expect(page.locator("#banner")).to_contain_text(AWAY)
    expect(rows(page).first).to_contain_text("Waiting")
    for path in ("**/predict*", "**/health/ready"):
        page.unroute(path)
    finished(page, 2)
    expect(page.locator("#banner")).to_be_empty()


def test_a_connection_that_breaks_while_the_service_is_there_fails_the_image_after_some_attempts(page: Page) -> None:
    asked: list[str] = []

    def abort(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route("**/predict*", abort)
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    assert len(asked) == 3
    expect(rows(page).first).to_contain_text("The connection breaks while this file is sent")
    page.unroute("**/predict*")
    rows(page).first.get_by_role("button", name="Try again").click()
    expect(rows(page).first.locator(".label")).to_be_visible()


def test_all_that_failed_can_be_tried_again_at_once(page: Page) -> None:
    page.route("**/predict*", fail(500, "internal-error"))
    choose(page, ("a.png", CHEST), ("b.png", CHEST), ("letter.txt", b"Dear Doctor"))
    finished(page, 3)
    page.unroute("**/predict*")
    rows(page).nth(2).get_by_role("button", name="Try again").click()
    expect(rows(page).nth(2)).to_contain_text("Not a JPEG, PNG or DICOM image.")
    expect(page.locator("#progress")).to_contain_text("3 failed")
    page.get_by_role("button", name="Retry all").click()
    expect(page.locator("#progress")).to_contain_text("1 failed")
    expect(rows(page).locator(".number")).to_have_count(2)
    expect(page.get_by_role("button", name="Retry all")).to_be_hidden()


def test_a_file_that_is_gone_when_the_service_is_back_says_so(page: Page, tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    gone.write_bytes(CHEST)
    page.route("**/predict*", fail(502, None))
    page.route("**/health/ready", fail(502, None))
    page.set_input_files("#files", gone)
    expect(page.locator("#banner")).to_contain_text(AWAY)
    gone.unlink()
    page.unroute("**/predict*")
    page.unroute("**/health/ready")
    expect(rows(page).first).to_contain_text("The file cannot be opened any more")


@pytest.mark.parametrize("leaves", [True, False])
def test_leaving_the_page_asks_first_if_there_are_results(page: Page, leaves: bool) -> None:
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept() if leaves else dialog.dismiss()

    page.on("dialog", answer)
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    rows(page).first.locator(".row").click()  # browsers ask only those who have used the page
    page.evaluate("setTimeout(() => location.reload())")
    if leaves:
        expect(page.locator("#start")).to_be_visible()
    page.wait_for_function("true")
    expect(rows(page)).to_have_count(0 if leaves else 1)
    assert asked == ["beforeunload"]
