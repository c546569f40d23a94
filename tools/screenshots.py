"""The pictures of the page in docs/images, taken from the running page: a desktop's and a phone's.

    python tools/screenshots.py [--out docs/images]

Starts the service with a model that stands in for the default one, drops drawn radiographs on its page in Debian's
Chromium, and takes the pictures when every answer is there.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect

sys.path.insert(0, str(Path(__file__).parent.parent))

from service.settings import Settings
from tests import ROOT
from tests.browser.chromium import chromium
from tests.e2e.server import running
from tools.stand_in import files, write_stand_in

_SIZES = {"page.png": (1366, 768), "phone.png": (360, 760)}
_OPENED = "case-02.png"
# Otherwise each answer would have another, and so each picture.
_REQUEST_ID = "8c5f0a2e9d4b4c1f"


def take(browser: Browser, out: Path) -> None:
    """Take every picture into a folder, which exists."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / "model"
        write_stand_in(model, Settings.model_fields["model"].default)
        with running(model, Path(scratch)) as server:
            for name, (width, height) in _SIZES.items():
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme="dark", locale="en-GB"
                )
                page.route("**/predict*", _with_request_id)
                page.goto(server.url)
                _open_one(page)
                page.screenshot(path=out / name)
                page.close()


def _with_request_id(route: Route) -> None:
    route.continue_(headers={**route.request.headers, "x-request-id": _REQUEST_ID})


def _open_one(page: Page) -> None:
    """Drop all files, wait for every answer, open one and wait for its heatmap."""
    page.locator("#point option").first.wait_for(state="attached")
    dropped = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files()]
    page.set_input_files("#files", dropped)  # type: ignore[arg-type]  # its own type for a plain dictionary
    expect(page.locator("#progress-bar")).to_be_hidden()
    page.locator("#list button.row", has_text=_OPENED).click()
    expect(page.locator("#heat")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out: Path = parser.parse_args().out
    with chromium() as browser:
        take(browser, out)
    print(*(out / name for name in _SIZES), sep="\n")


if __name__ == "__main__":
    main()
