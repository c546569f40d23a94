"""What the tests of the page do with it."""

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.drawings import chest, encode

CHEST = encode(chest(0), "PNG")


def a_file(name: str, data: bytes) -> Any:
    """A file as Playwright hands it to an <input>."""
    return {"name": name, "mimeType": "", "buffer": data}


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    """Choose files by the page's own input."""
    page.set_input_files("#files", [a_file(name, data) for name, data in files])


def finished(page: Page, total: int) -> None:
    """Wait until all images are done, with or without an answer."""
    expect(page.locator("#progress")).to_contain_text(f"{total} of {total} done")


def rows(page: Page) -> Locator:
    """The rows of the list."""
    return page.locator("#list > li")
