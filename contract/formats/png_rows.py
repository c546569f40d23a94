"""The pixel data of a PNG, inflated and unfiltered strip by strip: no more than a strip is held.

The filters (PNG specification, 9.2) need every byte before; Pillow has them in C, but only for whole images whose data
it does not check. So each strip is given to its PNG codec as a picture of its own, the row before it as its first row.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import CUT_SHORT, TruncatedImage
from contract.formats.png_chunks import PngFile, is_intact

# Bytes of unfiltered rows that a strip holds, about. Python's lock is free for others after each.
_STRIP = 1 << 20
# Bytes inflated at once: what zlib has not used of them is copied each time.
_FEED = 1 << 16
# What stands behind the last row is read past, as other readers do, up to this many bytes.
_MAX_SURPLUS = 1 << 20

# Pillow's mode and its raw modes, by the bytes of a pixel, that give every byte as it is; of 16 bits, first the high
# bytes and then the low ones.
_CODECS = {
    1: ("L", "L"),
    2: ("I;16", "I;16B"),
    3: ("RGB", "RGB"),
    4: ("RGBA", "RGBA"),
    6: ("RGB", "RGB;16B", "RGB;16L"),
    8: ("RGBA", "RGBA;16B", "RGBA;16L"),
}
# Adam7 (8.2): first column and row, and the steps between columns and rows, of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class Strip:
    """Rows of one pass. ``place``: where they go in the picture. ``rows``: bytes, uint8 (rows, bytes a row)."""

    place: tuple[slice, slice]
    width: int
    rows: NDArray[np.uint8]


def read_strips(png: PngFile) -> Iterator[Strip]:
    """All rows of a PNG, from the first pass to the last.

    Raises:
        TruncatedImage: rows are missing, a checksum or a filter is wrong, or the data do not inflate.
    """
    inflated = _Inflated(png)
    passes = _ADAM7 if png.interlaced else ((0, 0, 1, 1),)
    for left, top, across, down in passes:
        width, height = -(-(png.width - left) // across), -(-(png.height - top) // down)
        if width > 0 and height > 0:
            for first, rows in _read_pass(inflated, png, width, height):
                last = top + (first + len(rows) - 1) * down
                yield Strip((slice(top + first * down, last + 1, down), slice(left, None, across)), width, rows)
    inflated.finish()


def _read_pass(inflated: "_Inflated", png: PngFile, width: int, height: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The rows of one pass, a strip at a time, and which of the pass's is the first of them."""
    stride = -(-width * png.bits // 8)
    step = max(1, _STRIP // (stride + 1))
    before = bytes(stride)
    for first in range(0, height, step):
        count = min(step, height - first)
        rows = _unfilter(before, inflated.read(count * (stride + 1)), stride, max(1, png.bits // 8))
        before = rows[-1].tobytes()
        yield first, rows


def _unfilter(before: bytes, rows: bytes, stride: int, pixel: int) -> NDArray[np.uint8]:
    """Rows as they are, uint8 (rows, stride), of those as filtered and the one before them."""
    stored = zlib.compress(b"\0" + before + rows, 0)  # level 0: as it is, in zlib's framing
    mode, *raw_modes = _CODECS[pixel]
    size = (stride // pixel, len(rows) // (stride + 1) + 1)
    try:
        parts = [np.asarray(Image.frombytes(mode, size, stored, "zip", raw, 0))[1:] for raw in raw_modes]
    except ValueError:  # a filter that there is not
        raise TruncatedImage(CUT_SHORT) from None
    samples = np.stack(parts, -1) if len(parts) > 1 else parts[0].astype(">u2") if pixel == 2 else parts[0]
    return samples.view(np.uint8).reshape(len(samples), stride)


class _Inflated:
    """What the IDAT chunks of a PNG inflate to, as a stream."""

    def __init__(self, png: PngFile) -> None:
        self._png = png
        self._zlib = zlib.decompressobj()
        self._pieces = self._feed()
        self._left = b""

    def read(self, count: int) -> bytes:
        """So many bytes.

        Raises:
            TruncatedImage: there are not so many, or they are damaged.
        """
        found = []
        while count:
            piece = self._inflate(count)
            found.append(piece)
            count -= len(piece)
        return b"".join(found)

    def finish(self) -> None:
        """Read to the end of the stream, where its checksum stands.

        Raises:
            TruncatedImage: there is no end, or the checksum is another.
        """
        surplus = 0
        while not self._zlib.eof:
            surplus += len(self._inflate(_FEED))
            if surplus > _MAX_SURPLUS:
                raise TruncatedImage("there is far more in the file than its picture: it is damaged")
        for _ in self._pieces:  # the chunk's checksum, and those of chunks behind it
            pass

    def _inflate(self, most: int) -> bytes:
        """Some bytes, perhaps none."""
        piece = self._left or next(self._pieces, b"")
        if not piece or self._zlib.eof:
            raise TruncatedImage(CUT_SHORT)
        try:
            found = self._zlib.decompress(piece, most)
        except zlib.error:
            raise TruncatedImage(CUT_SHORT) from None
        self._left = self._zlib.unconsumed_tail
        return found

    def _feed(self) -> Iterator[bytes]:
        """The IDAT chunks' data in pieces; each chunk's checksum is tested before them."""
        data = memoryview(self._png.data)
        for start, end in self._png.pixel_data:
            if not is_intact(self._png.data, start, end):
                raise TruncatedImage(CUT_SHORT)
            for at in range(start, end, _FEED):
                yield bytes(data[at : min(end, at + _FEED)])
