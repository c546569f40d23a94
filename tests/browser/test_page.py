"""The page in a real browser: what physicians do with it, and what it must never do."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from service.client.results import COLUMNS
from tests.browser.pages import CHEST, a_file, choose, finished, rows
from tests.browser.pictures import pixel
from tests.drawings import chest, encode, jpeg
from tests.e2e.server import Server
from tests.waiting import until

DROP = """([files, target]) => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
  const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  return document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize("target", ["#start", "header"])
def test_a_dropped_radiograph_is_analysed(page: Page, target: str) -> None:
    page.evaluate(DROP, [[["x.png", list(CHEST)]], target])
    finished(page, 1)
    row = rows(page).first
    expect(row).to_contain_text("x.png")
    brightness = chest(0).mean() / 258
    assert float(row.locator(".number").inner_text()) == pytest.approx(brightness, abs=0.002)
    expect(row.locator(".label")).to_have_text("PNEUMONIA" if brightness >= 0.4 else "Below threshold")


def test_files_are_kept_that_come_before_the_texts_of_the_page(page: Page) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/languages/*.json", hold)
    with page.expect_request("**/languages/*.json"):
        page.reload()
    choose(page, ("chosen.png", CHEST))
    assert page.evaluate(DROP, [[["dropped.png", list(CHEST)]], "body"]) is False  # the browser would open it otherwise
    assert rows(page).count() == 0
    held[0].continue_()
    finished(page, 2)
    expect(rows(page)).to_contain_text(["chosen.png", "dropped.png"])


def test_the_notice_is_visible_before_and_after_a_result(page: Page) -> None:
    notice = page.locator("#notice")
    expect(notice).to_be_in_viewport()
    expect(notice).to_contain_text("Not a medical device; decision support only.")
    expect(notice).to_contain_text("No intended use is stated")
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    expect(notice.locator("strong")).to_be_in_viewport()
    page.keyboard.press("t")
    expect(notice.locator("strong")).to_be_in_viewport()


def test_the_intended_use_comes_from_the_model_card(page: Page) -> None:
    card = (
        "# m\n\n## Uses and directions\n\n- For: children of\n  one to five `years`.\n- Not for: adults.\n\n## Data\n"
    )
    page.route("**/model/card", lambda route: route.fulfill(body=card, content_type="text/markdown"))
    page.reload()
    expect(page.locator("#meant-for")).to_have_text("Intended use: children of one to five years.")
    expect(page.locator("#not-meant-for")).to_have_text("Not intended for: adults.")


def test_a_bad_file_does_not_affect_the_good_ones(page: Page) -> None:
    choose(page, ("a.png", CHEST), ("cut.jpeg", jpeg()[:2000]), ("letter.txt", b"Dear Doctor"), ("b.png", CHEST))
    finished(page, 4)
    expect(page.locator("#progress")).to_contain_text("2 failed")
    expect(rows(page).nth(1)).to_contain_text("The image is truncated or damaged.")
    expect(rows(page).nth(2)).to_contain_text("Not a JPEG, PNG or DICOM image.")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)  # it would not help
    for good in (0, 3):
        expect(rows(page).nth(good).locator(".label")).to_be_visible()
    rows(page).nth(1).locator(".row").click()
    expect(page.locator("#facts")).to_contain_text("The image is truncated or damaged.")
    expect(page.locator("#heat")).to_be_hidden()


def test_the_heatmap_overlays_the_image_and_can_be_adjusted(page: Page) -> None:
    """The model's heatmap is the reduced image: a white corner is evidence, the black rest is not."""
    picture = np.zeros((400, 400), np.uint8)
    picture[:200, :200] = 255
    choose(page, ("x.png", encode(picture, "PNG")))
    finished(page, 1)
    rows(page).first.locator(".row").click()
    expect(page.locator("#heat")).to_be_visible()
    frame = page.locator("#stage").bounding_box()
    assert frame
    side = min(frame["width"], frame["height"])
    left, top = (frame["width"] - side) / 2, (frame["height"] - side) / 2
    bright, dark = (left + side / 4, top + side / 4), (left + 3 * side / 4, top + 3 * side / 4)
    page.locator("#opacity").fill("100")
    red, _, blue = pixel(page, "#stage", bright)
    assert red > blue + 100
    assert pixel(page, "#stage", dark) == (0, 0, 0)
    page.locator("#opacity").fill("40")
    _, _, paler = pixel(page, "#stage", bright)
    assert blue + 50 < paler < 255
    page.keyboard.press("h")
    expect(page.locator("#heat")).to_be_hidden()
    assert pixel(page, "#stage", bright) == (255, 255, 255)


