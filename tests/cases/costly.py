"""Small files that cost much to decode."""

import zlib
from collections.abc import Callable

from contract.header import PNG_MAGIC
from tests.cases import jpeg, png
from tests.drawings import png_chunk

SIDE = 7000


def flat(depth: int, colour: int, before: bytes = b"") -> bytes:
    """A black PNG of 49 million pixels, a few hundred kB at most."""
    row = b"\4" + bytes(SIDE * depth * png.CHANNELS[colour] // 8)
    deflate = zlib.compressobj(6)
    pixels = b"".join([*(deflate.compress(row) for _ in range(SIDE)), deflate.flush()])
    return (
        PNG_MAGIC
        + png.header(SIDE, SIDE, depth, colour)
        + before
        + png_chunk(b"IDAT", pixels)
        + png_chunk(b"IEND", b"")
    )


def palette() -> bytes:
    """With transparency, which Pillow makes RGBA of."""
    return flat(8, 3, png_chunk(b"PLTE", bytes(768)) + png_chunk(b"tRNS", bytes(256)))


COSTLY: list[Callable[[], bytes]] = [
    palette,
    lambda: flat(16, 0),
    lambda: flat(16, 6),
    lambda: jpeg.many_scans(SIDE, 99),
]
