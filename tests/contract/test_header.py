"""What a file says of itself is read without decoding, and never read past the end."""

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors
from contract.header import JPEG_MAGIC, MAX_PNG_CHUNKS, PNG_MAGIC, Header, read_header
from tests.drawings import jpeg, png, png_chunk


def png_head(width: int = 300, height: int = 200) -> bytes:
    return PNG_MAGIC + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))


def with_sof(marker: int, bits: int = 8, components: int = 1) -> bytes:
    frame = struct.pack(">BBHBHHB", 0xFF, marker, 8 + 3 * components, bits, 200, 300, components)
    return JPEG_MAGIC + b"\xe0\x00\x04ab" + frame + b"\x01\x11\x00" * components


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + b"x" * 5000}])
def test_reads_the_size_of_a_jpeg(options: dict[str, Any]) -> None:
    assert read_header(jpeg(**options)) == Header("JPEG", 400, 320)


def test_reads_the_size_of_a_png() -> None:
    assert read_header(png()) == Header("PNG", 400, 320)


def test_fill_bytes_before_a_marker_are_skipped() -> None:
    data = with_sof(0xC0)
    at = data.index(b"\xff\xc0")
    assert read_header(data[:at] + b"\xff\xff\xff" + data[at:]) == Header("JPEG", 300, 200)


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC9, 0xCA, 0xCB, 0xCF])
def test_a_jpeg_coding_that_is_not_read_is_named_as_such(marker: int) -> None:
    with pytest.raises(errors.UnsupportedJpeg, match="arithmetic"):
        read_header(with_sof(marker))


@pytest.mark.parametrize(("bits", "components", "words"), [(12, 1, "12 bits"), (8, 4, "CMYK")])
def test_a_jpeg_of_other_samples_is_refused(bits: int, components: int, words: str) -> None:
    with pytest.raises(errors.UnsupportedJpeg, match=words):
        read_header(with_sof(0xC1, bits, components))


def test_an_animated_png_is_refused() -> None:
    with pytest.raises(errors.AnimatedImage):
        read_header(png_head() + png_chunk(b"acTL", b"\0" * 8))


def test_a_png_of_endless_metadata_is_refused() -> None:
    with pytest.raises(errors.TooMuchMetadata):
        read_header(png_head() + png_chunk(b"tEXt", b"a\0b") * MAX_PNG_CHUNKS)


def test_pixel_data_in_many_chunks_is_no_metadata() -> None:
    assert read_header(png_head() + png_chunk(b"IDAT", b"x") * (2 * MAX_PNG_CHUNKS)).format == "PNG"


def test_no_bytes_are_an_empty_image() -> None:
    with pytest.raises(errors.EmptyImage):
        read_header(b"")


@pytest.mark.parametrize("data", [b"GIF89a....", b"BM....", b"%PDF-1.7", b"PK\x03\x04", b"hello", b"\0"])
def test_other_formats_are_refused_by_their_first_bytes(data: bytes) -> None:
    with pytest.raises(errors.UnsupportedFormat):
        read_header(data)


@pytest.mark.parametrize("data", [b"\2\0\0\0UL\4\0", b"\10\0\5\0CS\12\0", b"\10\0\10\0CS\20\0"])
def test_a_dicom_file_without_its_preamble_is_named_as_such(data: bytes) -> None:
    with pytest.raises(errors.UnsupportedFormat, match=r"a DICOM \(without its preamble\) file is not read"):
        read_header(data)


@pytest.mark.parametrize("whole", [jpeg(), png()], ids=["jpeg", "png"])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 12, 20])
def test_a_header_cut_short_is_truncated(whole: bytes, length: int) -> None:
    with pytest.raises(errors.TruncatedImage):
        read_header(whole[:length])


@given(st.sampled_from([JPEG_MAGIC, PNG_MAGIC, png_head(), jpeg()[:200]]), st.binary(max_size=300))
def test_any_bytes_give_a_header_or_a_refusal(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(errors.ImageRefused):
        assert read_header(start + rest).format in {"JPEG", "PNG"}
