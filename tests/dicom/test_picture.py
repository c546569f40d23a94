"""Objects to pictures: the rules of the grey values, each transfer syntax, and what is taken."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, Sequence
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import RLELossless

from contract import errors
from contract.cost import Cost, TooExpensive
from contract.errors import ImageRefused
from contract.image import MAX_PIXELS
from contract.image import decode as decode_image
from dicom.context import Context
from dicom.picture import decode, picture
from tests.commands import run
from tests.dicom_objects import SECONDARY_CAPTURE, compressed, drawn, grey16, objects_folder
from tests.drawings import chest, encode
from tests.programs import needs

CHILD = Context(((1, 6),))
_PREFIX = "1.2.840.10008.1.2"
_LOSSLESS, _J2K, _LS, _EXTENDED, _BASELINE = (f"{_PREFIX}.4.{number}" for number in (70, 90, 80, 51, 50))


def grey(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(picture(data, 10_000))


def codes(data: bytes) -> list[str]:
    return [note.code for note in decode(data, CHILD).notes]


def lookup(entries: NDArray[np.uint16], first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) & 0xFFFF, first, bits])
    item.add_new("LUTData", "OW", entries.tobytes())
    return Sequence([item])


_WIDE = np.linspace(0, 4095, 400 * 320).round().astype(np.uint16).reshape(320, 400)


@pytest.mark.parametrize(
    ("attributes", "levels"),
    [
        ({}, lambda x: (x - 2047.5) / 4095 + 0.5),
        ({"WindowCenter": [1000, 5], "WindowWidth": [500, 5]}, lambda x: (x - 999.5) / 499 + 0.5),
        ({"VOILUTFunction": "LINEAR_EXACT"}, lambda x: x / 4096),
        ({"VOILUTFunction": "SIGMOID", "WindowWidth": 1000}, lambda x: 1 / (1 + np.exp(-4 * (x - 2048) / 1000))),
        (
            {"RescaleSlope": -10, "RescaleIntercept": 50000, "WindowCenter": 29525, "WindowWidth": 40951},
            lambda x: 1 - x / 4095,
        ),
        ({"WindowWidth": 0}, lambda x: x / 4095),
        ({"WindowCenter": None}, lambda x: x / 4095),
        ({"VOILUTFunction": "CURVED"}, lambda x: x / 4095),
        ({"WindowWidth": 0.5}, lambda x: x / 4095),
        (
            {"VOILUTSequence": lookup(np.arange(4096, dtype=np.uint16)[::-1] * 16, 0, 16)},
            lambda x: (4095 - x) * 16 / 65535,
        ),
        (
            {"ModalityLUTSequence": lookup(np.arange(4096, dtype=np.uint16) // 2, 0, 16)},
            lambda x: (x // 2 - 2047.5) / 4095 + 0.5,
        ),
        (
            {"VOILUTSequence": lookup(np.arange(100, dtype=np.uint16), 1000, 8)},
            lambda x: np.clip(x - 1000, 0, 99) / 255,
        ),
        ({"PresentationLUTShape": "INVERSE"}, lambda x: (x - 2047.5) / 4095 + 0.5),
        ({"PhotometricInterpretation": "MONOCHROME1"}, lambda x: 0.5 - (x - 2047.5) / 4095),
    ],
)
def test_grey_levels_follow_the_standard_s_formulas(attributes: dict[str, Any], levels: Any) -> None:
    expected = np.clip(levels(_WIDE.astype(float)), 0, 1) * 255
    assert np.abs(grey(drawn(_WIDE, **attributes)) - expected).max() <= 1


@pytest.mark.parametrize("vr", [b"UA", b"SQ", b"AT", b"DS"])
@pytest.mark.parametrize("element", [b"\x02\x30US", b"\x06\x30OW"], ids=["LUTDescriptor", "LUTData"])
def test_a_lookup_table_whose_representation_is_damaged_is_read_or_refused(element: bytes, vr: bytes) -> None:
    data = drawn(_WIDE, ModalityLUTSequence=lookup(np.arange(4096, dtype=np.uint16) // 2, 0, 16))
    damaged = data.replace(b"\x28\x00" + element, b"\x28\x00" + element[:2] + vr)
    assert damaged != data
    with suppress(ImageRefused):
        assert grey(damaged).shape == _WIDE.shape


def test_what_lies_beside_the_stored_bits_is_ignored() -> None:
    plain = grey(drawn(_WIDE))
    assert np.array_equal(grey(drawn((_WIDE << 4) | 7, HighBit=15)), plain)
    assert np.array_equal(grey(drawn(_WIDE | 0xA000)), plain)
    signed = ((_WIDE.astype(np.int32) - 2048) & 0xFFF).astype(np.uint16)
    assert np.array_equal(grey(drawn(signed, PixelRepresentation=1, WindowCenter=0)), plain)


@pytest.mark.parametrize("shape", ["INVERSE", None])
def test_monochrome1_and_its_twin_are_the_same_picture(shape: str | None) -> None:
    turned = drawn(4095 - _WIDE, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape=shape)
    assert np.abs(grey(turned).astype(int) - grey(drawn(_WIDE))).max() <= 1
    assert codes(turned) == []


def test_padding_is_black_and_not_part_of_a_stretch() -> None:
    pixels = _WIDE // 4 + 1000
    pixels[:40] = 4000
    padded = drawn(
        pixels,
        WindowWidth=None,
        PixelPaddingValue=3990,
        PixelPaddingRangeLimit=4005,
        PhotometricInterpretation="MONOCHROME1",
    )
    seen = grey(padded)
    assert seen[:40].max() == 0
    assert seen[40:].max() == 255
    assert codes(padded) == ["no_window"]


def test_eight_bits_without_a_window_are_as_they_are() -> None:
    assert np.array_equal(grey(drawn(chest())), chest())
    assert codes(drawn(chest())) == []


def test_colour_becomes_luma_with_a_warning() -> None:
    colour = np.asarray(Image.fromarray(chest()).convert("RGB"))
    data = drawn(colour)
    assert np.abs(grey(data).astype(int) - chest()).max() <= 1
    assert codes(data) == ["colour_image"]
    planar = drawn(np.ascontiguousarray(np.moveaxis(colour, -1, 0)), PlanarConfiguration=1, Rows=320, Columns=400)
    assert np.array_equal(grey(planar), grey(data))


def rle(pixels: NDArray[Any]) -> bytes:
    frame: bytes = get_encoder(RLELossless).encode(
        pixels,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        bits_allocated=16,
        bits_stored=12,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
    )
    return frame


_CODED: dict[str, Callable[[Any], Any]] = {
    f"{_PREFIX}.5": rle,
    _LOSSLESS: lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12),
    f"{_PREFIX}.4.57": lambda pixels: imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=4, bitspersample=12),
    _LS: imagecodecs.jpegls_encode,
    _J2K: lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", bitspersample=12),
}


@pytest.mark.parametrize("syntax", _CODED)
def test_every_lossless_syntax_gives_the_same_picture(syntax: str) -> None:
    pixels = grey16()
    assert np.array_equal(grey(compressed(_CODED[syntax](pixels), pixels, syntax)), grey(drawn(pixels)))


@pytest.mark.parametrize(("syntax", "deflated"), [(_PREFIX, False), (f"{_PREFIX}.1.99", True)])
def test_implicit_and_deflated_give_the_same_picture(syntax: str, deflated: bool) -> None:
    assert np.array_equal(grey(drawn(syntax=syntax)), grey(drawn()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_and_its_object_are_seen_alike(kind: str) -> None:
    pixels = chest()
    sent = encode(pixels, kind)
    coded = compressed(sent, pixels, _BASELINE) if kind == "JPEG" else drawn(pixels)
    for contract in (1, 2):
        assert np.array_equal(
            decode_image(sent, contract=contract).pixels, decode(coded, CHILD, contract=contract).pixels
        )


def test_twelve_bit_jpeg_is_read() -> None:
    pixels = grey16()
    coded = imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12)
    assert np.abs(grey(compressed(coded, pixels, _EXTENDED)).astype(int) - grey(drawn(pixels))).mean() < 1


@pytest.mark.parametrize("syntax", [_LOSSLESS, _EXTENDED, _LS, _J2K, f"{_PREFIX}.5"])
def test_a_codestream_that_lacks_its_end_is_refused_even_with_an_end_marker(syntax: str) -> None:
    pixels = grey16()
    coded = imagecodecs.jpeg8_encode(pixels, bitspersample=12) if syntax == _EXTENDED else _CODED[syntax](pixels)
    for end in (b"", b"\xff\xd9"):
        with pytest.raises(errors.TruncatedImage):
            picture(compressed(coded[: len(coded) // 2] + end, pixels, syntax), 10_000)


@pytest.mark.parametrize("syntax", [_LOSSLESS, _LS, _J2K])
def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(syntax: str) -> None:
    coded = _CODED[syntax](grey16())
    with pytest.raises(errors.UnusableObject, match="another size"):
        picture(compressed(coded, grey16(), syntax, Rows=321), 10_000)


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        ({"Modality": "CT"}, errors.UnsupportedModality),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, errors.UnsupportedModality),
        ({"SOPClassUID": SECONDARY_CAPTURE, "Modality": "OT"}, errors.UnsupportedModality),
        ({"SOPClassUID": SECONDARY_CAPTURE, "Modality": None}, errors.UnsupportedModality),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1", "Modality": "DX"}, errors.ForProcessing),
        ({"PresentationIntentType": "FOR PROCESSING"}, errors.ForProcessing),
        ({"NumberOfFrames": 2}, errors.MultiFrame),
        ({"Rows": None}, errors.UnusableObject),
        ({"Rows": 319}, None),
        ({"Rows": 200}, errors.UnusableObject),
        ({"Rows": 321}, errors.UnusableObject),
        ({"Rows": 10}, errors.ImageTooSmall),
        ({"Rows": 60}, errors.AspectRatio),
        ({"Rows": 65535, "Columns": 65535}, errors.TooManyPixels),
        ({"BitsStored": 17}, errors.UnusableObject),
        ({"BitsAllocated": 32}, errors.UnusableObject),
        ({"HighBit": 3}, errors.UnusableObject),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, errors.UnusableObject),
        ({"SOPClassUID": SECONDARY_CAPTURE, "Modality": "DX"}, None),
        ({"Modality": None}, None),
        ({"NumberOfFrames": 1}, None),
    ],
)
def test_what_is_taken_and_what_is_refused(attributes: dict[str, Any], refusal: type[ImageRefused] | None) -> None:
    if refusal is None:
        picture(drawn(**attributes), 100)
        return
    with pytest.raises(refusal):
        picture(drawn(**attributes), 100)


def test_an_unknown_transfer_syntax_is_named() -> None:
    with pytest.raises(errors.UnsupportedTransferSyntax, match=r"1\.2\.840\.10008\.1\.2\.4\.100"):
        picture(compressed(b"\0\0", grey16(), "1.2.840.10008.1.2.4.100"), 100)


@pytest.mark.parametrize(
    ("attributes", "code", "refusal"),
    [
        ({"ViewPosition": "LL"}, "lateral_view", errors.UnsupportedView),
        ({"BodyPartExamined": "HAND"}, "other_body_part", errors.UnsupportedBodyPart),
        ({"PatientAge": "061Y"}, "age_outside_model", errors.UnsupportedAge),
        ({"PatientAge": "002M"}, "age_outside_model", errors.UnsupportedAge),
    ],
)
def test_what_the_object_says_of_its_patient_and_view_is_warned_of_or_refused(
    attributes: dict[str, Any], code: str, refusal: type[ImageRefused]
) -> None:
    assert codes(drawn(**attributes)) == [code]
    with pytest.raises(refusal):
        decode(drawn(**attributes), Context(((1, 6),), refuse=True))


@pytest.mark.parametrize(
    "attributes",
    [
        {"ViewPosition": None, "BodyPartExamined": None, "PatientAge": None, "PatientOrientation": None},
        {"ViewPosition": "PA", "BodyPartExamined": "THORAX", "PatientAge": "005Y"},
        {"ViewPosition": "LLD"},
        {"PatientAge": "018M"},
    ],
)
def test_of_what_is_missing_or_fits_nothing_is_said(attributes: dict[str, Any]) -> None:
    assert codes(drawn(**attributes)) == []


def test_the_age_is_in_years() -> None:
    assert [decode(drawn(PatientAge=age), CHILD).age for age in ("061Y", "018M", None)] == [61, 1.5, None]


def test_orientation_is_warned_of_and_the_picture_is_as_stored() -> None:
    turned = drawn(PatientOrientation=["R", "F"])
    assert codes(turned) == ["unusual_orientation"]
    assert np.array_equal(grey(turned), grey(drawn()))


def test_cost_is_known_before_decoding() -> None:
    with pytest.raises(TooExpensive):
        decode(compressed(_CODED[_J2K](grey16()), grey16(), _J2K), CHILD, limit=Cost(2**20, 1))


@pytest.mark.parametrize(
    "name", [f"{kind}{number:02}" for kind, last in (("a", 20), ("b", 12)) for number in range(1, last + 1)]
)
@needs("dcmj2pnm", package="dcmtk")
def test_grey_levels_are_those_of_dcmtk(name: str, tmp_path: Path) -> None:
    if name in ("a04", "a11"):
        pytest.skip("dcmtk lets Presentation LUT Shape decide (a04), and paints padding white (a11)")
    (path,) = objects_folder().glob(f"{name}_*.dcm")
    window = ["+Wl", "1"] if name == "a06" else ["--min-max-window"] if name in ("a09", "a15") else ["+Wi", "1"]
    if name in ("a01", "a16", "a17", "a18", "a20", "b12"):
        window = []
    written = tmp_path / "seen.pgm"
    ended = run(["dcmj2pnm", "--write-raw-pnm", *window, path, written])
    if not written.exists():
        pytest.skip(f"this dcmtk does not read it: {ended.stderr.strip()[:100]}")
    theirs = np.asarray(Image.open(written).convert("L"))
    assert np.abs(grey(path.read_bytes()).astype(int) - theirs).max() <= 1
    assert theirs.size < MAX_PIXELS
