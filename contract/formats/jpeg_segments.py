"""A JPEG as its marker segments and scans (ITU-T T.81 annex B), found without decoding, in time linear in its size."""

import contextlib
import itertools
import re
import struct

import numpy as np

from contract.errors import CUT_SHORT, TooMuchMetadata, TruncatedImage, UnsupportedJpeg
from contract.formats.jpeg_file import RESTARTS, Component, JpegFile, Scan

JPEG_MAGIC = b"\xff\xd8\xff"

# Honest files have about 10 segments and 10 scans. Each costs a decoder time, so a file may not have more than these.
MAX_SEGMENTS = 1000
MAX_SCANS = 100

# Markers, T.81 table B.1. Frames that are read: baseline, extended, progressive (Huffman).
_SOF_READ = (0xC0, 0xC1, 0xC2)
_PROGRESSIVE = 0xC2
# Lossless, differential and arithmetic-coded frames, and what only hierarchical or extended files have.
_SOF_OTHER = (0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF)
_SOF_JPEG_LS = 0xF7  # ITU-T T.87
_SOI, _EOI, _SOS, _DRI, _DHT, _DQT = 0xD8, 0xD9, 0xDA, 0xDD, 0xC4, 0xDB
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_FILL = 0xFF
_STANDALONE = (0x01, *RESTARTS)

# A marker, whatever stands before it: fill bytes are allowed there, and decoders skip stray bytes.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Bytes searched in one go: `re` keeps Python's lock meanwhile.
_WINDOW = 1 << 20

_UNREAD = "is not read; send a baseline or progressive JPEG of 8 bits, or a PNG"


def read_jpeg(data: bytes) -> JpegFile:
    """Find the segments and scans of a JPEG, up to the end of its first picture.

    Returns:
        the structure; of a file that is cut short, as far as it goes, if its frame is there.

    Raises:
        TruncatedImage: there is no frame, or a header is damaged.
        UnsupportedJpeg: a coding that is not read.
        TooMuchMetadata: more segments than any honest file has.
    """
    found = JpegFile(data)
    at = 2
    with contextlib.suppress(struct.error, IndexError):
        for count in itertools.count(1):
            at = _find_marker(data, at)
            marker, at = data[at + 1], at + 2
            if marker in (_EOI, _SOI):
                break
            if count > MAX_SEGMENTS:
                raise TooMuchMetadata(f"a JPEG may have {MAX_SEGMENTS} segments")
            if marker not in _STANDALONE:
                at = _read_segment(found, marker, at)
    if not found.components:
        raise TruncatedImage(CUT_SHORT)
    return found


def _find_marker(data: bytes, at: int) -> int:
    """Where the next marker stands; the end of the data if there is none."""
    while at < len(data):
        if found := _MARKER.search(data, at, at + _WINDOW + 1):
            return found.start()
        at += _WINDOW
    return len(data)


def _read_segment(found: JpegFile, marker: int, at: int) -> int:
    """Read the segment whose length stands there, and the scan behind it if it is the header of one; gives its end."""
    end = at + int(struct.unpack_from(">H", found.data, at)[0])
    segment = found.data[at - 2 : end]
    if len(segment) < end - at + 2:
        return len(found.data)
    if marker in _SOF_READ:
        _read_frame(found, marker, segment)
    elif marker == _SOS:
        scan = _read_scan(found, segment, end)
        found.parts += [segment, scan]
        if len(found.scans) > MAX_SCANS:
            raise UnsupportedJpeg(f"a JPEG of more than {MAX_SCANS} scans {_UNREAD}")
        return scan.end
    elif marker == _DRI:
        (found.interval,) = struct.unpack_from(">H", segment, 4)
        found.parts.append(segment)
    else:
        _read_other(found, marker, segment)
    return end


