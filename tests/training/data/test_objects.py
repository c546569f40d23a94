"""DICOM objects as radiographs to train on: header and table, what is left out, and real ones."""

import sys
from pathlib import Path

import numpy as np
import pytest

from contract.image import to_pixels
from dicom.attributes.subject import subject_of
from dicom.format.quiet import silence
from tests.dicom_objects import drawn, expected, grey16, objects_folder
from tests.drawings import png
from training.data.dataset import load_dataset, read_images
from training.data.sources import find_all
from training.errors import DataError


@pytest.fixture(autouse=True)
def _ages_that_break_their_vr() -> None:
    """Let pydicom write them."""
    silence()


def write(folder: Path, **objects: bytes) -> Path:
    """Objects by name, without a suffix: those that begin with "sick" into PNEUMONIA/, the others into NORMAL/."""
    for name, data in objects.items():
        path = folder / ("PNEUMONIA" if name.startswith("sick") else "NORMAL") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_the_header_tells_patient_age_sex_and_view(tmp_path: Path) -> None:
    write(
        tmp_path,
        sick=drawn(grey16(1), PatientID="A", PatientAge="045Y", PatientSex="F", ViewPosition="PA"),
        sick_again=drawn(grey16(2), PatientID="A", PatientAge="51", PatientSex="O", ViewPosition=None),
        well=drawn(grey16(3), PatientID="B", IssuerOfPatientID="X", PatientAge="018M"),
        well_unknown=drawn(grey16(4), PatientID=None, PatientAge=None),
    )
    found = {row.path.name: row for row in find_all(tmp_path)}
    assert [(row.age, row.sex, row.view) for row in found.values()] == [
        (1.5, "", "AP"),
        (None, "", "AP"),
        (45, "F", "PA"),
        (51, "O", ""),
    ]
    assert found["sick"].patient == found["sick_again"].patient != found["well"].patient
    assert found["well_unknown"].patient == "well_unknown"
    assert len(found["sick"].patient) == 16, "a digest, and not the Patient ID"


def test_the_same_patient_id_of_two_issuers_is_two_patients() -> None:
    one, other = (subject_of(drawn(PatientID="1", IssuerOfPatientID=issuer)) for issuer in ("North", "South"))
    assert one.patient != other.patient


def test_a_table_has_precedence_over_the_header(tmp_path: Path) -> None:
    for name in ("1.2.3", "1.2.4"):
        (tmp_path / name).write_bytes(drawn(PatientID="A", PatientAge="045Y", PatientSex="F"))
    (tmp_path / "manifest.csv").write_text("file,label,patient,age\n1.2.3,PNEUMONIA,P7,30\n1.2.4,0,,\n")
    (tmp_path / "sources.json").write_text(
        '{"populations": {"adult": {"description": "adults", "from_age": 18, "below_age": null}},'
        ' "sources": [{"name": "ward", "folder": ".", "population": "adult"}]}'
    )
    sick, well = find_all(tmp_path / "sources.json")
    assert (sick.label, sick.patient, sick.age, sick.sex) == (1, "adult/P7", 30, "F")
    assert (well.label, well.age) == (0, 45)
    assert well.patient != sick.patient


def test_the_objects_of_the_rsna_s_download_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "stage_2_train_images" / f"{name}.dcm").write_bytes(drawn(PatientAge="51"))
    (tmp_path / "stage_2_detailed_class_info.csv").write_text("patientId,class\na,Lung Opacity\nb,Normal\n")
    assert [(row.label, row.patient, row.age) for row in find_all(tmp_path)] == [(1, "a", 51), (0, "b", 51)]


def test_objects_and_pictures_are_one_data_set(tmp_path: Path) -> None:
    write(
        tmp_path / "data",
        sick=drawn(grey16(1)),
        sick_picture=png(),
        well=drawn(grey16(2)),
        well_lateral=drawn(ViewPosition="LL"),
        well_hand=drawn(BodyPartExamined="HAND"),
        well_broken=drawn()[:-1000],
    )
    data = load_dataset(tmp_path / "data", tmp_path / "cache")
    assert [row.path.name for row in data.radiographs] == ["well", "sick", "sick_picture"]
    assert {Path(skipped.name).name: skipped.reason for skipped in data.skipped} == {
        "well_broken": "the file ends before the picture does, or is damaged",
        "well_hand": "the DICOM object says that it does not show a chest",
        "well_lateral": "the DICOM object says that it is a lateral view; the model is meant for frontal ones",
    }
    assert sum(data.sizes.values()) == 3
    again = load_dataset(tmp_path / "data", tmp_path / "cache")
    assert again.fingerprint == data.fingerprint
    assert len(again.skipped) == 3


def test_what_the_guard_is_measured_on_may_be_lateral_views(tmp_path: Path) -> None:
    (tmp_path / "lateral").write_bytes(drawn(ViewPosition="LL"))
    pixels, names, skipped = read_images(tmp_path, tmp_path / "cache")
    assert (len(pixels), names, skipped) == (1, ["lateral"], [])


def test_without_the_extra_an_object_is_an_error_and_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, sick=drawn(), well=png())
    monkeypatch.setitem(sys.modules, "dicom.attributes.subject", None)
    with pytest.raises(DataError, match=r"pip install 'xray-inference\[dicom\]'"):
        find_all(tmp_path)


def test_real_objects_show_what_their_pictures_show(tmp_path: Path) -> None:
    folder = objects_folder()
    readable = [name for name, told in expected().items() if "probability" in told and name[0] == "b"]
    assert len(readable) >= 8
    for name in readable:
        path = next(folder.glob(f"{name}*"))
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pixels, _, skipped = read_images(tmp_path, tmp_path / "cache")
    picture = to_pixels((folder / "base_B.png").read_bytes())
    assert not skipped
    for row in pixels:
        assert np.abs(row.astype(int) - picture).mean() < 2
