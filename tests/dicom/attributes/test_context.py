"""What an object says of its patient and view is warned of, or refused by setting."""

from typing import Any

import numpy as np
import pytest

from contract import errors
from contract.errors import ImageRefused
from dicom.attributes.context import Context
from dicom.picture import decode
from tests.dicom.reading import CHILD, codes, grey
from tests.dicom_objects import drawn


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
    assert decode(drawn(PatientAge="999Y"), CHILD).age is None


def test_orientation_is_warned_of_and_the_picture_is_as_stored() -> None:
    turned = drawn(PatientOrientation=["R", "F"])
    assert codes(turned) == ["unusual_orientation"]
    assert np.array_equal(grey(turned), grey(drawn()))
