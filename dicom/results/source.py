"""Patient and study of an object, for the results about it: a cleaned copy, in UTF-8.

What breaks its VR is emptied and what is absent is empty, so that every object that can be read has its results.
"""

from hashlib import sha256

from pydicom import Dataset

from dicom.attributes.image import tags_of
from dicom.format.file import read_file
from dicom.format.values import first_item, valid, words
from dicom.results.result import uid_of

# Type 2 or 1 in the results: there, if empty.
_REQUIRED = (
    "PatientName PatientID PatientBirthDate PatientSex StudyID StudyDate StudyTime AccessionNumber "
    "ReferringPhysicianName"
)
# Of the same patient and study, if the source has them.
_OPTIONAL = "IssuerOfPatientID PatientAge PatientSize PatientWeight StudyDescription"
_UIDS = "StudyInstanceUID SeriesInstanceUID SOPInstanceUID SOPClassUID"
_NEEDED = tags_of(f"SpecificCharacterSet ProcedureCodeSequence PatientOrientation {_REQUIRED} {_OPTIONAL} {_UIDS}")
_UTF_8 = "ISO_IR 192"
_SEXES = ("M", "F", "O")
# Of a code (PS3.3 section 8).
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_DIRECTIONS = frozenset("LRAPHF")


def source_of(data: bytes) -> Dataset:
    """The cleaned copy.

    Args:
        data: the whole file of the source; it has been read by ``dicom.picture``.

    Returns:
        a data set with SOP class and all UIDs of the source, and patient and study.

    Raises:
        ImageRefused: as ``dicom.format.file.read_file``.
    """
    found, clean = read_file(data, _NEEDED).dataset, Dataset()
    clean.SpecificCharacterSet = _UTF_8
    for keyword in _REQUIRED.split():
        setattr(clean, keyword, valid(found, keyword) or "")
    for keyword in _OPTIONAL.split():
        if cleaned := valid(found, keyword):
            setattr(clean, keyword, cleaned)
    if clean.PatientSex not in _SEXES:
        clean.PatientSex = ""
    clean.SOPClassUID = found.SOPClassUID
    clean.SOPInstanceUID = valid(found, "SOPInstanceUID") or uid_of("source", sha256(data).hexdigest())
    clean.SeriesInstanceUID = valid(found, "SeriesInstanceUID") or uid_of("source", clean.SOPInstanceUID, "series")
    clean.StudyInstanceUID = valid(found, "StudyInstanceUID") or uid_of("study", clean.SOPInstanceUID)
    clean.PatientOrientation = _orientation(found)
    return clean


def procedure_of(data: bytes) -> tuple[str, str, str] | None:
    """Code value, scheme and meaning of the procedure that made the source; None if it has none that is complete."""
    item = first_item(read_file(data, _NEEDED).dataset, "ProcedureCodeSequence")
    if item is None:
        return None
    parts = [valid(item, keyword) for keyword in _CODE]
    return (str(parts[0]), str(parts[1]), str(parts[2])) if all(parts) else None


def _orientation(dataset: Dataset) -> list[str] | None:
    directions = words(dataset, "PatientOrientation")
    is_valid = len(directions) == 2 and all(_DIRECTIONS.issuperset(each) for each in directions)
    return directions if is_valid else None
