"""The grey pixels of a JPEG, or a refusal if any MCU of it is missing.

libjpeg fills what is missing with grey and warns, and Pillow does not pass its warnings on. Three tests find it:

1. A file of one scan is decoded with one bits behind the scan's data in place of the end marker. They fill libjpeg's
   bit buffer, but are no Huffman code (T.81 C.2) and soon used up: libjpeg asks for more data only if MCUs are missing,
   and Pillow then refuses the file. It costs nothing.
2. Where a restart interval ends before its last MCU, libjpeg leaves the rest of it at sample 128. An interval that ends
   so is suspect.
3. A file of several scans, or a suspect one, is decoded twice more, the second time with noise behind each scan and
   interval. A decoder skips bytes behind a scan that is whole; if MCUs are missing, it takes the noise for them.
"""

import re

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import CUT_SHORT, TruncatedImage
from contract.formats.jpeg_file import JpegFile, Scan

# 64 one bits, each byte with the zero that is stuffed behind FF: as many as libjpeg's bit buffer holds.
_ONES = b"\xff\0" * 8
_EOI = b"\xff\xd9"
# Pixels up to which noise is looked for at full scale; half of the coefficients of a larger picture show at half of it.
_FULL_SCALE = 16_000_000
# What a decoder of a whole scan does not look at; without a byte that begins a marker.
NOISE = bytes(np.random.default_rng(0).integers(0, 255, 64, np.uint8))
_BEFORE_RESTART = re.compile(rb"(?=\xff[\xd0-\xd7])")


def decode_jpeg(jpeg: JpegFile, least: int) -> Image.Image:
    """Decode a JPEG straight to grey (its luma), at the smallest DCT scale that leaves no side below ``least``.

    Args:
        jpeg: its structure.
        least: pixels; a picture with a smaller side is decoded at its own size.

    Returns:
        a picture of mode "L", as stored.

    Raises:
        TruncatedImage: a part of the picture is missing, or it does not decode.
    """
    if not jpeg.is_complete():
        raise TruncatedImage(CUT_SHORT)
    if len(jpeg.scans) > 1 or jpeg.progressive:
        _compare_with_noise(jpeg)
        return _load(jpeg, _assemble(jpeg) + _EOI, least)
    grey = _load(jpeg, _assemble(jpeg) + _ONES, least)
    if _has_suspect_interval(jpeg, grey):
        _compare_with_noise(jpeg)
    return grey


def scale_of(jpeg: JpegFile, least: int) -> int:
    """By how much libjpeg reduces both sides: 1, 2, 4 or 8, so that none gets below ``least``."""
    return next(scale for scale in (8, 4, 2, 1) if scale <= max(1, min(jpeg.width, jpeg.height) // least))


def _assemble(jpeg: JpegFile, noise: bytes = b"") -> bytes:
    """The file without its metadata and its end marker; with noise behind each scan and restart interval."""
    pieces = [b"\xff\xd8"]
    for part in jpeg.parts:
        if not isinstance(part, Scan):
            pieces.append(part)
            continue
        coded = jpeg.data[part.start : part.end]
        pieces.append(_BEFORE_RESTART.sub(noise[:16], coded) if noise and part.interval else coded)
        pieces.append(noise)
    return b"".join(pieces)


def _load(jpeg: JpegFile, data: bytes, least: int) -> Image.Image:
    """Have libjpeg decode these bytes. Nothing of them is read by Pillow itself."""
    reduced = scale_of(jpeg, least)
    size = (-(-jpeg.width // reduced), -(-jpeg.height // reduced))
    try:
        return Image.frombytes("L", size, data, "jpeg", "L", "", reduced, 0)
    except ValueError:  # it asks for more data, or libjpeg gave up
        raise TruncatedImage(CUT_SHORT) from None


def _compare_with_noise(jpeg: JpegFile) -> None:
    """Refuse a JPEG that noise behind its scans changes. At a smaller scale some coefficients would not show."""
    side = min(jpeg.width, jpeg.height)
    least = side if jpeg.width * jpeg.height <= _FULL_SCALE else side // 2
    whole = np.asarray(_load(jpeg, _assemble(jpeg) + _EOI, least))
    noisy = np.asarray(_load(jpeg, _assemble(jpeg, NOISE) + _EOI, least))
    if not np.array_equal(whole, noisy):
        raise TruncatedImage(CUT_SHORT)


def _has_suspect_interval(jpeg: JpegFile, grey: Image.Image) -> bool:
    """Whether the last MCU of any restart interval but the last is all 128."""
    (scan,) = jpeg.scans
    if not scan.interval:
        return False
    reduced = round(jpeg.width / grey.width)  # by the DCT scale: 1, 2, 4 or 8
    factors = [(part.vertical, part.horizontal) for part in jpeg.components]
    down, across = map(max, zip(*factors, strict=True)) if len(factors) > 1 else (1, 1)
    last = np.arange(scan.interval - 1, jpeg.mcus(scan) - 1, scan.interval)
    height, width = 8 * down // reduced, 8 * across // reduced
    row, column = np.divmod(last, -(-jpeg.width // (8 * across)))
    return _is_any_blank(np.asarray(grey), row * height, column * width, (height, width))


def _is_any_blank(
    pixels: NDArray[np.uint8], top: NDArray[np.intp], left: NDArray[np.intp], size: tuple[int, int]
) -> bool:
    """Whether any of the blocks of this size that begin there is all 128, as far as it lies inside the picture."""
    for down, right in np.ndindex(size):
        row, column = np.minimum(top + down, pixels.shape[0] - 1), np.minimum(left + right, pixels.shape[1] - 1)
        blank = pixels[row, column] == 128
        top, left = top[blank], left[blank]
        if not len(top):
            return False
    return True
