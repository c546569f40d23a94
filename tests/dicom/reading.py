"""What tests of objects share: the transfer syntaxes, encoders of them, and the grey levels and notes of an object."""

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import RLELossless

from dicom.attributes.context import Context
from dicom.picture import decode, picture

CHILD = Context(((1, 6),))
PREFIX = "1.2.840.10008.1.2"
LOSSLESS, J2K, LS, EXTENDED, BASELINE = (f"{PREFIX}.4.{number}" for number in (70, 90, 80, 51, 50))


def grey(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(picture(data, 10_000))


def codes(data: bytes) -> list[str]:
    return [note.code for note in decode(data, CHILD).notes]


def rle(pixels: NDArray[Any]) -> bytes:
    frame: bytes = get_encoder(RLELossless).encode(
        pixels,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
    )
    return frame


CODED: dict[str, Callable[[Any], Any]] = {
    f"{PREFIX}.5": rle,
    LOSSLESS: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12),
    f"{PREFIX}.4.57": lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4, bitspersample=12),
    LS: imagecodecs.jpegls_encode,
    J2K: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", bitspersample=12),
}
