"""Samples of 16 bits, in which detectors' 10 to 14 are often kept unshifted: the range that they are scaled by."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.formats.png_chunks import COLOUR, COLOUR_ALPHA, GREY, GREY_ALPHA

# Bits that detectors and writers use, and the range that a picture is then scaled by. No detector has 15 bits: what
# fits in them is taken for a dark picture of 16.
_RANGES = {8: 8, 10: 10, 12: 12, 13: 13, 14: 14, 15: 16, 16: 16}
# Of these the picture says itself which it is, as far as it can.
_CERTAIN = (12, 16)
# Samples over a range that do not speak against it: a hot pixel, or letters burnt in as white.
_OUTLIERS = 1 / 1000
_ROWS = 256  # at once
# ITU-R 601-2 luma in 65536ths, as Pillow has it.
_LUMA = np.array([19595, 38470, 7471], np.uint32)
_FULL = 65535


class Deep:
    """A picture of 16 bits a sample, put together strip by strip.

    Args:
        width: pixels.
        height: pixels.
        colour: PNG's colour type.
        transparency: the data of tRNS: the transparent grey level or colour; empty if there is none.
    """

    def __init__(self, width: int, height: int, colour: int, transparency: bytes) -> None:
        self._grey = np.empty((height, width), np.uint16)
        self._alpha = np.empty((height, width), np.uint16) if colour in (GREY_ALPHA, COLOUR_ALPHA) else None
        self._colour = colour
        self._key = np.frombuffer(transparency, ">u2") if transparency and colour in (GREY, COLOUR) else None

    def add(self, place: tuple[slice, slice], samples: NDArray[np.uint16]) -> None:
        """Put samples, big-endian uint16 (h, w, channels), in their place."""
        has_colour = self._colour in (COLOUR, COLOUR_ALPHA)
        grey = _luma(samples) if has_colour else samples[..., 0].astype(np.uint16)
        if self._key is not None:
            grey[(samples == self._key).all(-1)] = 0
        self._grey[place] = grey
        if self._alpha is not None:
            self._alpha[place] = samples[..., -1]

    def to_grey(self) -> tuple[Image.Image, bool]:
        """The picture in 8 bits, mode "L"; and whether its range is unclear.

        It is clear if it is 12 bits and no sample has more, or 16.
        """
        bits, exceeded = self._range()
        full = (1 << _RANGES[bits]) - 1
        alpha_full = full if self._alpha is not None and int(self._alpha.max()) <= full else _FULL
        grey = np.empty(self._grey.shape, np.uint8)
        for rows in self._strips():
            samples = np.minimum(self._grey[rows], full).astype(np.uint32)
            scaled = (samples * 255 + full // 2) // full
            if self._alpha is not None:
                scaled = (scaled * self._alpha[rows] + alpha_full // 2) // alpha_full
            grey[rows] = scaled
        return Image.fromarray(grey), exceeded or bits not in _CERTAIN

    def _range(self) -> tuple[int, bool]:
        """Bits of the smallest range that nearly all visible samples fit in, and whether some do not."""
        counts = np.zeros(len(_RANGES), np.int64)  # of samples over each range
        for rows in self._strips():
            samples = self._grey[rows]
            if self._alpha is not None:
                samples = samples[self._alpha[rows] > 0]
            counts += [int((samples >> bits).astype(bool).sum()) for bits in _RANGES]
        allowed = _OUTLIERS * self._grey.size
        return next((bits, over > 0) for bits, over in zip(_RANGES, counts.tolist(), strict=True) if over <= allowed)

    def _strips(self) -> list[slice]:
        return [slice(first, first + _ROWS) for first in range(0, len(self._grey), _ROWS)]


def _luma(samples: NDArray[np.uint16]) -> NDArray[np.uint16]:
    luma: NDArray[np.uint16] = ((samples[..., :3].astype(np.uint32) @ _LUMA + np.uint32(0x8000)) >> 16).astype(
        np.uint16
    )
    return luma
