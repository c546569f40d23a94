"""DICOM objects for tests, drawn or empty."""

from io import BytesIO
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from node.config import COMPREHENSIVE_3D_SR, CR_IMAGE, SECONDARY_CAPTURE

# In every attribute of a patient of every test object: must not appear in a log, a metric, a reason or a file name.
CANARY = "CANARY^PATIENT"


def radiograph(uid: str = "", side: int = 64, **attributes: Any) -> Dataset:
    """A CR image of noise, MONOCHROME2, 16 bits allocated, ``side`` x ``side``."""
    values: dict[str, Any] = dict.fromkeys(
        ("PatientName", "ReferringPhysicianName", "InstitutionName", "StationName"), CANARY
    )
    values |= {
        "PatientID": CANARY.replace("^", ""),
        "Modality": "CR",
        "StudyInstanceUID": generate_uid(entropy_srcs=["s"]),
    }
    values |= {"SeriesInstanceUID": generate_uid(entropy_srcs=["i"]), "SOPClassUID": CR_IMAGE}
    values |= {"Rows": side, "Columns": side, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
    values |= {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0}
    pixels = np.random.default_rng(0).integers(0, 4096, (side, side), dtype=np.uint16)
    return _dataset(values | {"PixelData": pixels.tobytes()} | attributes, uid or str(generate_uid()))


def result(source_uid: str, kind: str, study: str = "2.25.1") -> Dataset:
    """What stands for the result of a kind: the same UID for the same source."""
    sop_class = COMPREHENSIVE_3D_SR if kind == "sr" else SECONDARY_CAPTURE
    values = {
        "SOPClassUID": sop_class,
        "PatientName": CANARY,
        "SeriesDescription": "AI result - not for diagnostic use",
    }
    values |= {"StudyInstanceUID": study, "Modality": "SR" if kind == "sr" else "OT", "PatientID": "D1"}
    values |= {"SeriesInstanceUID": generate_uid(entropy_srcs=[kind])}
    return _dataset(values, result_uid(source_uid, kind))


def result_uid(source_uid: str, kind: str) -> str:
    """The SOP Instance UID of ``result``."""
    return str(generate_uid(entropy_srcs=[source_uid, kind]))


def content(dataset: Dataset) -> bytes:
    """The bytes of a file."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _dataset(values: dict[str, Any], uid: str) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.SOPInstanceUID = uid
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    return dataset
