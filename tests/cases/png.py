"""PNG files, put together chunk by chunk."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contract.header import PNG_MAGIC
from tests.drawings import chest, png_chunk

WIDTH, HEIGHT = 300, 240
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

Samples = NDArray[np.unsignedinteger]


def grey(seed: int = 0) -> NDArray[np.uint8]:
    """The drawn radiograph that most cases hold, uint8 (240, 300)."""
    return chest(seed, WIDTH, HEIGHT)


def packed(samples: Samples, depth: int) -> NDArray[np.uint8]:
    """Rows of bytes, uint8 (h, bytes), of samples (h, w) or (h, w, channels) of so many bits."""
    if depth == 16:
        return samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    flat = samples.reshape(len(samples), -1).astype(np.uint8)
    bits = np.unpackbits(flat[..., np.newaxis], axis=2)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(flat), -1), axis=1)


def filtered(rows: NDArray[np.uint8], pixel: int, kinds: tuple[int, ...] = (0,)) -> bytes:
    """Rows with filter bytes before them, of these kinds in turn; the filters are PNG's, written out (9.2)."""
    out, before = [], np.zeros(rows.shape[1], np.uint8)
    for number, row in enumerate(rows):
        kind = kinds[number % len(kinds)]
        left = np.concatenate([np.zeros(pixel, np.uint8), row[:-pixel]]).astype(np.int16)
        corner = np.concatenate([np.zeros(pixel, np.uint8), before[:-pixel]]).astype(np.int16)
        out.append(
            bytes([kind]) + (row - _predicted(kind, left, before.astype(np.int16), corner)).astype(np.uint8).tobytes()
        )
        before = row
    return b"".join(out)


