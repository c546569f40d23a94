"""Into how many parts a JPEG 2000 codestream divides its picture (ISO/IEC 15444-1, A.6 and B.5): each costs memory."""

import struct
from collections.abc import Iterator

from contract.errors import CUT_SHORT, TooMuchMetadata, TruncatedImage

# Annex A.2: coding styles, of all components and of one; begin and data of a tile-part.
_COD, _COC, _SOT, _SOD = b"\xff\x52", b"\xff\x53", b"\xff\x90", b"\xff\x93"
# The second bytes of all markers that may stand in a header.
_KNOWN = bytes.fromhex("50 51 52 53 55 57 58 5c 5d 5e 5f 60 61 63 64 90")
_MAX_SEGMENTS = 2**16
# Code-blocks of a tile, each about 300 bytes in OpenJPEG. A precinct takes as much as five. A radiograph of 50 million
# pixels has 12 000 code-blocks of the usual size.
MAX_PARTS = 2**18
_PRECINCT = 5
_LARGEST = 15  # of a precinct, where a codestream states no size: 2**15


def check_divisions(data: bytes, width: int, height: int) -> None:
    """Check that no coding style in the headers of a codestream divides a tile of this size into very small parts.

    Raises:
        TooMuchMetadata: one does.
        TruncatedImage: a header is damaged.
    """
    if any(_parts(style, width, height) > MAX_PARTS for style in _styles(data)):
        raise TooMuchMetadata(f"the compressed picture is divided into more than {MAX_PARTS} parts")


def _styles(data: bytes) -> Iterator[bytes]:
    """The parameters of each coding style in the main header and in those of tile-parts, from the levels on."""
    at, end = 2, len(data)
    for _ in range(_MAX_SEGMENTS):
        marker, (length,) = data[at : at + 2], struct.unpack_from(">H", data, at + 2)
        if marker[0] != 0xFF or marker[1] not in _KNOWN:  # decoders look behind it for the next one that they know
            raise TruncatedImage(CUT_SHORT)
        if marker in (_COD, _COC):
            yield data[at + (9 if marker == _COD else 6) : at + 2 + length]
        elif marker == _SOT:
            (size,) = struct.unpack_from(">L", data, at + 6)
            end = at + size if size else len(data)
        at += 2 + int(length)
        if data[at : at + 2] == _SOD:
            at = max(at + 2, end)
            if data[at : at + 2] != _SOT:  # the end, or damage, which decoders find
                return
    raise TooMuchMetadata(f"the compressed picture has more than {_MAX_SEGMENTS} segments")


def _parts(style: bytes, width: int, height: int) -> int:
    """Into how many parts this style divides a tile, about."""
    levels, across, down = struct.unpack_from("BBB", style)
    precincts = style[5 : 6 + levels].ljust(levels + 1, bytes((_LARGEST << 4 | _LARGEST,)))
    parts = 0
    for below, size in enumerate(reversed(precincts)):
        columns, rows = -(-width >> below), -(-height >> below)
        wide, high = size & 15, size >> 4
        block = min(across + 2, max(0, wide - 1)) + min(down + 2, max(0, high - 1))
        parts += _PRECINCT * -(-columns >> wide) * -(-rows >> high) + (columns * rows >> block)
    return parts
