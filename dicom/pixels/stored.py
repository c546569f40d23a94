"""The stored values of the one frame of an object, in each transfer syntax (PS3.5 section 8 and annex A)."""

import struct
from typing import Any, cast

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.errors import CUT_SHORT, MultiFrame, TooMuchMetadata, TruncatedImage, UnusableObject
from contract.formats.jpeg import NOISE, decode_jpeg
from contract.formats.jpeg_segments import read_jpeg
from dicom.attributes.image import PixelFormat
from dicom.format.elements import ITEM, SEQUENCE_END, UNDEFINED
from dicom.format.file import DicomFile
from dicom.pixels.codestream import STARTS, check_codestream, unwrapped

Stored = NDArray[np.uint8] | NDArray[np.uint16]

_EOI = b"\xff\xd9"
_ITEM = struct.Struct("<HHL")
_RLE_HEADER = struct.Struct("<16L")
# Zeros that some writers pad a segment with unpack to up to so many bytes behind the picture.
_RLE_PADDING = 64
# Writers cut a picture into pieces of some kilobytes, if at all. Each costs time.
_MAX_FRAGMENTS = 2**15


def stored_values(file: DicomFile, pixels: PixelFormat, least: int) -> Stored:
    """The frame as it is stored.

    Args:
        file: the object.
        pixels: how they are stored.
        least: a JPEG of 8 bits may be decoded at a smaller scale, that leaves no side below so many pixels.

    Returns:
        uint8 or uint16: (rows, columns) of a grey picture, with the bits beside the stored ones; of a colour picture
        its luma. uint16 wherever 16 bits are allocated.

    Raises:
        ImageRefused: it is cut short, damaged or contradicts its attributes.
    """
    values = _read(file, pixels, least)
    return values.astype(np.uint16) if pixels.allocated == 16 and values.dtype == np.uint8 else values


