"""Patient and study of an object, for the results about it: a cleaned copy, in UTF-8.

What breaks its VR is emptied and what is absent is empty, so that every object that can be read has its results.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.datadict import dictionary_VR
from pydicom.valuerep import DA, TM, validate_value

from dicom.attributes import tags_of
from dicom.file import read_file
from dicom.result import uid_of
from dicom.values import first_item, values, words

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
        ImageRefused: as ``dicom.file.read_file``.
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


# Values that are valid by their characters, and still none of their kind, such as 30 February.
_KINDS: dict[str, Callable[[str], Any]] = {"DA": DA, "TM": TM, "DS": float}


def valid(dataset: Dataset, keyword: str) -> str | None:
    """The value as a string, if there is one alone and it keeps to its VR."""
    found = values(dataset, keyword)
    text = str(found[0]).strip(" \0") if len(found) == 1 else ""
    try:
        vr = dictionary_VR(keyword)
        validate_value(vr, text, RAISE)
        _KINDS.get(vr, str)(text)
    except (ArithmeticError, TypeError, ValueError):
        return None
    return text if text and text.isprintable() else None
