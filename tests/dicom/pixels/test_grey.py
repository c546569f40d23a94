"""Grey levels follow the standard's formulas, and agree with those of dcmtk."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, Sequence

from contract.errors import ImageRefused
from contract.image import MAX_PIXELS
from tests.commands import run
from tests.dicom.reading import codes, grey
from tests.dicom_objects import drawn, objects_folder
from tests.drawings import chest
from tests.programs import needs


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
        *(
            (
                {
                    "RescaleSlope": 1,
                    "RescaleIntercept": first,
                    "VOILUTSequence": lookup(np.arange(4096, dtype=np.uint16), first & 0xFFFF, 12),
                },
                lambda x: x / 4095,
            )
            for first in (-2048, -40, 40000)  # below zero the descriptor's VR is SS, and stored as US all the same
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