def test_a_heatmap_is_requested_once_and_only_when_its_image_is_opened(page: Page) -> None:
    """The first image opens by itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2].partition("?")[0]))
    choose(page, ("a.png", CHEST), ("b.png", encode(chest(1), "PNG")))
    finished(page, 2)
    expect(page.locator("#heat")).to_be_visible()
    assert asked.count("explain") == 1
    for row in (0, 1, 0):
        rows(page).nth(row).locator(".row").click()
        expect(page.locator("#heat")).to_be_visible()
    assert (asked.count("predict"), asked.count("explain")) == (2, 2)


def test_window_level_zoom_and_position_by_pointer(page: Page) -> None:
    choose(page, ("x.png", encode(np.full((400, 400), 100, np.uint8), "PNG")))
    finished(page, 1)
    rows(page).first.locator(".row").click()
    expect(page.locator("#heat")).to_be_visible()
    page.keyboard.press("h")
    box = page.locator("#stage").bounding_box()
    assert box
    middle = box["width"] / 2, box["height"] / 2
    x, y = box["x"] + middle[0], box["y"] + middle[1]
    readout = page.locator("#readout")
    before = readout.inner_text()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 55, y - 28, steps=4)
    page.mouse.up()
    expect(readout).to_contain_text("W 200 L 100")
    # Window 200, level 100: grey 100 is in the middle.
    assert pixel(page, "#stage", middle)[0] == pytest.approx(128, abs=2)
    zoom = int(before.split()[-2])
    page.mouse.wheel(0, -200)
    expect(readout).not_to_contain_text(f"{zoom} %")
    page.keyboard.down("Shift")
    page.mouse.down()
    page.mouse.move(x - 55 + 4000, y, steps=2)
    page.mouse.up()
    page.keyboard.up("Shift")
    assert pixel(page, "#stage", (5, 5)) == (0, 0, 0)
    page.mouse.dblclick(x, y)
    expect(readout).to_have_text(before)
    assert pixel(page, "#stage", middle) == (100, 100, 100)


def test_fifty_files(page: Page) -> None:
    choose(page, *((f"{number:02}.jpeg", jpeg(number)) for number in range(50)))
    finished(page, 50)
    expect(page.locator("#live")).to_contain_text("50 of 50 done")
    assert rows(page).locator(".number").count() == 50
    shown = [text.split("\n")[0] for text in rows(page).all_inner_texts()]
    assert shown == [f"{number:02}.jpeg" for number in range(50)]


def test_the_page_retries_while_the_service_is_at_capacity(page: Page) -> None:
    refusals = {"left": 3}

    def answer(route: Any) -> None:
        if refusals["left"]:
            refusals["left"] -= 1
            body = {"type": "/problems/overloaded", "title": "", "status": 503, "detail": "", "request_id": "x"}
            route.fulfill(status=503, headers={"Retry-After": "1"}, body=json.dumps(body))
        else:
            route.continue_()

    page.route("**/predict*", answer)
    choose(page, *((f"{number}.png", CHEST) for number in range(6)))
    finished(page, 6)
    assert refusals["left"] == 0
    assert rows(page).locator(".number").count() == 6


def test_a_warning_is_shown_and_the_label_marked_unreliable(page: Page) -> None:
    choose(page, ("grey.png", encode(np.full((300, 300), 200, np.uint8), "PNG")), ("x.png", CHEST))
    finished(page, 2)
    expect(rows(page).nth(0)).to_contain_text("Outside the training data: result unreliable")
    expect(rows(page).nth(0).locator(".label")).to_have_class(re.compile("unreliable"))
    expect(rows(page).nth(1).locator(".label")).not_to_have_class(re.compile("unreliable"))
    rows(page).nth(0).locator(".row").click()
    expect(page.locator("#facts .warnings")).to_contain_text("the result is unreliable")
    page.keyboard.press("t")
    expect(page.locator("#rows td.label").first).to_have_class(re.compile("unreliable"))


def test_another_operating_point_changes_labels_without_a_new_request(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    label = rows(page).first.locator(".label")
    page.locator("#point").select_option("rule-out")
    expect(label).to_have_text("PNEUMONIA")
    page.locator("#point").select_option("rule-in")
    expect(label).to_have_text("Below threshold")
    expect(page.locator("#progress")).to_contain_text("0 PNEUMONIA, 1 below threshold")
    page.get_by_role("radio", name="Table").check()
    expect(page.locator("#rows")).to_contain_text("0.8000")
    assert sum("predict" in url for url in asked) == 1


def test_the_table_sorts_and_is_downloaded_without_formulas(page: Page) -> None:
    evil = '=HYPERLINK("x","y"), "1".png'
    choose(page, ("b.png", CHEST), (evil, encode(chest(1), "PNG")), ("bad.png", b"no"), ("a10.png", CHEST))
    finished(page, 4)
    page.get_by_role("radio", name="Table").check()
    names = page.locator("#rows th")
    page.get_by_role("button", name="File", exact=True).click()
    expect(page.locator("th[data-column=name]")).to_have_attribute("aria-sort", "ascending")
    expect(names).to_have_text([evil, "a10.png", "b.png", "bad.png"])
    page.get_by_role("button", name="Probability").click()
    expect(names.last).to_have_text("bad.png")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text)))
    assert tuple(table[0]) == COLUMNS
    assert {row["file"] for row in table} == {f"'{evil}", "a10.png", "b.png", "bad.png"}
    assert table[-1]["problem"] == "unsupported-media-type"
    read = [row for row in table if row["label"]]
    assert sorted((float(row["probability"]) for row in read), reverse=True) == [
        float(row["probability"]) for row in read
    ]
    assert {(row["model"], row["version"], row["operating_point"]) for row in read} == {("brightness", "1", "balanced")}
    assert all(row["request_id"] for row in table)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", " =", "\uff1d"])
def test_no_cell_begins_a_formula(page: Page, start: str) -> None:
    cell = page.evaluate("async (text) => (await import('/page/images/csv.js')).cell(text)", f'{start}1+"1"')
    assert cell == f'"\'{start}1+""1"""'


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    files = [a_file(f"{number}.png", encode(chest(number), "PNG")) for number in range(3)]
    page.on("filechooser", lambda chooser: chooser.set_files(files))
    page.keyboard.press("Tab")
    reached = []
    while page.evaluate("document.activeElement.id") != "choose":
        reached.append(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
        assert len(reached) < 10
    assert reached == ["point", "language", "theme", "", "open-help", "open-card"]  # "": the link to /docs
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    finished(page, 3)
    while not page.evaluate("document.activeElement.matches('.row')"):
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-name")).to_have_text("1.png")
    expect(page.locator("#heat")).to_be_visible()
    readout = page.locator("#readout")
    before = readout.inner_text()
    for key in ("+", "Shift+ArrowRight", "Shift+ArrowDown"):
        shown = readout.inner_text()
        page.keyboard.press(key)
        expect(readout).not_to_have_text(shown)
    transform = page.locator("#pane .plane").get_attribute("style")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#pane .plane").get_attribute("style") != transform
    page.keyboard.press("0")
    expect(readout).to_have_text(before)
    page.keyboard.press("]")
    assert page.locator("#opacity").input_value() == "70"
    page.keyboard.press("n")
    expect(page.locator("#viewer-name")).to_have_text("2.png")
    page.keyboard.press("p")
    expect(page.locator("#viewer-name")).to_have_text("1.png")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer-open")).to_be_hidden()
    assert page.evaluate("document.activeElement.textContent").startswith("1.png")
    page.keyboard.press("?")
    expect(page.locator("#help-title")).to_be_in_viewport()
    page.locator("#single-keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("#table")).to_be_hidden()


def test_the_width_of_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    choose(page, ("a_rather_long_name_of_a_file_from_somewhere.png", CHEST), ("bad.png", b"no"))
    finished(page, 2)

    def overflow() -> int:
        return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))

    assert overflow() <= 0
    rows(page).first.locator(".row").click()
    expect(page.locator("#heat")).to_be_visible()
    expect(page.locator("#list")).to_be_hidden()
    expect(page.locator("#notice strong")).to_be_in_viewport()
    assert overflow() <= 0
    page.locator("#back").click()
    expect(page.locator("#list")).to_be_visible()


