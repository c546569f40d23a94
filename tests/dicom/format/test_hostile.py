"""Damaged and hostile objects: an answer or a refusal, in bounded time and memory, whatever the bytes."""

import struct
import tracemalloc
import zlib
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from contract import errors
from contract.cost import Cost, TooExpensive
from contract.errors import ImageRefused
from contract.image import SIDE
from dicom.attributes.context import Context
from dicom.picture import decode
from dicom.results.capture import capture_of
from dicom.results.report import report_of
from dicom.results.result import Result
from tests.dicom.reading import CODED, PREFIX
from tests.dicom_objects import UNDEFINED, compressed, drawn, element, expected, grey16, objects_folder

ANY = Context(())
_SEQUENCE, _ITEM = 0x00081140, struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
RESULT = Result("NORMAL", 0.1, 0.5, "balanced", "m", "1", "00" * 32, "0.1.0")


@cache
def samples() -> list[bytes]:
    """Small drawn objects in each transfer syntax, and what the data folder has, where it is."""
    pixels = grey16()[::4, ::4].copy()
    found = [drawn(pixels, syntax) for syntax in (f"{PREFIX}.1", PREFIX, f"{PREFIX}.1.99")]
    found += [compressed(code(pixels), pixels, syntax) for syntax, code in CODED.items()]
    found.append(compressed(imagecodecs.jpeg8_encode(pixels, bitspersample=12), pixels, f"{PREFIX}.4.51"))
    eight = (pixels >> 4).astype(np.uint8)
    found.append(compressed(imagecodecs.jpeg8_encode(eight), eight, f"{PREFIX}.4.50"))
    return found + [(objects_folder() / name).read_bytes() for name in expected()]


def outcome(data: bytes) -> str:
    """The name of the refusal, or "read" with pixels of the right kind. Anything else fails the test."""
    try:
        decoded = decode(data, ANY, max_pixels=2_000_000, limit=Cost(2**26, 10))
    except (ImageRefused, TooExpensive) as error:
        return type(error).__name__
    assert decoded.pixels.shape == (SIDE, SIDE, 1)
    assert decoded.pixels.dtype == np.uint8
    # What can be read has its results.
    report_of(data, RESULT)
    capture_of(data, np.zeros((8, 8, 3), np.uint8), RESULT)
    return "read"


def nested(depth: int, *, defined: bool = False) -> bytes:
    """An object with sequences in sequences."""
    inner = b""
    if defined:
        for _ in range(depth):
            item = struct.pack("<HHL", 0xFFFE, 0xE000, len(inner)) + inner
            inner = element(_SEQUENCE, "SQ", item)
    else:
        end = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        inner = (element(_SEQUENCE, "SQ", b"", UNDEFINED) + _ITEM) * depth + end * depth
    return behind_the_meta(inner)


def behind_the_meta(inserted: bytes) -> bytes:
    data = drawn()
    at = data.index(b"\x08\x00\x16\x00UI")
    return data[:at] + inserted + data[at:]


@pytest.mark.parametrize("defined", [False, True])
def test_deep_nesting_is_refused_without_recursion(defined: bool) -> None:
    assert outcome(nested(5, defined=defined)) == "read"
    assert outcome(nested(3000, defined=defined)) == "TooMuchMetadata"


def test_a_million_elements_are_refused() -> None:
    assert outcome(behind_the_meta(b"\x08\x00\x08\x00CS\x00\x00" * 1_000_000)) == "TooMuchMetadata"


@pytest.mark.parametrize("where", ["header", "pixels", "nothing"])
def test_a_deflate_bomb_is_refused_in_bounded_memory(where: str) -> None:
    plain = drawn(syntax=f"{PREFIX}.1.99")
    (length,) = struct.unpack_from("<L", plain, 140)  # of the meta group, behind this element
    at = 144 + int(length)
    inner = zlib.decompress(plain[at:], -15)
    bombs = {
        "header": element(0x00080001, "OB", bytes(200_000_000)) + inner,
        "pixels": inner[: inner.index(b"\xe0\x7f\x10\x00OW")] + element(0x7FE00010, "OW", bytes(200_000_000)),
        "nothing": bytes(200_000_000),
    }
    packer = zlib.compressobj(9, wbits=-15)
    packed = plain[:at] + packer.compress(bombs[where]) + packer.flush()
    assert len(packed) < 400_000
    tracemalloc.start()
    try:
        assert outcome(packed) in {"UnusableObject", "TooMuchMetadata", "TruncatedImage"}
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


def test_rle_that_unpacks_to_more_than_the_picture_is_refused() -> None:
    pixels = grey16()
    segment = b"\x81\x00" * 1_000_000  # 128 bytes each
    header = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13)
    tracemalloc.start()
    try:
        assert outcome(compressed(header + segment * 2, pixels, f"{PREFIX}.5")) in {"TruncatedImage", "read"}
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_jpeg_2000_of_very_many_tiles_is_refused() -> None:
    coded = bytearray(CODED[f"{PREFIX}.4.90"](grey16()))
    coded[24:32] = struct.pack(">LL", 1, 1)
    assert outcome(compressed(coded, grey16(), f"{PREFIX}.4.90")) == "TooMuchMetadata"


