"""Letterbox margins are cut off, with text in them; anatomy is kept; heatmaps are mapped back to the whole image."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from contract.image import decode, picture, to_pixels
from contract.margins import GREATEST_MARGIN, WHOLE, Frame, find_frame, on_whole_picture
from tests.drawings import chest, encode

BANDS = {"left": 40, "top": 20, "right": 60, "bottom": 0}


def letterboxed(grey: int = 0, text: str = "") -> NDArray[np.uint8]:
    """A drawn chest of 400 x 320 with bands of 40, 20, 60 and 0 pixels around it."""
    picture = Image.new("L", (500, 340), grey)
    picture.paste(Image.fromarray(chest() // 2 + 60), (BANDS["left"], BANDS["top"]))
    ImageDraw.Draw(picture).text((445, 60), text, fill=255 - grey)
    return np.asarray(picture)


FRAME = (40 / 500, 20 / 340, 1 - 60 / 500, 1.0)


@pytest.mark.parametrize("grey", [0, 255])
@pytest.mark.parametrize("text", ["", "PORTABLE"])
def test_uniform_bands_are_found_with_the_text_in_them(grey: int, text: str) -> None:
    assert find_frame(letterboxed(grey, text)) == pytest.approx(FRAME)


@pytest.mark.parametrize("quality", [50, 90])
def test_bands_are_found_despite_jpeg_noise(quality: int) -> None:
    with Image.open(io.BytesIO(encode(letterboxed(), quality=quality))) as stored:
        assert find_frame(np.asarray(stored)) == pytest.approx(FRAME, abs=8 / 340)


def test_a_picture_without_bands_stays_whole() -> None:
    assert find_frame(chest()) == WHOLE


def test_a_uniform_band_within_the_image_is_not_a_margin() -> None:
    drawn = chest().copy()
    drawn[20:60] = 0
    assert find_frame(drawn) == WHOLE


def test_no_side_loses_more_than_a_quarter() -> None:
    assert find_frame(np.zeros((400, 300), np.uint8)) == (0.25, 0.25, 0.75, 0.75)
    drawn = chest().copy()
    drawn[:, :200] = 0
    assert find_frame(drawn).left == GREATEST_MARGIN


def test_a_grey_band_is_not_cut_off() -> None:
    assert find_frame(letterboxed(128)) == WHOLE


def test_the_network_sees_what_lies_inside_the_bands() -> None:
    bare = to_pixels(encode(Image.fromarray(chest() // 2 + 60), "PNG"))
    assert (to_pixels(encode(letterboxed(), "PNG")) == bare).all()


def test_by_the_first_contract_bands_stay() -> None:
    data = encode(letterboxed(), "PNG")
    assert to_pixels(data, contract=1)[0].max() == 0
    assert decode(data, contract=1).frame == WHOLE


def test_people_see_the_bands() -> None:
    assert picture(encode(letterboxed(), "PNG"), 1000).size == (500, 340)


def test_a_heatmap_of_a_whole_picture_is_left_as_it_is() -> None:
    heatmap = np.random.default_rng(0).random((25, 25), np.float32)
    assert on_whole_picture(heatmap, WHOLE) is heatmap


def test_a_heatmap_is_laid_where_its_frame_is() -> None:
    heatmap = np.zeros((20, 20), np.float32)
    heatmap[15:, :10] = 1
    laid = on_whole_picture(heatmap, Frame(0.25, 0, 0.75, 0.8))
    assert laid.shape == (20, 20)
    assert laid[:, :5].max() == laid[:, 15:].max() == laid[16:].max() == 0
    assert laid[14, 7] == 1
    assert laid[:11].max() == laid[:, 11:].max() == 0
