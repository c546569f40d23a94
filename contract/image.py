"""The image contract: one pure function from the bytes of an upload to the input of the network.

Serving calls it on each upload, training builds its arrays with it; there is no second copy. A change of what it
returns for a readable radiograph is a change of the contract: raise ``IMAGE_CONTRACT``, and keep the rules of earlier
numbers for the models that were trained by them (a bundle's manifest names its contract).

The rules, in order:

1. Format and size are read from the header, and refused there, before anything is decoded.
2. A JPEG is decoded straight to grey (its luma channel), at the smallest DCT scale that leaves both sides at least
   ``SIDE`` (contract 1: twice ``SIDE``).
3. Other colours become grey as ITU-R 601-2 luma. What is transparent lies on black. Sixteen bits are scaled to eight by
   their full range, or by the range of 8, 10, 12, 13 or 14 bits if 999 of 1000 samples fit in it (detectors that store
   their bits unshifted).
4. The picture is turned upright as its EXIF orientation says; no other metadata are looked at.
5. Uniform black or white margins are cut off (``contract.margins``; contract 1: they stay).
6. It is squashed to ``SIDE`` x ``SIDE``, whatever its aspect ratio, with Pillow's antialiased bilinear filter.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.cost import Cost, TooExpensive, cost_of
from contract.errors import CUT_SHORT, AspectRatio, ImageRefused, ImageTooSmall, TooManyPixels, TruncatedImage
from contract.formats.jpeg import decode_jpeg
from contract.formats.jpeg_file import JpegFile
from contract.formats.png import decode_png
from contract.header import ImageFile, read_file
from contract.margins import WHOLE, Frame, find_frame

# The newest is what models are trained by; the earlier ones are read for the bundles that name them.
IMAGE_CONTRACT = 2
IMAGE_CONTRACTS = (1, 2)
SIDE = 200
# Of Pillow's antialiased filters, the one whose result differs least between a full-size file and its 224 x 224 copy
# (docs/decisions/0002-resampling-filter.md).
FILTER = Image.Resampling.BILINEAR

# By contract: the fewest pixels a side that a JPEG is decoded to.
LEAST_SIDE = {1: 2 * SIDE, 2: SIDE}

MAX_PIXELS = 50_000_000
MIN_SIDE = 32
MAX_ASPECT = 4.0

# How to undo each EXIF orientation (CIPA DC-008, tag 274); 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Note(NamedTuple):
    """A warning about a picture, for its reader: a code, and what it means."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The pixels of one image, uint8 (200, 200, 1), and whether its EXIF orientation had it turned or mirrored.

    ``frame``: the part of the upright picture that the pixels show. ``unclear_depth``: it has 16 bits a sample, and the
    range that they are meant in had to be guessed. ``notes``, ``age``: of a DICOM object: warnings, and the patient's
    age in years; None: not known.
    """

    pixels: NDArray[np.uint8]
    turned: bool
    frame: Frame = WHOLE
    unclear_depth: bool = False
    notes: tuple[Note, ...] = ()
    age: float | None = None


def to_pixels(data: bytes, *, max_pixels: int = MAX_PIXELS, contract: int = IMAGE_CONTRACT) -> NDArray[np.uint8]:
    """Decode one JPEG or PNG into what the network sees. Pure: the same bytes give the same pixels in any process.

    Args:
        data: the whole file.
        max_pixels: most pixels (width x height) that are decoded.
        contract: by whose rules: one of ``IMAGE_CONTRACTS``.

    Returns:
        uint8, shape (200, 200, 1), grey, 0 = black, 255 = white.

    Raises:
        ImageRefused: one of its kinds in ``contract.errors``, saying what is wrong with the file.
    """
    return decode(data, max_pixels=max_pixels, contract=contract).pixels


def decode(
    data: bytes, *, max_pixels: int = MAX_PIXELS, contract: int = IMAGE_CONTRACT, limit: Cost | None = None
) -> Decoded:
    """``to_pixels``, and what was done to the picture on the way that its reader should know.

    Args:
        data: the whole file.
        max_pixels: most pixels (width x height) that are decoded.
        contract: by whose rules: one of ``IMAGE_CONTRACTS``.
        limit: what the decoding may cost; None: whatever it takes.

    Raises:
        ImageRefused: as ``to_pixels``.
        TooExpensive: it would cost more than the limit.
    """
    grey, file, unclear = _read(data, LEAST_SIDE[contract], max_pixels, limit)
    frame = frame_of(grey, contract)
    return Decoded(squash(grey, frame), file.orientation in _UPRIGHT, frame, unclear)


def frame_of(grey: Image.Image, contract: int) -> Frame:
    """The part of an upright picture of mode "L" that the network sees (step 5), by the rules of a contract."""
    return WHOLE if contract == 1 else find_frame(np.asarray(grey))


def picture(data: bytes, longest: int, *, max_pixels: int = MAX_PIXELS, limit: Cost | None = None) -> Image.Image:
    """The same picture for people: grey and upright by the same rules, but whole.

    Args:
        data: the whole file.
        longest: most pixels a side; a larger picture is shrunk, with its aspect ratio kept.
        max_pixels: most pixels (width x height) that are decoded.
        limit: what the decoding may cost; None: whatever it takes.

    Returns:
        a picture of mode "L".

    Raises:
        ImageRefused: as ``to_pixels``.
        TooExpensive: it would cost more than the limit.
    """
    grey, _, _ = _read(data, longest, max_pixels, limit)
    grey.thumbnail((longest, longest))
    return grey


def squash(grey: Image.Image, frame: Frame = WHOLE) -> NDArray[np.uint8]:
    """The last step of the contract, for every source of images.

    Args:
        grey: an upright picture of mode "L".
        frame: the part of it that is squashed.

    Returns:
        uint8, shape (200, 200, 1).
    """
    if frame != WHOLE:  # cut off first: resize's own box lets the filter reach over its edges
        left, top, right, bottom = (round(share * size) for share, size in zip(frame, grey.size * 2, strict=True))
        grey = grey.crop((left, top, right, bottom))
    return np.asarray(grey.resize((SIDE, SIDE), FILTER))[..., np.newaxis]


def _read(data: bytes, least: int, max_pixels: int, limit: Cost | None) -> tuple[Image.Image, ImageFile, bool]:
    """The upright grey picture, its file, and whether the range of its samples is unclear.

    A JPEG is perhaps at a smaller scale, no side below ``least``.
    """
    file = read_file(data)
    check_size(file.width, file.height, max_pixels)
    if limit and not (cost := cost_of(file, least)).fits(limit):
        raise TooExpensive(cost)
    try:
        stored, unclear = (decode_jpeg(file, least), False) if isinstance(file, JpegFile) else decode_png(file)
        return _upright(stored, file.orientation), file, unclear
    except (ImageRefused, MemoryError):
        raise
    except Exception as error:  # a decoder raises nearly anything over hostile bytes; all of it means "does not decode"
        raise TruncatedImage(CUT_SHORT) from error


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Check a picture's size in pixels before it is decoded.

    Raises:
        TooManyPixels, ImageTooSmall, AspectRatio.
    """
    short, long = sorted((width, height))
    if short * long > max_pixels:
        raise TooManyPixels(f"{width} x {height} pixels; at most {max_pixels} in all are read")
    if short < MIN_SIDE:
        raise ImageTooSmall(f"{width} x {height} pixels; each side must have at least {MIN_SIDE}")
    if long > MAX_ASPECT * short:
        raise AspectRatio(f"{width} x {height} pixels; one side may be at most {MAX_ASPECT:g} times the other")


def _upright(grey: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return grey if turn is None else grey.transpose(turn)
