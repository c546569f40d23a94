"""JPEG files, changed marker by marker."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from contract.formats.jpeg_segments import read_jpeg
from tests.cases.png import EXIF_TURNED, HEIGHT, WIDTH, XMP, grey
from tests.drawings import encode

EOI = b"\xff\xd9"


def photo(**options: Any) -> bytes:
    """The drawn radiograph as a grey JPEG."""
    return encode(grey(), quality=85, **options)


def segment(marker: int, content: bytes) -> bytes:
    """One marker segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def before_tables(extra: bytes) -> bytes:
    """The photo with these bytes between two segments."""
    at = photo().index(b"\xff\xdb")
    return photo()[:at] + extra + photo()[at:]


def after_start(extra: bytes) -> bytes:
    """The photo with these bytes behind its first marker."""
    return photo()[:2] + extra + photo()[2:]


def _phone(*, whole: bool) -> bytes:
    """A phone's MPO: photo and preview; or what a messenger keeps of it."""
    first = Image.fromarray(grey()).convert("RGB")
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[first.resize((150, 120))], quality=85)
    both = buffer.getvalue()
    return both if whole else both[: both.index(EOI + b"\xff\xd8") + 2]


# Read as ``photo()``.
READ_AS_PHOTO: dict[str, Callable[[], bytes]] = {
    "zeros between segments": lambda: before_tables(bytes(6)),
    "a segment without FF": lambda: before_tables(b"\0\xe1" + struct.pack(">H", 10) + b"x" * 8),
    "fill bytes between segments": lambda: before_tables(b"\xff" * 5000),
    "stray restart marker": lambda: before_tables(b"\xff\xd3"),
    "fill bytes before the end": lambda: photo()[:-2] + b"\xff" * 9 + EOI,
    "orientation in XMP": lambda: after_start(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    "no end marker": lambda: photo()[:-2],
    "half an end marker": lambda: photo()[:-1],
    "bytes behind the end": lambda: photo() + b"PK\x03\x04<html>",
    "a second picture behind it": lambda: photo() + photo(),
    "100 comments": lambda: after_start(segment(0xFE, b"x" * 60_000) * 100),
}
READ_AS_COLOUR_PHOTO: dict[str, Callable[[], bytes]] = {
    "a photo and its preview": lambda: _phone(whole=True),
    "a photo whose preview was cut off": lambda: _phone(whole=False),
}

# Ways to code the same picture.
KINDS: dict[str, dict[str, Any]] = {
    "grey": {},
    "4:2:0": {"colour": True},
    "4:4:4": {"colour": True, "subsampling": 0},
    "progressive": {"progressive": True},
    "progressive 4:2:0": {"colour": True, "progressive": True},
    "restart markers": {"restart_marker_blocks": 7},
    "restart markers 4:2:0": {"colour": True, "restart_marker_rows": 1},
    "progressive with restart markers": {"progressive": True, "restart_marker_rows": 1},
}


def of_kind(kind: str, seed: int = 0) -> bytes:
    """The drawn radiograph, coded so."""
    options = dict(KINDS[kind])
    picture = Image.fromarray(grey(seed))
    return encode(picture.convert("RGB") if options.pop("colour", False) else picture, quality=85, **options)


def without_end_of_scan(data: bytes, number: int, share: float) -> bytes:
    """The file without the last share of the entropy-coded data of one scan, everything else in its place."""
    scan = read_jpeg(data).scans[number]
    return data[: scan.end - max(8, int(share * (scan.end - scan.start)))] + data[scan.end :]


def without_middle(data: bytes, share: float) -> bytes:
    """The file without so much of its first scan, from a third on."""
    scan = read_jpeg(data).scans[0]
    start, length = scan.start + (scan.end - scan.start) // 3, int(share * (scan.end - scan.start))
    return data[:start] + data[start + length :]


def without_interval(data: bytes, number: int, share: float) -> bytes:
    """The file without the last share of one restart interval; with 1.0, without all of it, its marker included."""
    scan = read_jpeg(data).scans[0]
    pieces = _intervals(data[scan.start : scan.end])
    piece = pieces[number]
    pieces[number] = b"" if share == 1 else piece[:2] + piece[2 : len(piece) - int(share * (len(piece) - 2))]
    return data[: scan.start] + b"".join(pieces) + data[scan.end :]


def _intervals(coded: bytes) -> list[bytes]:
    """Entropy-coded data, split before each restart marker."""
    starts = [at for at in range(len(coded) - 1) if coded[at] == 0xFF and 0xD0 <= coded[at + 1] <= 0xD7]
    return [coded[a:b] for a, b in zip([0, *starts], [*starts, len(coded)], strict=True)]


def with_frame(change: Callable[[bytes], bytes], marker: int = 0xC0) -> bytes:
    """The photo with another frame segment, made of its content."""
    at = photo().index(b"\xff\xc0")
    end = at + 2 + struct.unpack_from(">H", photo(), at + 2)[0]
    return photo()[:at] + segment(marker, change(photo()[at + 4 : end])) + photo()[end:]


def jpeg_ls() -> bytes:
    """The head of a JPEG-LS file, as a PACS exports it, and some data."""
    frame = segment(0xF7, struct.pack(">BHHB", 8, HEIGHT, WIDTH, 1) + b"\1\x11\0")
    return b"\xff\xd8" + frame + segment(0xDA, b"\1\1\0\0\0\0") + b"\x12\x34" * 500 + EOI


def _height_behind() -> bytes:
    late = with_frame(lambda frame: frame[:1] + b"\0\0" + frame[3:])
    return late[:-2] + segment(0xDC, struct.pack(">H", HEIGHT)) + EOI


# Refused as a kind of JPEG that is not read.
UNSUPPORTED: dict[str, Callable[[], bytes]] = {
    "JPEG-LS": jpeg_ls,
    "two components": lambda: with_frame(lambda frame: frame[:5] + b"\2\1\x11\0\2\x11\0"),
    "five components": lambda: with_frame(lambda frame: frame[:5] + b"\5" + b"\1\x11\0" * 5),
    "CMYK": lambda: encode(Image.fromarray(grey()).convert("CMYK")),
    "height behind the scan": _height_behind,
    "12 bits": lambda: with_frame(lambda frame: b"\x0c" + frame[1:], 0xC1),
    "lossless": lambda: with_frame(bytes, 0xC3),
    "arithmetic": lambda: with_frame(bytes, 0xC9),
    "arithmetic and progressive": lambda: with_frame(bytes, 0xCA),
    "hierarchical": lambda: after_start(segment(0xDE, bytes(9))),
    "300 scans": lambda: many_scans(500, 300),
}


def many_scans(side: int, scans: int) -> bytes:
    """A progressive JPEG, all grey, whose last scan comes again and again: little data, much work."""
    blocks = (-(-side // 8)) ** 2
    bits, left = "", blocks
    while left:  # runs of blocks that have no more coefficients
        size = min(14, left.bit_length() - 1)
        run = min(left, (2 << size) - 1)
        bits += format(size, "04b") + (format(run - (1 << size), f"0{size}b") if size else "")
        left -= run
    bits += "1" * (-len(bits) % 8)
    coded = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    tables = segment(0xDB, b"\0" + bytes([16] * 64)) + segment(0xC4, b"\0\1" + bytes(15) + b"\0")
    tables += segment(0xC4, b"\x10\0\0\0\x0f" + bytes(12) + bytes(size << 4 for size in range(15)))
    frame = segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    first = segment(0xDA, b"\1\1\0\0\0\0") + bytes((blocks + 7) // 8)
    return b"\xff\xd8" + tables + frame + first + (segment(0xDA, b"\1\1\0\1\x3f\0") + coded) * scans + EOI


def flat(level: int = 128, **options: Any) -> bytes:
    """A picture that is all one grey: as libjpeg fills what is missing, if it is 128."""
    return encode(np.full((HEIGHT, WIDTH), level, np.uint8), quality=85, **options)


TURNED = segment(0xE1, b"Exif\0\0" + EXIF_TURNED)