def _predicted(
    kind: int, left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    if kind == 4:
        guess = left + up - corner
        near = [np.abs(guess - side) for side in (left, up, corner)]
        return np.where((near[0] <= near[1]) & (near[0] <= near[2]), left, np.where(near[1] <= near[2], up, corner))
    return {1: left, 2: up, 3: (left + up) // 2}.get(kind, np.zeros_like(left))


def header(width: int, height: int, depth: int, colour: int, *, interlaced: bool = False) -> bytes:
    """The chunk IHDR."""
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def pixel_data(
    samples: Samples, depth: int, colour: int, *, interlaced: bool = False, kinds: tuple[int, ...] = (0,)
) -> bytes:
    """What IDAT inflates to: all passes of samples (h, w) or (h, w, channels)."""
    pixel = max(1, depth * CHANNELS[colour] // 8)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = [samples[top::down, left::across] for left, top, across, down in passes]
    return b"".join(filtered(packed(part, depth), pixel, kinds) for part in parts if part.size)


def assemble(head: bytes, pixels: bytes, before: bytes = b"", after: bytes = b"", chunk: int = 1 << 30) -> bytes:
    """A file of this IHDR and these inflated pixel data, in chunks of so many bytes, with chunks before and after."""
    compressed = zlib.compress(pixels, 9)
    idat = b"".join(png_chunk(b"IDAT", compressed[at : at + chunk]) for at in range(0, len(compressed), chunk))
    return PNG_MAGIC + head + before + idat + after + png_chunk(b"IEND", b"")


def of(samples: Samples, depth: int = 8, colour: int = 0, before: bytes = b"", *, interlaced: bool = False) -> bytes:
    """A whole file of samples (h, w) or (h, w, channels), every filter in use."""
    head = header(samples.shape[1], samples.shape[0], depth, colour, interlaced=interlaced)
    return assemble(head, pixel_data(samples, depth, colour, interlaced=interlaced, kinds=(0, 1, 2, 3, 4)), before)


def plain(before: bytes = b"", after: bytes = b"") -> bytes:
    """The drawn radiograph in 8-bit grey, with chunks before or after its pixels."""
    return assemble(header(WIDTH, HEIGHT, 8, 0), pixel_data(grey(), 8, 0), before, after)


def wrong_checksum(chunk: bytes) -> bytes:
    """A chunk with another checksum."""
    return chunk[:-4] + bytes(byte ^ 0xFF for byte in chunk[-4:])


def transparent(level: int) -> bytes:
    """The chunk tRNS of a grey picture: this level is transparent."""
    return png_chunk(b"tRNS", struct.pack(">H", level))


def with_transparent_margin(depth: int) -> tuple[bytes, bytes]:
    """A picture whose brightest level is transparent at its sides; and the same with black sides, in 8 bits."""
    most = (1 << depth) - 1
    levels = np.minimum(grey().astype(np.uint32) * (most + 1) // 256, most - 1)
    levels[:, :35] = levels[:, -35:] = most
    black = np.where(levels == most, 0, levels)
    partner = (black >> 8 if depth == 16 else black * 255 // most).astype(np.uint8)
    key = transparent(most)
    return of(levels, depth, 0, key), of(partner)


TEXT_OF_1_5_MB = png_chunk(b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(b"<rdf:li>step</rdf:li>" * 75_000, 9))
PROFILE_OF_1_5_MB = png_chunk(b"iCCP", b"press\0\0" + zlib.compress(np.random.default_rng(1).bytes(1000) * 1500, 9))
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF>'
    b"</x:xmpmeta>"
)
XMP_TURNED = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
EXIF_TURNED = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"


def frames(count: int) -> bytes:
    """The chunk acTL of an animated PNG of so many frames."""
    return png_chunk(b"acTL", struct.pack(">II", count, 0))


FIRST_FRAME = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0))

# Read as ``plain()``.
READ_AS_PLAIN: dict[str, Callable[[], bytes]] = {
    "long compressed text": lambda: plain(TEXT_OF_1_5_MB),
    "long profile": lambda: plain(PROFILE_OF_1_5_MB),
    "text with a wrong checksum": lambda: plain(wrong_checksum(png_chunk(b"tEXt", b"Comment\0hello"))),
    "broken text": lambda: plain(png_chunk(b"zTXt", b"no separator"), png_chunk(b"iTXt", b"\xff")),
    "broken profile": lambda: plain(png_chunk(b"iCCP", b"icc\0\0not deflated")),
    "broken ancillary chunks": lambda: plain(
        b"".join(png_chunk(kind, b"\1") for kind in (b"gAMA", b"pHYs", b"cHRM", b"tIME"))
    ),
    "tRNS of no length that fits": lambda: plain(png_chunk(b"tRNS", b"\0\1\2")),
    "an unknown ancillary chunk": lambda: plain(png_chunk(b"vpAg", bytes(9))),
    "orientation in XMP": lambda: plain(XMP_TURNED),
    "orientation in a raw profile": lambda: plain(
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n26\n" + EXIF_TURNED.hex().encode())
    ),
    "acTL behind the pixels": lambda: plain(after=frames(2)),
    "acTL of one frame": lambda: plain(frames(1) + FIRST_FRAME),
    "bytes behind the end": lambda: plain() + b"PK\x03\x04<html>",
    "without IEND": lambda: plain()[:-12],
    "cut inside IEND": lambda: plain()[:-5],
    "many small chunks": lambda: assemble(header(WIDTH, HEIGHT, 8, 0), pixel_data(grey(), 8, 0), chunk=7),
    "bytes behind the last row": lambda: assemble(header(WIDTH, HEIGHT, 8, 0), pixel_data(grey(), 8, 0) + bytes(500)),
    "interlaced": lambda: of(grey(), interlaced=True),
}


def _flipped() -> bytes:
    damaged = bytearray(plain())
    damaged[len(damaged) // 3] ^= 4
    return bytes(damaged)


def _with_filter(kind: int) -> bytes:
    pixels = bytearray(pixel_data(grey(), 8, 0))
    pixels[100 * (WIDTH + 1)] = kind
    return assemble(header(WIDTH, HEIGHT, 8, 0), bytes(pixels))


def _missing(rows: int, *, interlaced: bool = False) -> bytes:
    pixels = pixel_data(grey(), 8, 0, interlaced=interlaced)
    return assemble(header(WIDTH, HEIGHT, 8, 0, interlaced=interlaced), pixels[: len(pixels) - rows * (WIDTH + 1)])


def _checksum_of_zlib() -> bytes:
    compressed = zlib.compress(pixel_data(grey(), 8, 0), 9)
    idat = png_chunk(b"IDAT", compressed[:-4] + bytes(4))
    return PNG_MAGIC + header(WIDTH, HEIGHT, 8, 0) + idat + png_chunk(b"IEND", b"")


def _checksum_of(kind: bytes, whole: bytes) -> bytes:
    start = whole.index(kind) - 4
    end = start + 12 + int.from_bytes(whole[start : start + 4])
    return whole[:start] + wrong_checksum(whole[start:end]) + whole[end:]


def in_palette() -> bytes:
    """The drawn radiograph as indices into a palette of greys."""
    palette = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
    return of(grey(), 8, 3, png_chunk(b"PLTE", palette))


def _without_a_chunk() -> bytes:
    whole = assemble(header(WIDTH, HEIGHT, 8, 0), pixel_data(grey(), 8, 0), chunk=4000)
    middle = whole.index(b"IDAT", len(whole) // 2) - 4
    return whole[:middle] + whole[middle + 4012 :]


# Refused: the picture is not whole.
DAMAGED: dict[str, Callable[[], bytes]] = {
    "a flipped bit": _flipped,
    "an unknown filter": lambda: _with_filter(7),
    "half of the rows missing": lambda: _missing(HEIGHT // 2),
    "one row missing": lambda: _missing(1),
    "the last pass missing": lambda: _missing(HEIGHT // 2, interlaced=True),
    "one row of the last pass missing": lambda: _missing(1, interlaced=True),
    "zlib's checksum": _checksum_of_zlib,
    "IDAT's checksum": lambda: _checksum_of(b"IDAT", plain()),
    "IHDR's checksum": lambda: _checksum_of(b"IHDR", plain()),
    "PLTE's checksum": lambda: _checksum_of(b"PLTE", in_palette()),
    "tRNS's checksum": lambda: _checksum_of(b"tRNS", plain(transparent(3))),
    "eXIf's checksum": lambda: _checksum_of(b"eXIf", plain(png_chunk(b"eXIf", EXIF_TURNED))),
    "no palette": lambda: of(grey(), 8, 3),
    "an empty palette": lambda: of(grey(), 8, 3, png_chunk(b"PLTE", b"")),
    "no pixel data": lambda: PNG_MAGIC + header(WIDTH, HEIGHT, 8, 0) + png_chunk(b"IEND", b""),
    "a chunk missing in the middle": _without_a_chunk,
    "far more than the picture": lambda: assemble(
        header(WIDTH, HEIGHT, 8, 0), pixel_data(grey(), 8, 0) + bytes(9_000_000)
    ),
}
