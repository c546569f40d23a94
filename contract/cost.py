"""The cost of decoding a file, estimated from its structure before anything is decoded.

The figures are upper estimates, measured with files of 50 million pixels (docs/decisions/0017-cost-of-decoding.md).
"""

from dataclasses import dataclass

from contract.formats.jpeg import scale_of
from contract.formats.jpeg_file import JpegFile
from contract.formats.png_chunks import COLOUR_ALPHA, GREY_ALPHA, PALETTE, PngFile

# Bytes that any decoding may take for strips and tables.
_BASE = 8 * 2**20
# Bytes and seconds per pixel of a PNG: 8 bits; 16 bits; 16 bits with alpha.
_BYTES_8, _BYTES_16, _BYTES_16_ALPHA = 3, 4, 6
_SECONDS_TABLE, _SECONDS_8, _SECONDS_16 = 2e-8, 5e-8, 1.2e-7
# Seconds per byte of a JPEG, per pixel of it, and per pixel of each scan behind the first. A file of several scans is
# decoded three times (contract.formats.jpeg).
_SECONDS_BYTE, _SECONDS_PIXEL, _SECONDS_SCAN = 4e-8, 8e-9, 2e-10
_TIMES = 3


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of memory besides the file itself, and seconds of CPU time."""

    memory: int
    seconds: float

    def fits(self, limit: "Cost") -> bool:
        """Whether neither is above the limit's."""
        return self.memory <= limit.memory and self.seconds <= limit.seconds


class TooExpensive(Exception):
    """A file whose decoding costs more than its caller allows; it has not been decoded.

    Attributes:
        cost: what it would cost.
    """

    def __init__(self, cost: Cost) -> None:
        super().__init__(f"decoding takes {cost.memory} bytes and {cost.seconds:.1f} s")
        self.cost = cost


def cost_of(file: JpegFile | PngFile, least: int) -> Cost:
    """The cost of decoding a file to no less than ``least`` pixels a side."""
    return _cost_of_jpeg(file, least) if isinstance(file, JpegFile) else _cost_of_png(file)


def _cost_of_png(png: PngFile) -> Cost:
    pixels = png.width * png.height
    if png.depth == 16:
        alpha = png.colour in (GREY_ALPHA, COLOUR_ALPHA)
        return Cost(_BASE + pixels * (_BYTES_16_ALPHA if alpha else _BYTES_16), pixels * _SECONDS_16)
    return Cost(_BASE + pixels * _BYTES_8, pixels * (_SECONDS_TABLE if png.colour in (0, PALETTE) else _SECONDS_8))


def _cost_of_jpeg(jpeg: JpegFile, least: int) -> Cost:
    pixels, scans = jpeg.width * jpeg.height, len(jpeg.scans)
    decoded = pixels // scale_of(jpeg, least) ** 2
    once = len(jpeg.data) * _SECONDS_BYTE + decoded * _SECONDS_PIXEL
    if scans <= 1 and not jpeg.progressive:
        return Cost(len(jpeg.data) + 3 * decoded + _BASE // 8, once)
    coefficients = (
        2
        * pixels
        * sum(part.horizontal * part.vertical for part in jpeg.components)
        // max(part.horizontal * part.vertical for part in jpeg.components)
    )
    seconds = once + pixels * _SECONDS_PIXEL + scans * pixels * _SECONDS_SCAN
    return Cost(_BASE + 2 * len(jpeg.data) + coefficients + 2 * pixels // 4, _TIMES * seconds)
