"""What an image file says of itself, read from its first bytes without decoding anything.

Size limits have to hold before a decoder allocates memory, and Pillow's own limit (a warning at 89 million pixels, an
error at 179 million) comes too late for that, so the few header fields needed are read here.
"""

import struct
from dataclasses import dataclass
from typing import Literal

from contract.errors import (
    AnimatedImage,
    EmptyImage,
    TooMuchMetadata,
    TruncatedImage,
    UnsupportedFormat,
    UnsupportedJpeg,
)

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# An honest PNG has a handful of ancillary chunks. Each costs a decoder time and memory, so a file may not have more.
MAX_PNG_CHUNKS = 1000

# JPEG markers, ITU-T T.81 table B.1: frames this reader takes (baseline, extended, progressive Huffman) ...
_SOF_READ = (0xC0, 0xC1, 0xC2)
# ... and frames that it does not (lossless, differential, arithmetic). C4, C8 and CC are no frames.
_SOF_OTHER = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_STANDALONE = (0x01, *range(0xD0, 0xD9))

CUT_SHORT = "the file ends before the picture does, or is damaged"


@dataclass(frozen=True, slots=True)
class Header:
    """Format, and width and height in pixels as stored (before any EXIF rotation)."""

    format: Literal["JPEG", "PNG"]
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """Read format and size from the first bytes of a JPEG or PNG.

    Raises:
        EmptyImage, UnsupportedFormat, TruncatedImage, UnsupportedJpeg, AnimatedImage, TooMuchMetadata.
    """
    if not data:
        raise EmptyImage("the image has no bytes")
    try:
        if data.startswith(JPEG_MAGIC):
            return _read_jpeg(data)
        if data.startswith(PNG_MAGIC):
            return _read_png(data)
    except (struct.error, IndexError):
        raise TruncatedImage(CUT_SHORT) from None
    if PNG_MAGIC.startswith(data) or JPEG_MAGIC.startswith(data):
        raise TruncatedImage(CUT_SHORT)
    raise UnsupportedFormat("only JPEG and PNG images are read; these bytes begin as neither")


def _read_jpeg(data: bytes) -> Header:
    """Walk the marker segments up to the frame header (T.81 B.2.2)."""
    at = 2
    while True:
        if data[at] != 0xFF:
            raise TruncatedImage(CUT_SHORT)
        while data[at] == 0xFF:  # fill bytes are allowed before a marker
            at += 1
        marker, at = data[at], at + 1
        if marker in _SOF_READ:
            return _jpeg_frame(data, at)
        if marker in _SOF_OTHER:
            raise UnsupportedJpeg(
                "lossless, hierarchical and arithmetic-coded JPEG is not read; send baseline or progressive"
            )
        if marker not in _STANDALONE:
            at += struct.unpack_from(">H", data, at)[0]


def _jpeg_frame(data: bytes, at: int) -> Header:
    bits, height, width, components = struct.unpack_from(">xxBHHB", data, at)
    if bits != 8:
        raise UnsupportedJpeg(f"a JPEG of {bits} bits a sample is not read; send 8 bits, or a 16-bit PNG")
    if components == 4:
        raise UnsupportedJpeg("a CMYK JPEG is not read: a radiograph is grey")
    return Header("JPEG", width, height)


def _read_png(data: bytes) -> Header:
    """Walk the chunks (PNG specification, section 5) counting all that is not pixel data."""
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise TruncatedImage(CUT_SHORT)
    at, chunks = 8, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"acTL":
            raise AnimatedImage("an animated PNG is not read: send the one frame that is meant")
        chunks += kind != b"IDAT"
        if chunks > MAX_PNG_CHUNKS:
            raise TooMuchMetadata(f"a PNG may have {MAX_PNG_CHUNKS} chunks beside its pixel data")
        if kind == b"IEND":
            break
        at += 12 + length
    return Header("PNG", width, height)
