"""The few attributes that the node reads itself. Nothing is decoded, and none of them is a patient's."""

import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

_SOP_INSTANCE_UID, _SERIES_DESCRIPTION = 0x00080018, 0x0008103E
_HEAD_BYTES = 65_536  # these are among the first elements of every data set
_UID = re.compile(r"[0-9.]{1,64}")


class HeaderError(Exception):
    """The beginning of an object cannot be read."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What an object is: SOP Class UID and SOP Instance UID."""

    sop_class: str
    uid: str


def dataset_identity(path: Path) -> Identity:
    """The identity by the data set of a file (PS3.10), of which at most 64 KiB are read.

    Raises:
        HeaderError: it has none, or cannot be read.
    """
    return _identity(_head(path, _SOP_INSTANCE_UID))


def series_description(path: Path) -> str:
    """The series description of a file; empty if it has none within the first 64 KiB, or cannot be read."""
    try:
        return str(_head(path, _SERIES_DESCRIPTION).get("SeriesDescription", ""))
    except HeaderError:
        return ""


def content_identity(content: bytes) -> Identity:
    """The identity by the file meta information of a file's content (PS3.10).

    Raises:
        HeaderError: it is not a DICOM file.
    """
    if content[128:132] != b"DICM":
        raise HeaderError("not a DICOM file")
    try:
        meta = read_dataset(BytesIO(content[132 : 132 + _HEAD_BYTES]), False, True, stop_when=_group_ends)
        found = Identity(str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID))
    except Exception:
        raise HeaderError("the file meta information cannot be read") from None
    return _checked(found)


def is_uid(text: str) -> bool:
    """Whether a text can be a UID: at most 64 digits and dots."""
    return _UID.fullmatch(text) is not None


def _head(path: Path, last: int) -> Dataset:
    try:
        meta, offset = split_dataset(path)
        with path.open("rb") as file:
            file.seek(offset)
            head, syntax = file.read(_HEAD_BYTES), UID(meta.TransferSyntaxUID)
        if syntax == DeflatedExplicitVRLittleEndian:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, _HEAD_BYTES)
            syntax = ExplicitVRLittleEndian
        encoding = syntax.is_implicit_VR, syntax.is_little_endian
        return read_dataset(BytesIO(head), *encoding, stop_when=lambda tag, _vr, _length: tag > last)
    except Exception:  # pydicom raises what it meets in a damaged file, and its messages may quote the file
        raise HeaderError("the beginning of the data set cannot be read") from None


def _identity(head: Dataset) -> Identity:
    return _checked(Identity(str(head.get("SOPClassUID", "")), str(head.get("SOPInstanceUID", ""))))


def _checked(identity: Identity) -> Identity:
    if not is_uid(identity.sop_class) or not is_uid(identity.uid):
        raise HeaderError("SOP Class UID or SOP Instance UID is missing or malformed")
    return identity


def _group_ends(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2