@pytest.mark.parametrize("before", [b"\xff\x52", b"\xff\x93"], ids=["in the main header", "in that of a tile"])
def test_a_jpeg_2000_of_very_many_parts_is_refused(before: bytes) -> None:
    pixels = np.zeros((1200, 1200), np.uint16)
    coded = CODED[f"{PREFIX}.4.90"](pixels)
    assert outcome(compressed(coded, pixels, f"{PREFIX}.4.90")) == "read"
    old = coded.index(b"\xff\x52") + 4  # a style: Scod, order, layers, transformation, levels ...
    style = bytes([coded[old] | 1]) + coded[old + 1 : old + 10] + b"\x11" * (coded[old + 5] + 1)
    at = coded.index(before)
    divided = coded[:at] + b"\xff\x52" + struct.pack(">H", len(style) + 2) + style + coded[at:]
    assert outcome(compressed(divided, pixels, f"{PREFIX}.4.90")) == "TooMuchMetadata"
    hidden = divided[:at] + b"\xff\x30" + divided[at:]  # decoders look for the next marker behind it
    assert outcome(compressed(hidden, pixels, f"{PREFIX}.4.90")) == "TruncatedImage"


@pytest.mark.parametrize(("depth", "syntax"), [(8, f"{PREFIX}.4.70"), (8, f"{PREFIX}.4.50"), (12, f"{PREFIX}.4.51")])
def test_a_jpeg_of_very_many_scans_is_refused(depth: int, syntax: str) -> None:
    pixels = grey16() if depth == 12 else (grey16() >> 4).astype(np.uint8)
    coded = imagecodecs.jpeg8_encode(pixels, bitspersample=depth)
    scan = coded[coded.index(b"\xff\xda") : -2]
    assert outcome(compressed(coded, pixels, syntax)) == "read"
    assert outcome(compressed(coded[:-2] + scan * 100 + coded[-2:], pixels, syntax)) == "UnsupportedJpeg"


def test_a_picture_of_very_many_fragments_is_refused() -> None:
    coded = compressed(CODED[f"{PREFIX}.4.80"](grey16()), grey16(), f"{PREFIX}.4.80")
    empty = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    assert outcome(coded[:-8] + empty * 1000 + coded[-8:]) == "read"
    assert outcome(coded[:-8] + empty * 1_000_000 + coded[-8:]) == "TooMuchMetadata"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.999])
def test_an_object_that_is_cut_is_refused(share: float) -> None:
    for data in samples()[:3]:
        assert outcome(data[: 132 + int(share * (len(data) - 132))]) not in {"read", "UnsupportedFormat"}


@settings(max_examples=150)
@given(st.data())
def test_changed_bytes_are_read_or_refused(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from(samples())))
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(132, len(changed) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(changed))


@settings(max_examples=100)
@given(st.data())
def test_changed_codestreams_are_read_or_refused(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([each for each in samples() if b"\xfe\xff\x00\xe0" in each]))
    changed, start = bytearray(whole), whole.rindex(b"\xfe\xff\x00\xe0") + 8
    for _ in range(data.draw(st.integers(1, 8))):
        changed[data.draw(st.integers(start, min(len(changed) - 1, start + 700)))] = data.draw(st.integers(0, 255))
    outcome(bytes(changed))


_VALUE = st.one_of(st.integers(0, 0xFFFF), st.just(None))


@settings(max_examples=100)
@given(
    changes=st.dictionaries(
        st.sampled_from(
            ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"]
        ),
        _VALUE,
    ),
    window=st.sampled_from([None, 0, 1, -5, 1e300, 1e-300, 2048]),
    slope=st.sampled_from([None, 0, -1, 1e300, 1e-300]),
)
@example(changes={"BitsStored": 1, "HighBit": 0}, window=None, slope=None)
@example(changes={}, window=1e300, slope=1e300)
def test_any_attributes_are_read_or_refused(
    changes: dict[str, int | None], window: float | None, slope: float | None
) -> None:
    stretched = {"WindowWidth": window, "WindowCenter": window, "RescaleSlope": slope, "RescaleIntercept": slope}
    padding = None if changes.get("PixelRepresentation", 0) is None else 3  # pydicom writes no other
    attributes: dict[str, Any] = {"PixelPaddingValue": padding, **changes, **stretched}
    outcome(drawn(**attributes))


def test_bytes_of_another_kind_are_no_object() -> None:
    assert outcome(b"") == outcome(bytes(4000)) == outcome(drawn()[132:]) == "UnsupportedFormat"
    assert issubclass(errors.UnsupportedFormat, ImageRefused)