def _read(file: DicomFile, pixels: PixelFormat, least: int) -> Stored:
    if (file.syntax.coding == "native") != (file.elements.pixels_length != UNDEFINED):
        raise UnusableObject("the Pixel Data of the DICOM object is not encoded as its transfer syntax says")
    if file.syntax.coding == "native":
        return _native(file.pixel_bytes(pixels.bytes, pixels.bytes // pixels.rows), pixels)
    coded = fragments(file)
    if file.syntax.coding == "rle":
        return _luma(_rle(coded, pixels), pixels)
    coded = unwrapped(coded)
    stated = check_codestream(coded, file.syntax.coding, pixels)
    if file.syntax.lossy and file.syntax.coding == "jpeg" and stated.bits == 8:
        return np.asarray(decode_jpeg(read_jpeg(coded), least))
    values = _decode(coded, file.syntax.coding)
    if values.shape[:2] != (pixels.rows, pixels.columns):
        raise TruncatedImage(CUT_SHORT)
    return _luma(_clipped(values, pixels) if file.syntax.lossy else values, pixels)


def fragments(file: DicomFile) -> bytes:
    """The compressed frame: the items of an encapsulated Pixel Data behind its offset table (PS3.5 annex A.4).

    Raises:
        TruncatedImage: they end too soon.
        MultiFrame: there are several, whatever Number of Frames says.
        TooMuchMetadata: more items than any radiograph has.
    """
    at = file.elements.pixels or 0
    found: list[memoryview] = []
    for _ in range(_MAX_FRAGMENTS):
        try:
            group, element, length = _ITEM.unpack_from(file.data, at)
        except struct.error:
            raise TruncatedImage(CUT_SHORT) from None
        tag, at = group << 16 | element, at + _ITEM.size
        if tag == SEQUENCE_END:
            if sum(bytes(part[:4]).startswith(STARTS) for part in found[1:]) > 1:
                raise MultiFrame("the DICOM object has several frames; send one radiograph")
            return b"".join(found[1:])
        if tag != ITEM or at + length > len(file.data):
            raise TruncatedImage(CUT_SHORT)
        found.append(memoryview(file.data)[at : at + length])
        at += length
    raise TooMuchMetadata(f"the picture of the DICOM object has more than {_MAX_FRAGMENTS} fragments")


def _native(data: bytes | memoryview, pixels: PixelFormat) -> Stored:
    if pixels.subsampled:  # Y Y Cb Cr for each two pixels
        return np.frombuffer(data, np.uint8).reshape(-1, 4)[:, :2].reshape(pixels.rows, pixels.columns)
    values: Stored = np.frombuffer(data, "<u2" if pixels.allocated == 16 else np.uint8)
    if pixels.samples == 1:
        return values.reshape(pixels.rows, pixels.columns)
    if pixels.planar:
        return _luma(np.moveaxis(values.reshape(3, pixels.rows, pixels.columns), 0, -1), pixels)
    return _luma(values.reshape(pixels.rows, pixels.columns, 3), pixels)


def _rle(data: bytes, pixels: PixelFormat) -> Stored:
    """PackBits, a segment for each byte of a sample, the most significant first (PS3.5 annex G)."""
    bytes_per_sample, size = pixels.allocated // 8, pixels.rows * pixels.columns
    count, *offsets = _RLE_HEADER.unpack_from(data)
    if count != pixels.samples * bytes_per_sample:
        raise TruncatedImage(CUT_SHORT)
    ends = [*offsets[1:count], len(data)]
    planes = np.empty((size, pixels.samples, bytes_per_sample), np.uint8)
    for number, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        if not _RLE_HEADER.size <= start < end <= len(data):
            raise TruncatedImage(CUT_SHORT)
        plane = bytearray(size + _RLE_PADDING)
        if len(imagecodecs.packbits_decode(data[start:end], out=plane)) < size:
            raise TruncatedImage(CUT_SHORT)
        sample, significance = divmod(number, bytes_per_sample)
        planes[:, sample, bytes_per_sample - 1 - significance] = np.frombuffer(plane, np.uint8, size)
    values: Stored = planes if bytes_per_sample == 1 else planes.view("<u2")
    shape = (pixels.rows, pixels.columns, pixels.samples)
    return values.reshape(shape[: 2 if pixels.samples == 1 else 3])


def _decode(data: bytes, coding: str) -> Stored:
    if coding == "jpeg-ls":
        values = imagecodecs.jpegls_decode(data)
    elif coding == "jpeg2000":
        values = imagecodecs.jpeg2k_decode(data)
    else:
        values = _decode_jpeg(data)
    # Samples that are signed are taken as the bits that they are.
    return values.view(np.uint16) if values.dtype.itemsize == 2 else values.view(np.uint8)


def _decode_jpeg(data: bytes) -> NDArray[Any]:
    # libjpeg fills what is missing and does not say so: then noise behind the scan changes the picture.
    values = imagecodecs.jpeg8_decode(data)
    scan = data[: data.rindex(_EOI)].rstrip(b"\xff")  # fill bytes may stand before a marker
    if not np.array_equal(values, imagecodecs.jpeg8_decode(scan + NOISE + _EOI)):
        raise TruncatedImage(CUT_SHORT)
    return values


def _clipped(values: Stored, pixels: PixelFormat) -> Stored:
    """Without values beyond the stored range, which lossy compression makes, and a mask would wrap round."""
    if pixels.signed or pixels.shift or pixels.stored == 8 * values.dtype.itemsize:
        return values
    return cast(Stored, np.minimum(values, np.array((1 << pixels.stored) - 1, values.dtype)))


def _luma(values: Stored, pixels: PixelFormat) -> Stored:
    """ITU-R 601-2 luma of a colour picture, uint8; a grey picture as it is."""
    if values.ndim == 2:
        return values
    if values.shape[2] != 3 or values.dtype != np.uint8:
        raise TruncatedImage(CUT_SHORT)
    if pixels.photometric == "YBR":
        return np.array(values[..., 0], np.uint8)
    return np.asarray(Image.fromarray(np.ascontiguousarray(values)).convert("L"))
