"""Stored values of each coding: complete, of the stated size, and at a cost that is known before."""

import imagecodecs
import numpy as np
import pytest

from contract import errors
from contract.cost import Cost, TooExpensive
from contract.image import decode as decode_image
from dicom.picture import decode, picture
from tests.dicom.reading import BASELINE, CHILD, CODED, EXTENDED, J2K, LOSSLESS, LS, PREFIX, grey
from tests.dicom_objects import compressed, drawn, grey16
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
