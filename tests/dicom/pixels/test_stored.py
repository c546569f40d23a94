"""Stored values of each coding: complete, of the stated size, and at a cost that is known before."""

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from contract import errors
from contract.cost import Cost, TooExpensive
from contract.image import decode as decode_image
from dicom.picture import decode, picture
from tests.dicom.reading import BASELINE, CHILD, CODED, EXTENDED, J2K, LOSSLESS, LS, PREFIX, grey
from tests.dicom_objects import UNDEFINED, compressed, drawn, element, grey16
from tests.drawings import chest, encode


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_and_its_object_are_seen_alike(kind: str) -> None:
    pixels = chest()
    sent = encode(pixels, kind)
    coded = compressed(sent, pixels, BASELINE) if kind == "JPEG" else drawn(pixels)
    for contract in (1, 2):
        assert np.array_equal(
            decode_image(sent, contract=contract).pixels, decode(coded, CHILD, contract=contract).pixels
        )


def test_twelve_bit_jpeg_is_read() -> None:
    pixels = grey16()
    coded = imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12)
    assert np.abs(grey(compressed(coded, pixels, EXTENDED)).astype(int) - grey(drawn(pixels))).mean() < 1


@pytest.mark.parametrize("syntax", [LOSSLESS, EXTENDED, LS, J2K, f"{PREFIX}.5"])
def test_a_codestream_that_lacks_its_end_is_refused_even_with_an_end_marker(syntax: str) -> None:
    pixels = grey16()
    coded = imagecodecs.jpeg8_encode(pixels, bitspersample=12) if syntax == EXTENDED else CODED[syntax](pixels)
    for end in (b"", b"\xff\xd9"):
        with pytest.raises(errors.TruncatedImage):
            picture(compressed(coded[: len(coded) // 2] + end, pixels, syntax), 10_000)


@pytest.mark.parametrize("syntax", [LOSSLESS, LS, J2K])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(syntax: str) -> None:
    coded = CODED[syntax](grey16())
    with pytest.raises(errors.UnusableObject, match="another size"):
        picture(compressed(coded, grey16(), syntax, Rows=321), 10_000)


def test_cost_is_known_before_decoding() -> None:
    with pytest.raises(TooExpensive):
        decode(compressed(CODED[J2K](grey16()), grey16(), J2K), CHILD, limit=Cost(2**20, 1))


@pytest.mark.parametrize("size", [{"Columns": 399}, {"Columns": 397}, {"Rows": 160}])
def test_longer_rows_and_a_second_frame_are_a_contradiction_and_filling_is_none(size: dict[str, Any]) -> None:
    with pytest.raises(errors.UnusableObject, match="more bytes"):
        picture(drawn(chest() | 1, **size), 10_000)
    filled = np.concatenate([chest(), np.zeros((100, 400), np.uint8)])
    assert np.array_equal(grey(drawn(filled, Rows=320)), chest())
    odd = chest()[:319, :399].copy()
    padded = drawn(np.append(odd, np.uint8(7)).reshape(2, -1), Rows=318, Columns=399)
    assert np.array_equal(grey(padded), odd[:318])


@pytest.mark.parametrize(("coded", "syntax"), [(encode(chest(), "JPEG"), BASELINE), (CODED[LS](chest()), LS)])
def test_eight_bits_of_a_picture_that_is_said_to_have_twelve_are_refused(coded: bytes, syntax: str) -> None:
    with pytest.raises(errors.UnusableObject, match="fewer bits"):
        picture(compressed(coded, grey16(), syntax), 10_000)


@pytest.mark.parametrize("syntax", [LOSSLESS, LS, J2K])
def test_several_codestreams_are_several_frames_whatever_the_object_says(syntax: str) -> None:
    coded = CODED[syntax](grey16())
    with pytest.raises(errors.MultiFrame):
        picture(in_fragments([coded, coded], syntax), 10_000)
    halves = [coded[: len(coded) // 2], coded[len(coded) // 2 :]]
    assert np.array_equal(grey(in_fragments(halves, syntax)), grey(drawn(grey16())))


@pytest.mark.parametrize("longer", [False, True])
def test_the_codestream_of_a_jp2_file_is_read(longer: bool) -> None:
    coded = CODED[J2K](grey16())
    head = struct.pack(">L4sQ", 1, b"jp2c", 16 + len(coded)) if longer else struct.pack(">L4s", 0, b"jp2c")
    jp2 = b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">L4s", 12, b"jp2h") + bytes(4) + head + coded
    assert np.array_equal(grey(compressed(jp2, grey16(), J2K)), grey(drawn(grey16())))


@pytest.mark.parametrize(
    "options",
    [
        {"tile_size": (64, 96)},
        {"precinct_size": (64, 64), "codeblock_size": (16, 16)},
        {"num_resolutions": 1, "quality_layers": [20, 0], "quality_mode": "rates"},
        {"progression": "RPCL", "plt": True, "comment": "drawn"},
    ],
)
def test_a_jpeg_2000_picture_is_read_however_it_is_divided(options: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    Image.fromarray(chest()).save(buffer, "JPEG2000", no_jp2=True, **options)
    assert np.array_equal(grey(compressed(buffer.getvalue(), chest(), J2K)), chest())


@pytest.mark.parametrize("padding", [1, 2, 7])
def test_zeros_behind_a_segment_of_rle_are_read_past(padding: int) -> None:
    syntax = f"{PREFIX}.5"
    coded = CODED[syntax](grey16()) + bytes(padding)
    assert np.array_equal(grey(compressed(coded, grey16(), syntax)), grey(drawn(grey16())))


def in_fragments(fragments: list[bytes], syntax: str) -> bytes:
    """An object with these fragments in its Pixel Data."""
    whole = compressed(b"\0\0", grey16(), syntax)
    items = [struct.pack("<HHL", 0xFFFE, 0xE000, len(each)) + each for each in (b"", *fragments)]
    start = whole.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OB"))
    return whole[:start] + element(
        0x7FE00010, "OB", b"".join(items) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), UNDEFINED
    )
