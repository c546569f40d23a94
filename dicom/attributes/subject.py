"""Who and what an object is of, for a data set of radiographs: patient, age, sex, view, size; nothing is decoded."""

from dataclasses import dataclass
from hashlib import sha256

from contract.formats.age import years_of
from dicom.attributes.context import age
from dicom.attributes.image import tags_of
from dicom.format.file import read_file
from dicom.format.values import text, whole

_NEEDED = tags_of("PatientID IssuerOfPatientID PatientAge PatientSex ViewPosition Rows Columns")


@dataclass(frozen=True, slots=True)
class Subject:
    """What the header says; what it does not say is empty, None or 0.

    ``patient`` tells patients apart and is no identifier: a digest of Patient ID and its issuer. ``age`` is in years.
    ``width`` and ``height`` are those of the stored picture, in pixels.
    """

    patient: str
    age: float | None
    sex: str
    view: str
    width: int
    height: int


def subject_of(data: bytes) -> Subject:
    """The subject of an object.

    Args:
        data: the whole file.

    Raises:
        ImageRefused: as ``dicom.format.file.read_file``.
    """
    dataset = read_file(data, _NEEDED).dataset
    patient, issuer = text(dataset, "PatientID"), text(dataset, "IssuerOfPatientID")
    # Some public sets (RSNA's) write years as a plain number, which Patient's Age does not allow.
    years = age(dataset)
    return Subject(
        patient=sha256(f"{issuer}\n{patient}".encode()).hexdigest()[:16] if patient else "",
        age=years_of(text(dataset, "PatientAge")) if years is None else years,
        sex=text(dataset, "PatientSex"),
        view=text(dataset, "ViewPosition"),
        width=whole(dataset, "Columns") or 0,
        height=whole(dataset, "Rows") or 0,
    )
