"""The page of a service that takes keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.access.keys import Scope, add_key, make_key, revoke_key
from tests.browser.conftest import new_context
from tests.browser.test_page import CHEST, choose, finished, rows
from tests.e2e.server import Server, running
from tests.waiting import until


class Locked:
    """A server that takes keys, and the keys of its file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, str] = {}

    def add(self, name: str, scope: Scope) -> str:
        """Make a key."""
        self.keys[name], key = make_key(name, [scope])
        add_key(self.path, key)
        return self.keys[name]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Locked:
    found = Locked(tmp_path_factory.mktemp("keys") / "keys.json")
    found.add("ward-3", "predict")
    found.add("prometheus", "metrics")
    return found


@pytest.fixture(scope="module")
def keyed(guarded_folder: Path, locked: Locked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(guarded_folder, tmp_path_factory.mktemp("keyed"), keys_file=locked.path) as started:
        yield started


@pytest.fixture
def opened(browser: Browser, keyed: Server) -> Iterator[Page]:
    context = new_context(browser)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.goto(keyed.url)
    yield page
    assert errors == []
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    context.close()


def noticed(server: Server, key: str, status: int) -> None:
    """Wait until the service has looked at the file of keys again."""
    until(lambda: server.get("/model", headers={"Authorization": f"Bearer {key}"}).status_code == status)


def give(page: Page, key: str) -> None:
    page.get_by_label("Access key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_it_asks_for_a_key_and_goes_on_with_what_was_dropped_meanwhile(opened: Page, locked: Locked) -> None:
    why = opened.locator("#key-why")
    expect(why).to_contain_text("An access key is required")
    expect(opened.locator("#notice strong")).to_be_in_viewport()
    choose(opened, ("x.png", CHEST))
    expect(opened.locator("#progress")).to_contain_text("0 of 1 done")
    give(opened, "xray_wrong")
    expect(why).to_contain_text("Key invalid, revoked or expired")
    give(opened, locked.keys["prometheus"])
    expect(why).to_contain_text("cannot analyse images")
    give(opened, f"  {locked.keys['ward-3']} ")
    finished(opened, 1)
    expect(opened.locator("#key-form")).to_be_hidden()
    rows(opened).first.get_by_role("button").click()
    expect(opened.locator("#heat")).to_be_visible()
    assert opened.locator("#key").evaluate("input => getComputedStyle(input).webkitTextSecurity") == "disc"
    assert not re.search("xray_", opened.url)


def test_a_key_that_is_revoked_is_asked_for_again_and_nothing_is_lost(
    opened: Page, keyed: Server, locked: Locked
) -> None:
    locked.add("short", "predict")
    noticed(keyed, locked.keys["short"], 200)
    give(opened, locked.keys["short"])
    why = opened.locator("#key-why")
    choose(opened, ("a.png", CHEST))
    finished(opened, 1)
    revoke_key(locked.path, "short")
    noticed(keyed, locked.keys["short"], 401)
    choose(opened, *[(f"{n}.png", CHEST) for n in range(6)])
    expect(why).to_contain_text("Key invalid, revoked or expired")
    expect(opened.locator("#progress")).to_contain_text("1 of 7 done")
    give(opened, locked.keys["ward-3"])
    finished(opened, 7)
    expect(opened.locator("#progress")).not_to_contain_text("failed")
