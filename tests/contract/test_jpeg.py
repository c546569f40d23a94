"""JPEG files are read as everybody reads them, and refused if MCUs are missing."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract import errors
from contract.formats.jpeg_segments import MAX_SCANS, MAX_SEGMENTS, read_jpeg
from contract.image import decode, to_pixels
from tests.cases import jpeg
from tests.cases.jpeg import KINDS, of_kind
from tests.cases.png import grey
from tests.drawings import encode


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    return bool((one == other).all())


@pytest.mark.parametrize("case", jpeg.READ_AS_PHOTO)
def test_what_others_read_is_read(case: str) -> None:
    assert same(to_pixels(jpeg.READ_AS_PHOTO[case]()), to_pixels(jpeg.photo()))


@pytest.mark.parametrize("case", jpeg.READ_AS_COLOUR_PHOTO)
def test_of_several_pictures_the_first_is_read(case: str) -> None:
    assert same(to_pixels(jpeg.READ_AS_COLOUR_PHOTO[case]()), to_pixels(of_kind("4:2:0")))


@pytest.mark.parametrize("case", jpeg.UNSUPPORTED)
def test_a_coding_that_is_not_read_is_named_so(case: str) -> None:
    with pytest.raises(errors.UnsupportedJpeg):
        to_pixels(jpeg.UNSUPPORTED[case]())


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_without_an_end_marker_is_read(kind: str) -> None:
    assert same(to_pixels(of_kind(kind)[:-2]), to_pixels(of_kind(kind)))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.95])
@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_that_lacks_mcus_is_refused(kind: str, share: float) -> None:
    whole = of_kind(kind)
    for number in range(len(read_jpeg(whole).scans)):
        with pytest.raises(errors.TruncatedImage):
            to_pixels(jpeg.without_end_of_scan(whole, number, share))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "progressive" not in kind])
def test_a_scan_with_a_gap_is_refused(kind: str) -> None:
    with pytest.raises(errors.TruncatedImage):
        to_pixels(jpeg.without_middle(of_kind(kind), 0.1))


@pytest.mark.parametrize("share", [0.6, 1.0])
@pytest.mark.parametrize("number", [3, 10])
@pytest.mark.parametrize("kind", ["restart markers", "restart markers 4:2:0"])
def test_a_restart_interval_that_lacks_mcus_is_refused(kind: str, number: int, share: float) -> None:
    with pytest.raises(errors.TruncatedImage):
        to_pixels(jpeg.without_interval(of_kind(kind), number, share))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "restart" in kind])
def test_a_restart_marker_behind_the_last_interval_is_read_past(kind: str) -> None:
    whole = of_kind(kind)
    scan = read_jpeg(whole).scans[-1]
    marker = bytes([0xFF, 0xD0 + len(scan.restarts) % 8])
    assert same(to_pixels(whole[: scan.end] + marker + whole[scan.end :]), to_pixels(whole))
    with pytest.raises(errors.TruncatedImage):
        to_pixels(whole[: (scan.start + 3 * scan.end) // 4] + marker + whole[scan.end :])
    last = whole.rindex(b"\xff", scan.start, scan.end)
    with pytest.raises(errors.TruncatedImage):  # of the last interval a half is missing
        to_pixels(whole[: (last + scan.end) // 2] + marker + whole[scan.end :])


@pytest.mark.parametrize("kind", [{}, {"restart_marker_blocks": 3}, {"progressive": True}])
def test_a_picture_of_the_grey_that_stands_for_what_is_missing_is_read(kind: dict[str, Any]) -> None:
    assert set(to_pixels(jpeg.flat(128, **kind)).ravel()) == {128}


def test_a_progressive_picture_that_lacks_a_whole_scan_is_refused() -> None:
    whole = of_kind("progressive")
    scans = read_jpeg(whole).scans
    for before, scan in itertools.pairwise(scans):
        with pytest.raises(errors.TruncatedImage):
            to_pixels(whole[: before.end] + whole[scan.end :])


@pytest.mark.parametrize("width", [300, 900, 1700, 3300])
def test_what_is_missing_is_found_at_every_scale(width: int) -> None:
    drawn = np.tile(grey(), (width // 300, width // 300))
    whole = encode(drawn, quality=85, restart_marker_rows=1)
    to_pixels(whole)
    for damaged in (jpeg.without_end_of_scan(whole, 0, 0.05), jpeg.without_interval(whole, 5, 0.5)):
        with pytest.raises(errors.TruncatedImage):
            to_pixels(damaged)


def test_exif_orientation_is_read() -> None:
    data = jpeg.after_start(jpeg.TURNED)
    assert decode(data).turned
    assert not decode(jpeg.photo()).turned


@pytest.mark.parametrize("extra", [b"\xff\xfe\0\2", b"\xff\xd0", b"\xff\x01"], ids=["comments", "RST", "TEM"])
def test_a_jpeg_of_endless_markers_is_refused(extra: bytes) -> None:
    to_pixels(jpeg.before_tables(extra * 900))
    with pytest.raises(errors.TooMuchMetadata):
        to_pixels(jpeg.before_tables(extra * (MAX_SEGMENTS + 1)))


def test_a_jpeg_of_many_scans_is_refused_and_one_of_some_is_not() -> None:
    to_pixels(jpeg.many_scans(500, 50))
    with pytest.raises(errors.UnsupportedJpeg, match=str(MAX_SCANS)):
        to_pixels(jpeg.many_scans(500, MAX_SCANS + 1))


def test_two_frames_are_damage() -> None:
    at = jpeg.photo().index(b"\xff\xc0")
    frame = jpeg.photo()[at : at + 13]
    with pytest.raises(errors.TruncatedImage):
        to_pixels(jpeg.photo()[:at] + frame + jpeg.photo()[at:])