def _read_frame(found: JpegFile, marker: int, segment: bytes) -> None:
    bits, height, width, count = struct.unpack_from(">BHHB", segment, 4)
    if found.components:
        raise TruncatedImage("the JPEG has two frames: it is damaged")
    if bits != 8:
        raise UnsupportedJpeg(f"a JPEG of {bits} bits a sample is not read; send 8 bits, or a 16-bit PNG")
    if count == 4:
        raise UnsupportedJpeg("a CMYK JPEG is not read: a radiograph is grey")
    if count not in (1, 3):
        raise UnsupportedJpeg(f"a JPEG of {count} colour components {_UNREAD}")
    if height == 0:
        raise UnsupportedJpeg(f"a JPEG whose height stands behind its pixels (DNL) {_UNREAD}")
    components = struct.iter_unpack("BBx", segment[10 : 10 + 3 * count])
    found.components = tuple(Component(identifier, factors >> 4, factors & 15) for identifier, factors in components)
    if len(found.components) != count or any(
        not 1 <= f <= 4 for c in found.components for f in (c.horizontal, c.vertical)
    ):
        raise TruncatedImage(CUT_SHORT)
    found.width, found.height, found.progressive = width, height, marker == _PROGRESSIVE
    found.parts.append(segment)


def _read_scan(found: JpegFile, segment: bytes, start: int) -> Scan:
    """The scan with this header, whose entropy-coded data begin there."""
    count = segment[4]
    chosen = segment[5 : 5 + 2 * count : 2]
    first, last, bits = struct.unpack_from("BBB", segment, 5 + 2 * count)
    identifiers = [part.identifier for part in found.components]
    if not chosen or any(identifier not in identifiers for identifier in chosen) or last > 63 or first > last:
        raise TruncatedImage(CUT_SHORT)
    if not found.progressive:
        first, last, bits = 0, 63, 0
    numbers = tuple(identifiers.index(identifier) for identifier in chosen)
    restarts, end = _find_scan_end(found.data, start, restartable=found.interval > 0)
    if restarts and found.data[start:end].endswith(bytes((_FILL, restarts[-1]))):
        restarts, end = restarts[:-1], end - 2  # some writers put one behind the last interval, too
    return Scan(numbers, first, last, bits >> 4, bits & 15, found.interval, restarts, start, end)


def _find_scan_end(data: bytes, start: int, *, restartable: bool) -> tuple[bytes, int]:
    """The restart markers of the scan whose data begin there, and where another marker or the file ends it."""
    every = np.frombuffer(data, np.uint8)
    restarts = []
    for window in range(start, len(data) - 1, _WINDOW):
        at = window + np.flatnonzero(every[window : min(window + _WINDOW, len(data) - 1)] == _FILL)
        codes = every[at + 1]
        stuffed = (codes == 0) | (codes == _FILL)
        restart = (codes & 0xF8) == RESTARTS[0] if restartable else np.zeros_like(stuffed)
        ends = np.flatnonzero(~(stuffed | restart))
        if len(ends):
            restarts.append(codes[: ends[0]][restart[: ends[0]]].tobytes())
            return b"".join(restarts), _without_fill(data, start, int(at[ends[0]]))
        restarts.append(codes[restart].tobytes())
    return b"".join(restarts), _without_fill(data, start, len(data))


def _without_fill(data: bytes, start: int, end: int) -> int:
    """The end without fill bytes before it, which may also be the first half of a marker that was cut in two."""
    return end if end <= start or data[end - 1] != _FILL else start + len(data[start:end].rstrip(b"\xff"))


def _read_other(found: JpegFile, marker: int, segment: bytes) -> None:
    """Keep what a decoder needs: tables, and the two markers that say which colours these are."""
    if marker == _SOF_JPEG_LS:
        raise UnsupportedJpeg(f"JPEG-LS {_UNREAD}")
    if marker in _SOF_OTHER:
        raise UnsupportedJpeg(f"lossless, hierarchical and arithmetic-coded JPEG {_UNREAD}")
    body = segment[4:]
    if (
        marker in (_DHT, _DQT)
        or (marker == _APP14 and body[:5] == b"Adobe")
        or (marker == _APP0 and body[:4] == b"JFIF")
    ):
        found.parts.append(segment)
    elif marker == _APP1 and body.startswith(b"Exif\0\0") and not found.exif:
        found.exif = body[6:]
