"""The identity of an object for a table: modality, view and UID, and on request the ids of patient and study."""

from dicom.attributes.image import tags_of
from dicom.format.file import read_file
from dicom.format.values import valid

_ITSELF = {"modality": "Modality", "view": "ViewPosition", "sop_instance_uid": "SOPInstanceUID"}
_WHOSE = {
    "patient_id": "PatientID",
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
}
_NEEDED = tags_of(" ".join(["SpecificCharacterSet", *_ITSELF.values(), *_WHOSE.values()]))


def identity_of(data: bytes, *, ids: bool) -> dict[str, str | None]:
    """The values by name; None where there is none, or one that breaks its VR.

    Args:
        data: the whole file.
        ids: whether patient, accession number and study are among them.

    Raises:
        ImageRefused: as ``dicom.format.file.read_file``.
    """
    dataset = read_file(data, _NEEDED).dataset
    wanted = _ITSELF | _WHOSE if ids else _ITSELF
    return {name: valid(dataset, keyword) for name, keyword in wanted.items()}
