"""The grey pixels of a PNG, or a refusal if any row of it is missing or damaged.

The picture is made strip by strip, so that beside the grey result only a strip is held: a palette with transparency or
16-bit colour would else take eight bytes a pixel and more.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import CUT_SHORT, TruncatedImage
from contract.formats.depth import Deep
from contract.formats.png_chunks import CHANNELS, COLOUR, GREY, PALETTE, PngFile
from contract.formats.png_rows import read_strips

_MODES = {2: "LA", 3: "RGB", 4: "RGBA"}


def decode_png(png: PngFile) -> tuple[Image.Image, bool]:
    """Decode a PNG to grey: colour as ITU-R 601-2 luma, what is transparent on black, 16 bits by their range.

    Returns:
        a picture of mode "L", as stored; and whether the range of its samples is unclear (``contract.formats.depth``).

    Raises:
        TruncatedImage: the file ends before its picture does, or is damaged.
    """
    if png.damaged or (png.colour == PALETTE and not png.palette):
        raise TruncatedImage(CUT_SHORT)
    if png.depth == 16:
        deep = Deep(png.width, png.height, png.colour, png.transparency)
        for strip in read_strips(png):
            deep.add(strip.place, strip.rows.view(">u2").reshape(len(strip.rows), strip.width, CHANNELS[png.colour]))
        return deep.to_grey()
    grey = np.empty((png.height, png.width), np.uint8)
    to_grey = _by_table(png) if png.colour in (GREY, PALETTE) else _by_colour(png)
    for strip in read_strips(png):
        grey[strip.place] = to_grey(strip.rows, strip.width)
    return Image.fromarray(grey), False


_ToGrey = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]


def _by_table(png: PngFile) -> _ToGrey:
    """Grey, or indices into a palette, of 1 to 8 bits: a table of what each value is."""
    table = _palette_table(png) if png.colour == PALETTE else _grey_table(png)
    plain = png.colour == GREY and png.depth == 8 and not png.transparency
    shifts = np.arange(8 - png.depth, -1, -png.depth, dtype=np.uint8)

    def to_grey(rows: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
        if plain:
            return rows
        if png.depth < 8:
            values = (rows[..., np.newaxis] >> shifts) & np.uint8((1 << png.depth) - 1)
            rows = values.reshape(len(rows), -1)[:, :width]
        return table[rows]

    return to_grey


def _grey_table(png: PngFile) -> NDArray[np.uint8]:
    """Of each grey level its sample of 8 bits; the transparent one is black. tRNS counts in the file's own depth."""
    most = (1 << png.depth) - 1
    table = (np.arange(256, dtype=np.uint16) * 255 // most).astype(np.uint8)
    if png.transparency:
        table[int.from_bytes(png.transparency) & most] = 0
    return table


def _palette_table(png: PngFile) -> NDArray[np.uint8]:
    """Of each palette entry its luma, on black; one that there is not is black."""
    alphas = png.transparency.ljust(256, b"\xff")[:256]
    colours = np.frombuffer(png.palette.ljust(768, b"\0"), np.uint8).reshape(256, 1, 3)
    entries = np.concatenate([colours, np.frombuffer(alphas, np.uint8).reshape(256, 1, 1)], 2)
    return _luma(entries)[:, 0]


def _by_colour(png: PngFile) -> _ToGrey:
    """Colour, or what has an alpha channel, of 8 bits a sample."""
    channels = CHANNELS[png.colour]
    key = np.frombuffer(png.transparency, ">u2").astype(np.uint8) if png.colour == COLOUR and png.transparency else None

    def to_grey(rows: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
        samples = rows.reshape(len(rows), width, channels)
        grey = _luma(samples)
        if key is not None:
            grey[(samples == key).all(-1)] = 0
        return grey

    return to_grey


def _luma(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma on black, uint8 (h, w), of uint8 (h, w, 2 to 4): Pillow's arithmetic, rounding and all."""
    picture = Image.fromarray(np.ascontiguousarray(samples), _MODES[samples.shape[-1]])
    if picture.mode != "RGB":
        opaque = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", opaque.size, "black"), opaque)
    return np.array(picture.convert("L"))
