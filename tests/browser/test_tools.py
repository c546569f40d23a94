"""The tools of the viewer, and DICOM objects in it."""

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import choose, finished, rows
from tests.browser.pictures import pixel
from tests.dicom_objects import drawn
from tests.drawings import encode

# Grey 100, with a white corner at the top left.
CORNER = np.full((400, 400), 100, np.uint8)
CORNER[:100, :100] = 255


def opened(page: Page, data: bytes) -> Any:
    """Open an image without its heatmap; returns the box of the stage."""
    choose(page, ("x", data))
    finished(page, 1)
    expect(page.locator("#heat")).to_be_visible()
    page.locator("#heat-on").uncheck()
    box = page.locator("#stage").bounding_box()
    assert box
    return box


def corners(page: Page, box: Any) -> list[int]:
    """Grey of the picture near its corners: top left, top right, bottom right, bottom left."""
    side = min(box["width"], box["height"])
    left, top = (box["width"] - side) / 2, (box["height"] - side) / 2
    places = [(0.06, 0.06), (0.94, 0.06), (0.94, 0.94), (0.06, 0.94)]
    return [pixel(page, "#stage", (left + side * x, top + side * y))[0] for x, y in places]


def test_invert_rotate_mirror_and_reset(page: Page) -> None:
    box = opened(page, encode(CORNER, "PNG"))
    assert np.argmax(corners(page, box)) == 0
    page.get_by_role("button", name="Rotate by 90 degrees").click()
    assert np.argmax(corners(page, box)) == 1
    expect(page.locator("#readout")).to_contain_text("rotated or mirrored by you")
    page.get_by_role("button", name="Mirror left and right").click()
    assert np.argmax(corners(page, box)) == 0
    page.keyboard.press("i")
    assert np.argmin(corners(page, box)) == 0
    assert corners(page, box)[2] == pytest.approx(155, abs=2)
    expect(page.locator("#readout")).to_contain_text("inverted")
    page.get_by_role("button", name="Reset").click()
    assert corners(page, box)[2] == 100
    expect(page.locator("#readout")).not_to_contain_text("inverted")


def test_one_pixel_of_the_image_to_one_of_the_screen(page: Page) -> None:
    opened(page, encode(CORNER, "PNG"))
    page.get_by_role("button", name="One pixel of the image to one of the screen").click()
    expect(page.locator("#readout")).to_contain_text("100 %")
    box = page.locator("#pane .plane").bounding_box()
    assert box
    assert box["width"] == pytest.approx(400, abs=1)


def test_the_radiograph_beside_its_heatmap(page: Page) -> None:
    opened(page, encode(CORNER, "PNG"))
    page.locator("#heat-on").check()
    page.locator("#split").check()
    plain, mixed = page.locator("#plain-pane").bounding_box(), page.locator("#pane").bounding_box()
    assert plain
    assert mixed
    assert plain["width"] == pytest.approx(mixed["width"], abs=2)
    side = plain["width"]
    at = (side / 2, plain["height"] / 2 - side / 4)
    red, _, blue = pixel(page, "#plain-pane", at)
    assert red == blue
    red, _, blue = pixel(page, "#pane", at)
    assert red != blue


def drag(page: Page, box: Any, start: float, end: float) -> None:
    """Drag over the middle of the stage, from and to these shares of the picture's side."""
    side = min(box["width"], box["height"])
    left = box["x"] + (box["width"] - side) / 2
    page.mouse.move(left + side * start, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(left + side * end, box["y"] + box["height"] / 2, steps=3)
    page.mouse.up()


def test_the_ruler_measures_pixels_and_stays_on_the_picture(page: Page) -> None:
    box = opened(page, encode(CORNER, "PNG"))
    page.get_by_role("radio", name="Ruler").check()
    drag(page, box, 0.25, 0.75)
    text = page.locator("#ruler text")
    assert float(text.text_content().split()[0]) == pytest.approx(200, abs=2)  # type: ignore[union-attr]
    assert "pixels" in str(text.text_content())
    length = float(page.locator("#ruler line").get_attribute("x2") or 0)
    page.get_by_role("button", name="Zoom in").click()
    assert float(page.locator("#ruler line").get_attribute("x2") or 0) > length
    assert float(text.text_content().split()[0]) == pytest.approx(200, abs=2)  # type: ignore[union-attr]
    page.keyboard.press("0")
    expect(page.locator("#ruler.seen")).to_have_count(0)
    # By two clicks as well: not everybody can drag.
    side = min(box["width"], box["height"])
    middle = box["y"] + box["height"] / 2
    page.mouse.click(box["x"] + box["width"] / 2 - side / 4, middle)
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.click(box["x"] + box["width"] / 2, middle)
    assert float(text.text_content().split()[0]) == pytest.approx(100, abs=2)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({"ImagerPixelSpacing": [0.5, 0.5]}, "mm at the detector"),
        ({"PixelSpacing": [0.5, 0.5]}, "mm"),
        ({}, "pixels"),
    ],
)
def test_a_dicom_object_is_shown_with_what_it_says_and_measured(
    page: Page, attributes: dict[str, Any], unit: str
) -> None:
    pixels = CORNER.astype(np.uint16) * 8
    data = drawn(pixels, WindowCenter=1024, WindowWidth=2048, PatientAge="061Y", ViewPosition="PA", **attributes)
    box = opened(page, data)
    # 100 * 8 in a window from 0 to 2047.
    assert corners(page, box)[2] == pytest.approx(800 / 2047 * 255, abs=1.5)
    facts = page.locator("#facts")
    for text in ("width 2048, level 1024", "61 years", "PA", "400 × 400"):  # noqa: RUF001  as it is shown
        expect(facts).to_contain_text(text)
    thumb = rows(page).first.locator("canvas")
    until_drawn = "canvas => canvas.getContext('2d').getImageData(20, 60, 1, 1).data[0] > 50"
    page.wait_for_function(f"() => ({until_drawn})(document.querySelector('#list canvas'))")
    expect(thumb).to_be_visible()
    page.get_by_role("radio", name="Ruler").check()
    drag(page, box, 0.25, 0.75)
    length, _, found = str(page.locator("#ruler text").text_content()).partition(" ")
    assert found == unit
    assert float(length) == pytest.approx(200 if unit == "pixels" else 100, abs=2)
