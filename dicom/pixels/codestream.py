"""The size that a compressed picture states in its own header, read before a decoder allocates memory for it."""

import struct
from dataclasses import dataclass

from contract.errors import CUT_SHORT, TooMuchMetadata, TruncatedImage, UnsupportedJpeg, UnusableObject
from contract.formats.jpeg_segments import MAX_SCANS
from dicom.attributes.image import PixelFormat
from dicom.format.syntaxes import Coding
from dicom.pixels.divisions import check_divisions

_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
# ITU-T T.81, table B.1: frames that are read: baseline, extended, progressive, lossless; T.87: JPEG-LS.
_FRAMES: dict[str, frozenset[int]] = {"jpeg": frozenset((0xC0, 0xC1, 0xC2, 0xC3)), "jpeg-ls": frozenset((0xF7,))}
_TABLES = frozenset((0xC4, 0xCC, 0xC8))
_MAX_SEGMENTS = 1000
# ISO/IEC 15444-1 annex A. Tiles cost memory each; a radiograph has one, or some hundred.
_SOC_SIZ = b"\xff\x4f\xff\x51"
# How a JPEG, JPEG-LS or JPEG 2000 codestream begins.
STARTS = (b"\xff\xd8\xff", _SOC_SIZ)
# ISO/IEC 15444-1 annex I: how a JP2 file begins, and the box that holds its codestream.
_JP2, _CODESTREAM = b"\0\0\0\x0cjP  ", b"jp2c"
_MAX_BOXES = 100
_MAX_TILES = 4096


@dataclass(frozen=True, slots=True)
class Stated:
    """What a codestream says of its picture. ``bits``: of a sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def unwrapped(data: bytes) -> bytes:
    """The codestream of a JP2 file, which some writers send in its place; other data as they are."""
    at = 0
    for _ in range(_MAX_BOXES if data.startswith(_JP2) else 0):
        length, kind, longer = struct.unpack(">L4sQ", data[at : at + 16].ljust(16, b"\0"))
        head = 16 if length == 1 else 8
        length = (longer if length == 1 else length) or len(data) - at
        if kind == _CODESTREAM:
            return data[at + head : at + length]
        at += max(length, head)
    return data


def check_codestream(data: bytes, coding: Coding, pixels: PixelFormat) -> Stated:
    """Check that a codestream is whole, and states the size of the object that it lies in.

    Raises:
        TruncatedImage: it does not begin or end as one.
        UnsupportedJpeg: it has very many scans.
        TooMuchMetadata: more segments or tiles than any radiograph has.
        UnusableObject: it is a picture of another size or depth.
    """
    try:
        stated = _jpeg2000(data) if coding == "jpeg2000" else _jpeg(data, _FRAMES[coding])
    except (struct.error, IndexError):
        raise TruncatedImage(CUT_SHORT) from None
    if (stated.rows, stated.columns, stated.samples) != (pixels.rows, pixels.columns, pixels.samples):
        raise UnusableObject("the compressed picture has another size than Rows and Columns of its DICOM object say")
    if stated.bits > pixels.allocated:
        raise UnusableObject("the compressed picture has more bits than Bits Allocated of its DICOM object says")
    if stated.bits <= 8 < pixels.stored:  # its values are not those that the window is meant for
        raise UnusableObject("the compressed picture has fewer bits than Bits Stored of its DICOM object says")
    if not data.rstrip(b"\0").endswith(_EOI):
        raise TruncatedImage(CUT_SHORT)
    return stated


def _jpeg(data: bytes, frames: frozenset[int]) -> Stated:
    """From the frame header of a JPEG or JPEG-LS codestream."""
    if data[:2] != _SOI:
        raise TruncatedImage(CUT_SHORT)
    if data.count(_SOS) > MAX_SCANS:  # a decoder goes through the whole picture for each
        raise UnsupportedJpeg(f"a JPEG of more than {MAX_SCANS} scans is not read")
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if data[at] != 0xFF:
            raise TruncatedImage(CUT_SHORT)
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in frames:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            return Stated(rows, columns, samples, bits)
        if marker == 0xDA or (0xC0 <= marker <= 0xCF and marker not in _TABLES) or marker == 0xF7:
            raise UnusableObject("the compressed picture is coded in another way than its transfer syntax says")
        at += 2 + int(length)
    raise TooMuchMetadata(f"the compressed picture has more than {_MAX_SEGMENTS} segments")


def _jpeg2000(data: bytes) -> Stated:
    """From the SIZ marker segment of a JPEG 2000 codestream."""
    if data[:4] != _SOC_SIZ:
        raise TruncatedImage(CUT_SHORT)
    right, bottom, left, top, tile_width, tile_height, tiles_left, tiles_top, samples = struct.unpack_from(
        ">8LH", data, 8
    )
    parts = [struct.unpack_from(">BBB", data, 42 + 3 * number) for number in range(samples)]
    if not parts or not tile_width or not tile_height or right <= left or bottom <= top:
        raise TruncatedImage(CUT_SHORT)
    if any((across, down) != (1, 1) for _, across, down in parts):
        raise UnusableObject("the compressed picture has subsampled components, which are not read")
    tiles = -(-(right - tiles_left) // tile_width) * -(-(bottom - tiles_top) // tile_height)
    if not 0 < tiles <= _MAX_TILES:
        raise TooMuchMetadata(f"the compressed picture has more than {_MAX_TILES} tiles")
    check_divisions(data, min(tile_width, right - left), min(tile_height, bottom - top))
    return Stated(bottom - top, right - left, samples, max(depth & 0x7F for depth, _, _ in parts) + 1)