def test_the_theme_is_that_of_the_system_or_the_chosen_one_which_is_remembered(page: Page) -> None:
    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    system = ground()
    page.locator("#theme").select_option("dark")
    dark = ground()
    assert dark != system  # headless Chromium's system is light
    page.reload()
    page.locator("#point option").first.wait_for(state="attached")
    assert ground() == dark
    page.locator("#theme").select_option("system")
    assert ground() == system
    page.emulate_media(color_scheme="dark")
    until(lambda: ground() == dark)


def test_file_names_stay_in_the_browser(page: Page, server: Server) -> None:
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(f"{request.url} {request.headers} {request.post_data_buffer or b''!r}")
    )
    choose(page, ("Jane_Doe_1970.png", CHEST))
    finished(page, 1)
    rows(page).first.locator(".row").click()
    expect(page.locator("#heat")).to_be_visible()
    assert len(sent) >= 2
    assert "Jane" not in "".join(sent) + server.log


def test_an_image_is_upright_in_the_browser_too(page: Page) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = np.zeros((200, 400), np.uint8)
    picture[:, :100] = 250
    choose(page, ("x.jpeg", encode(picture, "JPEG", exif=exif)))
    finished(page, 1)
    expect(rows(page).first).to_contain_text("verify left and right")
    rows(page).first.locator(".row").click()
    expect(page.locator("#heat")).to_be_visible()
    page.keyboard.press("h")
    size = page.locator("#picture").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert size == [200, 400]
    box = page.locator("#stage").bounding_box()
    assert box
    assert pixel(page, "#stage", (box["width"] / 2, box["height"] / 8))[0] > 240
    assert pixel(page, "#stage", (box["width"] / 2, box["height"] * 7 / 8))[0] < 15


