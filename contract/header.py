"""The structure and size of an image file, found without decoding anything.

Size limits have to hold before a decoder allocates memory, and Pillow's own limit (a warning at 89 million pixels, an
error at 179 million) comes too late for that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from contract.errors import CUT_SHORT, EmptyImage, TruncatedImage, UnsupportedFormat
from contract.formats.jpeg_file import JpegFile
from contract.formats.jpeg_segments import JPEG_MAGIC, read_jpeg
from contract.formats.png_chunks import MAX_PNG_CHUNKS, PNG_MAGIC, PngFile, read_png

__all__ = [
    "JPEG_MAGIC",
    "MARK_ENDS",
    "MAX_PNG_CHUNKS",
    "PNG_MAGIC",
    "Header",
    "ImageFile",
    "Viewing",
    "is_dicom",
    "read_file",
    "read_header",
]

ImageFile = JpegFile | PngFile

_READ: dict[bytes, Callable[[bytes], ImageFile]] = {JPEG_MAGIC: read_jpeg, PNG_MAGIC: read_png}
_DICOM_MAGIC, _DICOM_AT = b"DICM", 128
# Bytes of a file that decide whether it is a DICOM file.
MARK_ENDS = _DICOM_AT + len(_DICOM_MAGIC)
# First bytes of what people send besides, and its name (RFC 9649 for WebP, ISO 14496-12 for what begins with ftyp).
_OTHERS = (
    (b"GIF8", 0, "a GIF"),
    (b"BM", 0, "a BMP"),
    (b"II*\0", 0, "a TIFF"),
    (b"MM\0*", 0, "a TIFF"),
    (b"WEBP", 8, "a WebP"),
    (b"ftyphei", 4, "a HEIC"),
    (b"ftyphev", 4, "a HEIC"),
    (b"ftypmif1", 4, "a HEIC"),
    (b"ftypmsf1", 4, "a HEIC"),
    (b"ftypavif", 4, "an AVIF"),
    (b"ftypavis", 4, "an AVIF"),
    (b"jP  \r\n", 4, "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000"),
    (b"\xff\x0a", 0, "a JPEG XL"),
    (b"JXL ", 4, "a JPEG XL"),
    (b"%PDF", 0, "a PDF"),
    (b"PK\3\4", 0, "a ZIP"),
    # Group 0002 or 0008 in little endian, where the preamble and DICM should be (PS3.10 section 7.1).
    (b"\2\0\0\0", 0, "a DICOM (without its preamble)"),
    (b"\10\0\5\0", 0, "a DICOM (without its preamble)"),
    (b"\10\0\10\0", 0, "a DICOM (without its preamble)"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """Format, and width and height in pixels as stored (before any EXIF rotation)."""

    format: Literal["JPEG", "PNG"]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Viewing:
    """What a viewer shows beside a picture: the size of the file's picture in pixels, and what a DICOM object says.

    ``spacing``: millimetres from pixel to pixel, down and across; ``at_detector``: measured there, where the patient is
    magnified. ``window``: level and width of its first window, in its own units. ``view``: View Position. ``age``: of
    the patient, in years. None: it says nothing of this.
    """

    columns: int
    rows: int
    spacing: tuple[float, float] | None = None
    at_detector: bool = False
    window: tuple[float, float] | None = None
    view: str | None = None
    age: float | None = None


def is_dicom(data: bytes) -> bool:
    """Whether these are the bytes of a DICOM file (PS3.10 section 7.1), which the package ``dicom`` reads.

    A JPEG or PNG with the same bytes in that place is not one.
    """
    return data[_DICOM_AT:MARK_ENDS] == _DICOM_MAGIC and not data.startswith(tuple(_READ))


def read_file(data: bytes) -> ImageFile:
    """Find the structure of a JPEG or PNG, by its first bytes.

    Raises:
        EmptyImage, UnsupportedFormat, TruncatedImage, UnsupportedJpeg, AnimatedImage, TooMuchMetadata.
    """
    if not data:
        raise EmptyImage("the image has no bytes")
    for magic, read in _READ.items():
        if data.startswith(magic):
            return read(data)
        if magic.startswith(data):
            raise TruncatedImage(CUT_SHORT)
    if is_dicom(data):
        raise UnsupportedFormat("a DICOM file is not read; send the image as JPEG or PNG")
    name = next((name for magic, at, name in _OTHERS if data[at : at + len(magic)] == magic), None)
    if name is None:
        raise UnsupportedFormat("only JPEG, PNG and DICOM files are read; these bytes begin as none of them")
    raise UnsupportedFormat(f"{name} file is not read; send the image as JPEG or PNG")


def read_header(data: bytes) -> Header:
    """Format and size of a JPEG or PNG.

    Raises:
        ImageRefused: as ``read_file``.
    """
    found = read_file(data)
    return Header("JPEG" if isinstance(found, JpegFile) else "PNG", found.width, found.height)
