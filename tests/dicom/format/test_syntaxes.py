"""Every transfer syntax gives the same picture; one that is not read is named."""

import struct

import numpy as np
import pytest

from contract import errors
from dicom.picture import picture
from tests.dicom.reading import CODED, PREFIX, grey
from tests.dicom_objects import UNDEFINED, compressed, drawn, element, grey16


@pytest.mark.parametrize("syntax", CODED)
def test_every_lossless_syntax_gives_the_same_picture(syntax: str) -> None:
    pixels = grey16()
    assert np.array_equal(grey(compressed(CODED[syntax](pixels), pixels, syntax)), grey(drawn(pixels)))


@pytest.mark.parametrize(("syntax", "deflated"), [(PREFIX, False), (f"{PREFIX}.1.99", True)])
def test_implicit_and_deflated_give_the_same_picture(syntax: str, deflated: bool) -> None:
    assert np.array_equal(grey(drawn(syntax=syntax)), grey(drawn()))


def test_an_unknown_transfer_syntax_is_named() -> None:
    with pytest.raises(errors.UnsupportedTransferSyntax, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        picture(compressed(b"\0\0", grey16(), "1.2.840.10008.1.2.4.100"), 100)


def test_an_object_that_names_no_transfer_syntax_is_told_so() -> None:
    data = drawn()
    start = data.index(b"\x08\x00\x16\x00UI")
    with pytest.raises(errors.UnsupportedTransferSyntax, match="does not say"):
        picture(data[:132] + data[start:], 100)


@pytest.mark.parametrize("vr", ["SQ", "UN"])
def test_a_compressed_picture_in_a_sequence_is_read_past(vr: str) -> None:
    fragments = struct.pack(
        "<HHLHHL4sHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, 4, b"\xff\xd8\xff\xd9", 0xFFFE, 0xE0DD, 0
    )
    pixels = struct.pack("<HH", 0x7FE0, 0x0010) + (b"OB\0\0" if vr == "SQ" else b"") + b"\xff" * 4 + fragments
    ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    icon = element(0x00080001, vr, struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + pixels + ends, UNDEFINED)
    data = drawn()
    start = data.index(b"\x08\x00\x16\x00UI")
    assert np.array_equal(grey(data[:start] + icon + data[start:]), grey(data))
