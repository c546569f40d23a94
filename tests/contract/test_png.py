"""PNG files of every kind are read as the specification says, or refused if anything of the picture is missing."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from contract import errors
from contract.image import decode, picture, to_pixels
from tests.cases import png
from tests.cases.png import grey, of
from tests.drawings import encode, png_chunk


def shown(data: bytes) -> NDArray[np.uint8]:
    """The whole picture in grey."""
    return np.asarray(picture(data, 10_000))


@pytest.mark.parametrize("case", png.READ_AS_PLAIN)
def test_what_others_read_is_read(case: str) -> None:
    assert (shown(png.READ_AS_PLAIN[case]()) == grey()).all()


@pytest.mark.parametrize("case", png.DAMAGED)
def test_a_picture_that_is_not_whole_is_refused(case: str) -> None:
    with pytest.raises(errors.TruncatedImage):
        to_pixels(png.DAMAGED[case]())


@given(st.integers(0, len(png.plain(png.transparent(3), png_chunk(b"tEXt", b"a\0b"))) * 8 - 1))
def test_any_flipped_bit_is_refused_or_changes_nothing(bit: int) -> None:
    whole = png.plain(png.transparent(3), png_chunk(b"tEXt", b"a\0b"))
    damaged = bytearray(whole)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        found = to_pixels(bytes(damaged))
    except errors.ImageRefused:
        return
    assert (found == to_pixels(whole)).all()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("depth", "colour"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)],
)
def test_every_colour_type_and_depth(depth: int, colour: int, interlaced: bool) -> None:
    most = (1 << depth) - 1
    levels = grey().astype(np.uint32) * most // 255
    channels = [*[levels] * (3 if colour & 2 else 1), *[np.full_like(levels, most)] * (colour >= 4)]
    found = shown(of(np.stack(channels, -1) if len(channels) > 1 else levels, depth, colour, interlaced=interlaced))
    assert np.abs(found.astype(float) - levels * 255 / most).max() <= 0.5


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("interlaced", [False, True])
def test_a_palette_of_every_depth(depth: int, interlaced: bool) -> None:
    count = 1 << depth
    greys = np.random.default_rng(0).permutation(256)[:count].astype(np.uint8)
    indices = grey().astype(int) % count
    data = of(indices, depth, 3, png_chunk(b"PLTE", np.repeat(greys, 3).tobytes()), interlaced=interlaced)
    assert (shown(data) == greys[indices]).all()


def test_colours_are_weighed_as_pillow_weighs_them() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (240, 300, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    assert (shown(encode(colours, "PNG")) == expected).all()
    assert (shown(of(colours, 8, 2)) == expected).all()
    assert (shown(of(colours.astype(np.uint16) * 257, 16, 2)) == expected).all()


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_level_is_black_at_every_depth(depth: int) -> None:
    data, black = png.with_transparent_margin(depth)
    assert np.abs(shown(data).astype(int) - shown(black)).max() <= 1


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_black(depth: int) -> None:
    most = (1 << depth) - 1
    colours = np.full((240, 300, 3), [10, most, 20], np.uint16)
    colours[:, :150] = [10, most, 21]  # not quite the transparent one
    found = shown(of(colours, depth, 2, png_chunk(b"tRNS", struct.pack(">HHH", 10, most, 20))))
    assert found[:, 150:].max() == 0
    assert found[:, :150].min() > 100


def test_a_transparent_palette_entry_lies_on_black() -> None:
    palette = png_chunk(b"PLTE", bytes([200] * 6)) + png_chunk(b"tRNS", bytes([255, 51]))
    found = shown(of(np.indices((240, 300))[1] % 2, 8, 3, palette))
    assert set(found[:, ::2].ravel()) == {200}
    assert set(found[:, 1::2].ravel()) == {40}


def test_an_index_behind_the_palette_is_black() -> None:
    found = shown(of(np.indices((240, 300))[1] % 4, 2, 3, png_chunk(b"PLTE", bytes([200] * 9))))
    assert set(found[:, 3::4].ravel()) == {0}


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_picture_of_many_strips_is_read_like_one(interlaced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contract.formats.png_rows._STRIP", 1000)
    assert (shown(of(grey(), interlaced=interlaced)) == grey()).all()


@pytest.mark.parametrize("before", [True, False])
def test_exif_orientation_is_read_wherever_it_stands(before: bool) -> None:
    exif = png_chunk(b"eXIf", png.EXIF_TURNED)
    data = png.plain(before=exif) if before else png.plain(after=exif)
    assert decode(data).turned
    assert (shown(data) == np.rot90(grey(), -1)).all()


@pytest.mark.parametrize("before", [png.frames(2) + png.FIRST_FRAME, png.frames(1), png.frames(0) + png.FIRST_FRAME])
def test_a_picture_of_several_frames_is_refused(before: bytes) -> None:
    with pytest.raises(errors.AnimatedImage):
        to_pixels(png.plain(before))


def test_a_png_of_endless_chunks_is_refused() -> None:
    empty = png_chunk(b"IDAT", b"")
    with pytest.raises(errors.TooMuchMetadata):
        to_pixels(png.plain(empty * 40_000))
