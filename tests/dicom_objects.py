"""DICOM objects for tests: drawn ones, and where those of the data folder are."""

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian

from tests import ROOT
from tests.drawings import chest

CR, SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.7"
UNDEFINED = 0xFFFFFFFF


def grey16(seed: int = 0, bits: int = 12) -> NDArray[np.uint16]:
    """A drawn radiograph in so many bits."""
    return (chest(seed).astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)


def described(pixels: NDArray[Any], **attributes: Any) -> Dataset:
    """The data set of a CR object that shows these pixels, uint8 or uint16 of 12 bits, without the pixels."""
    bits = 8 if pixels.dtype.itemsize == 1 else 12
    dataset = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CR,
        "SOPInstanceUID": "2.25.1001",
        "StudyInstanceUID": "2.25.1002",
        "SeriesInstanceUID": "2.25.1003",
        "Modality": "CR",
        "PatientName": "Drawn^Nobody",
        "PatientID": "D1",
        "PatientAge": "003Y",
        "BodyPartExamined": "CHEST",
        "ViewPosition": "AP",
        "PatientOrientation": ["L", "F"],
        "SamplesPerPixel": 1 if pixels.ndim == 2 else 3,
        "PhotometricInterpretation": "MONOCHROME2" if pixels.ndim == 2 else "RGB",
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 8 * pixels.dtype.itemsize,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        **({"PlanarConfiguration": 0} if pixels.ndim == 3 else {}),
        **({"WindowCenter": 2048, "WindowWidth": 4096} if bits == 12 else {}),
    }
    for name, value in (values | attributes).items():
        if value is not None:
            setattr(dataset, name, value)
    return dataset


def written(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A data set as a file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", CR)
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "2.25.1")
    dataset.file_meta = meta
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def drawn(pixels: NDArray[Any] | None = None, syntax: str = ExplicitVRLittleEndian, **attributes: Any) -> bytes:
    """A CR object that shows these pixels, as a file."""
    pixels = grey16() if pixels is None else pixels
    dataset = described(pixels, **attributes)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    return written(dataset, syntax)


def compressed(codestream: bytes | bytearray, pixels: NDArray[Any], syntax: str, **attributes: Any) -> bytes:
    """A CR object that holds this codestream, as a file."""
    dataset = described(pixels, **attributes)
    dataset.PixelData = encapsulate([bytes(codestream)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return written(dataset, syntax)


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR little endian, of a VR with four bytes of length."""
    head = struct.pack("<HH2sxxL", tag >> 16, tag & 0xFFFF, vr.encode(), len(value) if length is None else length)
    return head + value


def objects_folder() -> Path:
    """The folder of DICOM objects; the test is skipped without it."""
    folder = Path(os.environ.get("XRAY_DATA") or ROOT.parent / "shared" / "data") / "dicom"
    if not (folder / "expected.json").is_file():
        pytest.skip("no DICOM objects: set XRAY_DATA to the folder that holds dicom/")
    return folder


def expected() -> dict[str, dict[str, Any]]:
    """What the README of the folder says of each object, by its name; empty where the folder is not."""
    folder = Path(os.environ.get("XRAY_DATA") or ROOT.parent / "shared" / "data") / "dicom"
    path = folder / "expected.json"
    return dict(json.loads(path.read_text())["objects"]) if path.is_file() else {}