@pytest.mark.parametrize("full", [4095, 65535])
def test_sixteen_bit_images_are_shown_as_they_are_analysed(page: Page, full: int) -> None:
    """A browser would show 12 bits stored unshifted as black."""
    ramp = np.linspace(0, full, 400).astype(np.uint16)
    data = encode(Image.fromarray(np.tile(ramp, (300, 1))), "PNG")
    choose(page, ("x.png", data))
    finished(page, 1)
    rows(page).first.locator(".row").click()
    expect(page.locator("canvas#picture")).to_be_attached()
    shown = page.locator("#picture").evaluate(
        "canvas => [...canvas.getContext('2d').getImageData(0, 100, 400, 1).data].filter((_, at) => at % 4 === 0)"
    )
    assert shown == pytest.approx([(int(sample) * 255 + full // 2) // full for sample in ramp], abs=0)


def test_a_folder_is_searched_and_other_files_are_skipped(page: Page, tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.PNG", "1.jpg", "notes.txt", "DICOMDIR"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CHEST)
    page.set_input_files("#folder", tmp_path)
    finished(page, 3)
    expect(page.locator("#notes")).to_contain_text("Files skipped (not JPEG, PNG or DICOM): 2:")


def test_all_images_can_be_removed_during_analysis(page: Page) -> None:
    choose(page, *((f"{number}.jpeg", jpeg(number)) for number in range(20)))
    page.locator("#clear").click()
    page.get_by_role("button", name="Cancel").click()
    expect(rows(page)).to_have_count(20)
    page.locator("#clear").click()
    page.locator("#confirm-yes").click()
    expect(page.locator("#start")).to_be_visible()
    assert rows(page).count() == 0
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    assert rows(page).count() == 1
