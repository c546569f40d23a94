"""The page of a service that requires API keys."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.access.keys import Scope, add_key, make_key, revoke_key
from tests.browser.conftest import new_context
from tests.browser.pages import CHEST, choose, finished, rows
from tests.e2e.server import Server, running
from tests.waiting import until


class KeysFile:
    """A service's key file, and its keys by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, str] = {}

    def add(self, name: str, scope: Scope) -> str:
        """Add a key to the file; return it."""
        self.keys[name], key = make_key(name, [scope])
        add_key(self.path, key)
        return self.keys[name]


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> KeysFile:
    file = KeysFile(tmp_path_factory.mktemp("keys") / "keys.json")
    file.add("ward-3", "predict")
    file.add("prometheus", "metrics")
    return file


@pytest.fixture(scope="module")
def keyed(guarded_folder: Path, keys_file: KeysFile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(guarded_folder, tmp_path_factory.mktemp("keyed"), keys_file=keys_file.path) as started:
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


def await_reloaded(server: Server, key: str, status: int) -> None:
    """Wait until the service has reloaded the key file."""
    until(lambda: server.get("/model", headers={"Authorization": f"Bearer {key}"}).status_code == status)


def enter(page: Page, key: str) -> None:
    page.get_by_label("Access key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_the_page_asks_for_a_key_and_then_analyses_files_dropped_before(opened: Page, keys_file: KeysFile) -> None:
    why = opened.locator("#key-why")
    expect(why).to_contain_text("An access key is required")
    expect(opened.locator("#notice strong")).to_be_in_viewport()
    choose(opened, ("x.png", CHEST))
    expect(opened.locator("#progress")).to_contain_text("0 of 1 done")
    enter(opened, "xray_wrong")
    expect(why).to_contain_text("Key invalid, revoked or expired")
    enter(opened, keys_file.keys["prometheus"])
    expect(why).to_contain_text("cannot analyse images")
    enter(opened, f"  {keys_file.keys['ward-3']} ")
    finished(opened, 1)
    expect(opened.locator("#key-form")).to_be_hidden()
    rows(opened).first.get_by_role("button").click()
    expect(opened.locator("#heat")).to_be_visible()
    assert opened.locator("#key").evaluate("input => getComputedStyle(input).webkitTextSecurity") == "disc"
    assert not re.search("xray_", opened.url)


def test_after_a_revocation_the_page_asks_for_another_key_and_loses_nothing(
    opened: Page, keyed: Server, keys_file: KeysFile
) -> None:
    keys_file.add("short", "predict")
    await_reloaded(keyed, keys_file.keys["short"], 200)
    enter(opened, keys_file.keys["short"])
    why = opened.locator("#key-why")
    choose(opened, ("a.png", CHEST))
    finished(opened, 1)
    revoke_key(keys_file.path, "short")
    await_reloaded(keyed, keys_file.keys["short"], 401)
    choose(opened, *[(f"{n}.png", CHEST) for n in range(6)])
    expect(why).to_contain_text("Key invalid, revoked or expired")
    expect(opened.locator("#progress")).to_contain_text("1 of 7 done")
    enter(opened, keys_file.keys["ward-3"])
    finished(opened, 7)
    expect(opened.locator("#progress")).not_to_contain_text("failed")
