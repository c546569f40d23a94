"""Which objects are taken, by what they say of their image."""

from typing import Any

import pytest

from contract import errors
from contract.errors import ImageRefused
from dicom.picture import picture
from tests.dicom_objects import SECONDARY_CAPTURE, drawn


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
