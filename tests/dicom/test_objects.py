"""The objects of the data folder: each gets the answer that its README states."""

import numpy as np
import onnxruntime
import pytest

from contract.errors import ImageRefused
from dicom.attributes.context import Context
from dicom.picture import decode
from service.problems import kind_of
from tests import MODELS
from tests.dicom_objects import expected, objects_folder

_OBJECTS = expected()
# That the README's probabilities are of, and its image contract.
_MODEL, _CONTRACT = MODELS / "2", 1
_WARNED = {
    "a04_cr_mono1_identity_contradicts.dcm": ["presentation_shape_contradicts"],
    "a09_cr_12bit_no_window.dcm": ["no_window"],
    "a15_cr_window_width_0.dcm": ["no_window"],
    "a19_dx_adult.dcm": ["age_outside_model"],
    "a20_cr_orientation.dcm": ["unusual_orientation"],
    "r03_lateral.dcm": ["lateral_view"],
    "r05_hand.dcm": ["other_body_part", "no_window"],
}


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(_MODEL / "model.onnx", providers=["CPUExecutionProvider"])


def read(name: str, *, refuse: bool = False) -> list[str] | ImageRefused:
    data = (objects_folder() / name).read_bytes()
    try:
        return [note.code for note in decode(data, Context(((1, 6),), refuse=refuse), contract=_CONTRACT).notes]
    except ImageRefused as error:
        return error


def test_there_are_objects() -> None:
    objects_folder()
    assert len(_OBJECTS) > 40


@pytest.mark.parametrize("name", [name for name, stated in _OBJECTS.items() if "probability" in stated])
def test_the_probability_is_the_one_stated(name: str, session: onnxruntime.InferenceSession) -> None:
    decoded = decode((objects_folder() / name).read_bytes(), Context(((1, 6),)), contract=_CONTRACT)
    (probability,) = session.run(["probability"], {"image": decoded.pixels[np.newaxis]})
    assert abs(float(probability[0]) - _OBJECTS[name]["probability"]) <= 1e-3


@pytest.mark.parametrize(
    "name", [name for name, stated in _OBJECTS.items() if stated["expect"][:3] not in ("415", "422")]
)
def test_it_is_read_with_the_warnings_stated(name: str) -> None:
    assert read(name) == _WARNED.get(name, [])


@pytest.mark.parametrize("name", [name for name, stated in _OBJECTS.items() if stated["expect"][:3] in ("415", "422")])
def test_it_is_refused_as_stated(name: str) -> None:
    refused = read(name)
    assert isinstance(refused, ImageRefused)
    status, *slug = _OBJECTS[name]["expect"].replace(",", "").split()[:2]
    kind = kind_of(refused)
    assert str(kind.status) == status
    if slug and "-" in slug[0]:
        assert kind.slug == slug[0]


@pytest.mark.parametrize(("name", "slug"), [("r03_lateral", "unsupported-view"), ("r05_hand", "unsupported-body-part")])
def test_by_setting_it_is_refused(name: str, slug: str) -> None:
    refused = read(f"{name}.dcm", refuse=True)
    assert isinstance(refused, ImageRefused)
    assert kind_of(refused).slug == slug
