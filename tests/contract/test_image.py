"""The rules of the image contract, one by one."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from contract import errors
from contract.image import FILTER, MIN_SIDE, SIDE, picture, squash, to_pixels
from tests.drawings import chest, encode, jpeg, png


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).max())


def squashed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), FILTER))[..., np.newaxis]


@pytest.mark.parametrize("data", [jpeg(), png()], ids=["jpeg", "png"])
def test_gives_what_the_network_takes(data: bytes) -> None:
    pixels = to_pixels(data)
    assert pixels.shape == (200, 200, 1)
    assert pixels.dtype == np.uint8


def test_a_grey_png_is_squashed_and_nothing_else() -> None:
    assert difference(to_pixels(png()), squashed(chest())) == 0


def test_a_picture_of_the_right_size_is_left_as_it_is() -> None:
    drawn = chest(width=SIDE, height=SIDE)
    assert difference(to_pixels(encode(drawn, "PNG")), drawn[..., np.newaxis]) == 0


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_people_see_the_picture_that_the_network_sees(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(chest(width=390, height=320), kind, exif=exif)
    shown = picture(data, 1600)
    assert shown.mode == "L"
    assert shown.size == ((320, 390) if orientation == 6 else (390, 320))
    assert difference(squash(shown), to_pixels(data)) == 0


def test_a_large_picture_is_shrunk_for_people_and_keeps_its_shape() -> None:
    assert picture(encode(chest(width=1200, height=600), "JPEG"), 300).size == (300, 150)


def test_what_is_refused_is_refused_to_people_too() -> None:
    with pytest.raises(errors.TooManyPixels):
        picture(png(), 300, max_pixels=1000)
    with pytest.raises(errors.TruncatedImage):
        picture(jpeg()[:2000], 300)


def test_the_same_bytes_give_the_same_pixels() -> None:
    data = jpeg()
    assert difference(to_pixels(data), to_pixels(bytes(bytearray(data)))) == 0


def test_a_colour_jpeg_is_read_as_its_luma() -> None:
    grey = to_pixels(jpeg(quality=95))
    colour = to_pixels(encode(np.repeat(chest()[..., np.newaxis], 3, 2), quality=95))
    assert difference(grey, colour) <= 1


@pytest.mark.parametrize("progressive", [False, True])
def test_reduced_decoding_changes_little(progressive: bool) -> None:
    """A DCT scale never below the side itself moves pixels by a few grey levels."""
    drawn = chest(width=2000, height=1600)
    data = encode(drawn, quality=92, progressive=progressive)
    with Image.open(io.BytesIO(data)) as full:
        reference = squashed(np.asarray(full))
    assert difference(to_pixels(data), reference) <= 6
    assert np.abs(to_pixels(data).astype(float) - reference).mean() <= 0.6


@pytest.mark.parametrize(("contract", "decoded"), [(1, [399, 400, 799, 400, 400]), (2, [399, 200, 400, 200, 200])])
def test_reduced_decoding_never_goes_below_what_the_contract_says(
    monkeypatch: pytest.MonkeyPatch, contract: int, decoded: list[int]
) -> None:
    sizes = []
    monkeypatch.setattr("contract.image.squash", lambda grey, _: sizes.append(grey.size))
    for width in (399, 400, 799, 800, 1600):
        to_pixels(encode(chest(width=width, height=width)), contract=contract)
    assert [side for side, _ in sizes] == decoded


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turns_upright_as_exif_says(orientation: int) -> None:
    undo: dict[int, Image.Transpose] = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned left, shown turned right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(chest())
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert difference(to_pixels(encode(stored, "PNG", exif=exif)), to_pixels(png())) == 0


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\xff", b"Exif\0\0", b"\xff" * 40, b"Exif\0\0II*\0\x08\0\0\0" + b"\1" * 60]
)
def test_broken_exif_is_read_as_upright(exif: bytes) -> None:
    assert difference(to_pixels(jpeg(exif=exif)), to_pixels(jpeg())) == 0


def test_sixteen_bits_are_scaled_by_their_full_range() -> None:
    deep = chest().astype(np.uint16) * 257
    assert difference(to_pixels(encode(deep, "PNG")), to_pixels(png())) == 0


def test_twelve_bits_in_sixteen_are_scaled_by_theirs() -> None:
    deep = chest().astype(np.uint16) * 16
    assert difference(to_pixels(encode(deep, "PNG")), to_pixels(png())) <= 1


def test_a_palette_is_looked_up() -> None:
    palette = Image.fromarray(chest()).convert("RGB").quantize(256)
    assert np.abs(to_pixels(encode(palette, "PNG")).astype(float) - to_pixels(png())).mean() <= 2


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_what_is_transparent_lies_on_black(mode: str) -> None:
    picture = Image.fromarray(np.full((300, 300), 200, np.uint8)).convert(mode)
    alpha = Image.new("L", picture.size, 255)
    alpha.paste(0, (0, 0, 150, 300))
    picture.putalpha(alpha)
    pixels = to_pixels(encode(picture, "PNG"), contract=1)
    assert pixels[:, :90].max() == 0
    assert pixels[:, 110:].min() == 200


def test_a_transparent_grey_level_lies_on_black() -> None:
    flat = np.full((300, 300), 200, np.uint8)
    assert to_pixels(encode(flat, "PNG", transparency=200)).max() == 0


def test_one_bit_is_black_and_white() -> None:
    assert set(np.unique(to_pixels(encode(Image.new("1", (300, 300), 1), "PNG")))) == {255}


def test_an_animated_png_is_refused() -> None:
    data = encode(Image.fromarray(chest()), "PNG", save_all=True, append_images=[Image.fromarray(chest(1))])
    with pytest.raises(errors.AnimatedImage):
        to_pixels(data)


def test_a_cmyk_jpeg_is_refused() -> None:
    with pytest.raises(errors.UnsupportedJpeg, match="CMYK"):
        to_pixels(encode(Image.fromarray(chest()).convert("CMYK")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(kind: str, share: float) -> None:
    whole = encode(chest(), kind)
    with pytest.raises(errors.TruncatedImage):
        to_pixels(whole[: int(share * len(whole))])


def test_bytes_after_the_picture_are_ignored() -> None:
    assert difference(to_pixels(jpeg() + b"PK\x03\x04<html>"), to_pixels(jpeg())) == 0


@pytest.mark.parametrize(
    ("width", "height", "refusal"),
    [
        (65535, 65535, errors.TooManyPixels),
        (15000, 15000, errors.TooManyPixels),
        (10000, 10000, errors.TooManyPixels),
        (1, 1, errors.ImageTooSmall),
        (1, 10000, errors.ImageTooSmall),
        (16, 16, errors.ImageTooSmall),
        (MIN_SIDE, 5 * MIN_SIDE, errors.AspectRatio),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_size_is_judged_before_anything_is_decoded(
    kind: str, width: int, height: int, refusal: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytearray(encode(chest(width=64, height=64), kind))
    if kind == "PNG":
        data[16:24] = width.to_bytes(4) + height.to_bytes(4)
    else:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = height.to_bytes(2) + width.to_bytes(2)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(refusal, match=f"{width} x {height}"):
        to_pixels(bytes(data))


def test_the_pixel_limit_is_the_callers() -> None:
    to_pixels(png(), max_pixels=400 * 320)
    with pytest.raises(errors.TooManyPixels):
        to_pixels(png(), max_pixels=400 * 320 - 1)


@settings(max_examples=200)
@given(st.sampled_from([jpeg(), png(), jpeg(progressive=True)]), st.data())
def test_a_damaged_file_gives_pixels_or_a_refusal(whole: bytes, data: st.DataObject) -> None:
    """Whatever a hostile file makes the decoder raise, the caller gets one of the contract's refusals."""
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(3, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(errors.ImageRefused):
            assert to_pixels(bytes(damaged)).shape == (SIDE, SIDE, 1)


def test_originals_and_their_copies_look_alike(real_data: Path) -> None:
    """What is trained on are 224 x 224 copies, what is served are full-size files."""
    differences = []
    for original in sorted((real_data / "originals").glob("*/*"))[::13]:
        copy = next((real_data / "chest_xray").glob(f"*/{original.parent.name}/{original.name}"))
        pair = (to_pixels(path.read_bytes()).astype(float) for path in (original, copy))
        differences.append(np.abs(next(pair) - next(pair)).mean())
    assert len(differences) >= 10
    assert np.mean(differences) <= 3
