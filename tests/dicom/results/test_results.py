"""What is written of an object: a Structured Report and a Secondary Capture, by the programs that others check with."""

import io
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence

from dicom.picture import picture
from dicom.results.capture import capture_of
from dicom.results.report import report_of
from dicom.results.result import Result
from tests.commands import run
from tests.dicom_objects import CR, drawn, expected, objects_folder
from tests.programs import needs

RESULT = Result(
    label="PNEUMONIA",
    probability=0.9731,
    threshold=0.8428,
    operating_point="balanced",
    model="pneumonia",
    version="2",
    model_sha256="15" * 32,
    software="0.1.0",
    population="child",
    guard_score=0.97,
    warnings=("no_window", "lateral_view"),
)
_PICTURE = np.full((60, 80, 3), 77, np.uint8)
# Its XPath limits are too low for its own rules. It ends before code that is compiled with more effort pays off.
_JAVA = {
    "JAVA_TOOL_OPTIONS": " ".join(
        [f"-Djdk.xml.xpath{name}=0" for name in ("TotalOpLimit", "ExprOpLimit", "ExprGrpLimit")]
        + ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    )
}


def report(data: bytes, result: Result = RESULT) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(report_of(data, result)))


def capture(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(io.BytesIO(capture_of(data, _PICTURE, RESULT)))


_VALUES: dict[str, Callable[[Any], Any]] = {
    "CODE": lambda item: item.ConceptCodeSequence[0].CodeValue,
    "NUM": lambda item: float(item.MeasuredValueSequence[0].NumericValue),
    "TEXT": lambda item: item.TextValue,
    "UIDREF": lambda item: item.UID,
    "IMAGE": lambda item: item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
    "CONTAINER": lambda item: None,
}


def items(container: Dataset) -> list[tuple[str, Any]]:
    """The content items of a report, depth first: code of the name, and value."""
    found: list[tuple[str, Any]] = []
    for item in container.ContentSequence:
        name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else ""
        found.append((name, _VALUES[item.ValueType](item)))
        if "ContentSequence" in item:
            found += items(item)
    return found


@cache
def sources() -> dict[str, bytes]:
    """Drawn objects, and those of the data folder that are read, where it is."""
    found = {
        "drawn": drawn(),
        "bare": drawn(
            PatientName=None, PatientID=None, PatientOrientation=None, StudyInstanceUID=None, SeriesInstanceUID=None
        ),
    }
    for name, stated in expected().items():
        if stated["expect"][:3] not in ("415", "422"):
            found[name] = (objects_folder() / name).read_bytes()
    return found


def test_the_report_states_the_result() -> None:
    found = report(drawn())
    content = items(found)
    assert (found.VerificationFlag, found.PreliminaryFlag, found.CompletionFlag) == (
        "UNVERIFIED",
        "PRELIMINARY",
        "COMPLETE",
    )
    assert found.SeriesDescription == "AI result - not for diagnostic use"
    stated = [
        ("121005", "121007"),  # observer type: device
        ("121058", "363679005"),  # procedure reported
        ("121071", "233604007"),  # finding: pneumonia
        ("363698007", "39607008"),  # finding site: lung
        ("111001", "pneumonia"),
        ("111003", "2"),
        ("111000", "123110"),  # algorithm family: artificial intelligence
        ("122157", 0.9731),
        ("233604007", "52101004"),  # pneumonia: present
        ("121112", "2.25.1001"),  # source image
    ]
    assert [each for each in stated if each not in content] == []
    parameters = [value for name, value in content if name == "111002"]
    assert parameters == [
        "operating_point=balanced",
        "threshold=0.8428",
        "population=child",
        f"model_sha256={'15' * 32}",
        "guard_score=0.970",
        "warnings=no_window,lateral_view",
    ]


def test_below_the_threshold_pneumonia_is_absent() -> None:
    normal = Result("NORMAL", 0.1, 0.5, "balanced", "m", "1", "00" * 32, "0.1.0")
    assert ("233604007", "272519000") in items(report(drawn(), normal))


def test_the_procedure_is_the_source_s() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "36572-6", "LN", "XR Chest AP"
    assert ("121058", "36572-6") in items(report(drawn(ProcedureCodeSequence=Sequence([code]))))
    del code.CodeMeaning
    assert ("121058", "363679005") in items(report(drawn(ProcedureCodeSequence=Sequence([code]))))


def test_the_same_result_is_the_same_object_and_another_is_not() -> None:
    def uids(result: Result, **attributes: Any) -> tuple[str, str]:
        found = report(drawn(**attributes), result)
        return found.SOPInstanceUID, found.SeriesInstanceUID

    same = uids(RESULT)
    others = [
        uids(Result(**{name: getattr(RESULT, name) for name in RESULT.__slots__} | changed))
        for changed in ({"operating_point": "rule-out"}, {"model_sha256": "16" * 32}, {"population": None})
    ]
    others += [
        uids(RESULT, SOPInstanceUID="2.25.7"),
        (capture(drawn()).SOPInstanceUID, capture(drawn()).SeriesInstanceUID),
    ]
    assert uids(RESULT) == same
    assert len({uid for each in (same, *others) for uid in each}) == 2 * (1 + len(others))


def test_the_capture_is_never_read_again_and_says_what_it_is() -> None:
    found = capture(drawn())
    assert (found.Modality, found.BurnedInAnnotation) == ("OT", "YES")
    assert "PixelSpacing" not in found
    assert np.array_equal(found.pixel_array, _PICTURE)
    with pytest.raises(Exception, match="Modality"):
        picture(capture_of(drawn(), _PICTURE, RESULT), 100)


def test_patient_and_study_are_a_cleaned_copy() -> None:
    bad = drawn(
        PatientBirthDate="1965-1-1",
        AccessionNumber="x" * 40,
        PatientSex="X",
        StudyDate="20260230",
        PatientComments="no",
    )
    for found in (report(bad), capture(bad)):
        assert (found.PatientName, found.PatientID, found.StudyInstanceUID) == ("Drawn^Nobody", "D1", "2.25.1002")
        assert not any(found[name].value for name in ("PatientBirthDate", "AccessionNumber", "PatientSex", "StudyDate"))
        assert found.SpecificCharacterSet == "ISO_IR 192"
        assert "PatientComments" not in found


def test_names_in_other_character_sets_become_utf_8() -> None:
    objects_folder()
    for found in (report(sources()["a16_cr_charset_japanese.dcm"]), capture(sources()["a16_cr_charset_japanese.dcm"])):
        assert str(found.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"


@needs("dciodvfy", package="dicom3tools")
@needs("dsrdump", package="dcmtk")
def test_the_validators_find_no_error(tmp_path: Path) -> None:
    for name, data in sources().items():
        (tmp_path / "report.dcm").write_bytes(report_of(data, RESULT))
        (tmp_path / "capture.dcm").write_bytes(capture_of(data, _PICTURE, RESULT))
        for kind in ("report", "capture"):
            checked = run(["dciodvfy", tmp_path / f"{kind}.dcm"])
            assert "Error" not in checked.stdout + checked.stderr, f"{name}: {checked.stderr}"
        dumped = run(["dsrdump", tmp_path / "report.dcm"])
        assert dumped.returncode == 0, f"{name}: {dumped.stderr}"
        assert '"Probability")="0.9731"' in dumped.stdout


# dcentvfy reads no deflated objects, no padding of odd length (x01), and compares names by their bytes (a16).
_NOT_COMPARED = ("b03", "x01", "a16")


@needs("dcentvfy", package="dicom3tools")
def test_patient_and_study_agree_with_the_source(tmp_path: Path) -> None:
    for name, data in sources().items():
        if name.startswith(_NOT_COMPARED) or name == "bare":
            continue
        written = {"source": data, "report": report_of(data, RESULT), "capture": capture_of(data, _PICTURE, RESULT)}
        for kind, content in written.items():
            (tmp_path / kind).write_bytes(content)
        checked = run(["dcentvfy", *(tmp_path / kind for kind in written)])
        assert "Error" not in checked.stdout + checked.stderr, f"{name}: {checked.stderr}"


@needs("DicomSRValidator", package="pixelmed-apps")
@pytest.mark.parametrize("name", ["drawn", "a18_cr_bad_values.dcm"])
def test_the_report_keeps_to_its_template(name: str, tmp_path: Path) -> None:
    """It takes ten seconds of CPU time: the other objects' reports differ from these in patient and UIDs alone."""
    if name not in sources():
        objects_folder()
    (tmp_path / "report.dcm").write_bytes(report_of(sources()[name], RESULT))
    checked = run(["DicomSRValidator", tmp_path / "report.dcm"], env=os.environ | _JAVA)
    output = checked.stdout + checked.stderr
    assert "Root Template Validation Complete" in output
    assert "Error" not in output


@pytest.mark.parametrize("name", ["a16_cr_charset_japanese.dcm", "a17_cr_bare.dcm", "b02_implicit.dcm"])
def test_the_content_is_the_same_for_every_object_but_for_uids(name: str) -> None:
    objects_folder()
    contents = [
        [item for item in items(report(sources()[each])) if item[0] not in ("112040", "121112")]
        for each in ("drawn", name)
    ]
    assert contents[0] == contents[1]


def test_the_source_is_an_object_that_is_read() -> None:
    assert (
        report(drawn())
        .CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPClassUID
        == CR
    )
