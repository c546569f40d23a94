"""A PNG as its chunks (PNG specification, third edition), found without inflating anything."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from contract.errors import CUT_SHORT, AnimatedImage, TooMuchMetadata, TruncatedImage
from contract.formats.exif import orientation

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

# An honest PNG has a handful of ancillary chunks, and IDAT chunks of 4 kB or more. Each costs time, so a file may not
# have more.
MAX_PNG_CHUNKS = 1000
MAX_IDAT_CHUNKS = 32_768

# Colour types (11.2.1): channels, and the bit depths that are allowed.
GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
_DEPTHS = {GREY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8), COLOUR: (8, 16), GREY_ALPHA: (8, 16), COLOUR_ALPHA: (8, 16)}
# Chunks that say nothing of the pixels as they are read here.
_METADATA = frozenset(
    b"bKGD cHRM cICP cLLI gAMA gIFg gIFx hIST iCCP iTXt oFFs pCAL pHYs sBIT sCAL sPLT sRGB sTER tEXt tIME zTXt".split()
)
_ONE = (1).to_bytes(4)
# As long as EXIF metadata can be in a JPEG.
_MAX_EXIF = 65_536


@dataclass(slots=True)
class PngFile:
    """A PNG's structure: its header, and what else says which pixels these are.

    ``pixel_data``: start and end of each IDAT chunk's data. ``palette``: bytes R, G, B of each entry.
    ``transparency``: the data of tRNS. ``damaged``: a chunk that says what the picture is has a wrong checksum. Other
    metadata are left out, whatever they hold.
    """

    data: bytes
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    pixel_data: list[tuple[int, int]] = field(default_factory=list)
    palette: bytes = b""
    transparency: bytes = b""
    exif: bytes = b""
    damaged: bool = False

    @property
    def orientation(self) -> int:
        """Its EXIF orientation, 1 to 8."""
        return orientation(self.exif)

    @property
    def bits(self) -> int:
        """Bits a pixel."""
        return self.depth * CHANNELS[self.colour]


def read_png(data: bytes) -> PngFile:
    """Find the chunks of a PNG.

    Returns:
        the structure; of a file that is cut short, as far as it goes.

    Raises:
        TruncatedImage: there is no header.
        AnimatedImage: it has several frames.
        TooMuchMetadata: more chunks than any honest file has.
    """
    found = _read_header(data)
    frames: set[bytes] = set()
    frame_first = False
    for kind, start, end, intact in _chunks(data):
        found.damaged |= not intact
        if kind == b"IDAT":
            found.pixel_data.append((start, end))
        elif kind == b"eXIf" and not found.exif:
            found.exif = data[start : min(end, start + _MAX_EXIF)]
        elif not found.pixel_data:  # behind the pixels these say nothing
            _read_colours(found, kind, data[start:end])
            frames |= {data[start : start + 4]} if kind == b"acTL" else set()
            frame_first |= kind == b"fcTL"
    if frames and (frames != {_ONE} or not frame_first):  # a single frame may be another picture than the still one
        raise AnimatedImage("an animated PNG is not read: send the one frame that is meant")
    return found


def _read_header(data: bytes) -> PngFile:
    try:
        kind, width, height, depth, colour, *methods, interlace = struct.unpack_from(">4sIIBBBBB", data, 12)
    except struct.error:
        raise TruncatedImage(CUT_SHORT) from None
    if kind != b"IHDR" or depth not in _DEPTHS.get(colour, ()) or methods != [0, 0] or interlace not in (0, 1):
        raise TruncatedImage(CUT_SHORT)
    return PngFile(data, width, height, depth, colour, bool(interlace))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int, bool]]:
    """Kind, start and end of each chunk's data up to IEND, and whether it is as it was written.

    The checksum of pixel data is left to the inflating, that of metadata is not looked at. A chunk of an unknown kind
    must be intact: it might have been a known one.
    """
    at, pixel_data, others = 8, 0, 0
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        start, end = at + 8, at + 8 + length
        pixel_data += kind == b"IDAT"
        others += kind != b"IDAT"
        if others > MAX_PNG_CHUNKS or pixel_data > MAX_IDAT_CHUNKS:
            raise TooMuchMetadata(f"a PNG may have {MAX_IDAT_CHUNKS} chunks of pixels, {MAX_PNG_CHUNKS} of other data")
        if kind == b"IEND" or end + 4 > len(data):
            return
        yield kind, start, end, kind == b"IDAT" or kind in _METADATA or is_intact(data, start, end)
        at = end + 4


def is_intact(data: bytes, start: int, end: int) -> bool:
    """Whether the chunk whose data lie there has the checksum that stands behind them."""
    return zlib.crc32(memoryview(data)[start - 4 : end]) == int.from_bytes(data[end : end + 4])


def _read_colours(found: PngFile, kind: bytes, content: bytes) -> None:
    """Keep the palette and the transparent colours, where they are as the specification says (11.2.2, 11.3.1.1)."""
    if kind == b"PLTE" and found.colour == PALETTE and not found.palette:
        found.palette = content
        found.damaged |= len(content) % 3 > 0 or not 3 <= len(content) <= 768
    elif kind == b"tRNS" and not found.transparency:
        allowed = {GREY: (2,), COLOUR: (6,), PALETTE: range(1, 257)}.get(found.colour, ())
        found.transparency = content if len(content) in allowed else b""
