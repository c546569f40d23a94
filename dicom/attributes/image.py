"""What a DICOM object says of its image (PS3.3), and which objects are taken: all that is known before decoding."""

from dataclasses import dataclass
from typing import Literal

from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from contract.errors import ForProcessing, MultiFrame, UnsupportedModality, UnusableObject
from dicom.format.values import text, whole

# Elements that decide whether and how an image is read.
_KEYWORDS = """
    SOPClassUID Modality PresentationIntentType PatientAge BodyPartExamined ViewPosition PatientOrientation
    SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    WindowCenter WindowWidth VOILUTFunction RescaleIntercept RescaleSlope ModalityLUTSequence VOILUTSequence
    PresentationLUTShape
"""


def tags_of(keywords: str) -> frozenset[int]:
    """The tags of these keywords, which spaces separate."""
    return frozenset(tag for keyword in keywords.split() if (tag := tag_for_keyword(keyword)) is not None)


NEEDED = tags_of(_KEYWORDS)

_STORAGE = "1.2.840.10008.5.1.4.1.1"
_CR, _DX, _DX_FOR_PROCESSING = f"{_STORAGE}.1", f"{_STORAGE}.1.1", f"{_STORAGE}.1.1.1"
_SECONDARY_CAPTURE = f"{_STORAGE}.7"
_CLASSES = (_CR, _DX, _SECONDARY_CAPTURE)
# Multi-frame Secondary Capture of each kind.
_MULTI_FRAME = tuple(f"{_SECONDARY_CAPTURE}.{kind}" for kind in range(1, 5))
_MODALITIES = ("CR", "DX")

Photometric = Literal["MONOCHROME1", "MONOCHROME2", "RGB", "YBR"]
_PHOTOMETRIC: dict[str, Photometric] = {
    "MONOCHROME1": "MONOCHROME1",
    "MONOCHROME2": "MONOCHROME2",
    "RGB": "RGB",
    "YBR_FULL": "YBR",
    "YBR_FULL_422": "YBR",
    "YBR_ICT": "RGB",  # once decoded (PS3.5 section 8.2.4)
    "YBR_RCT": "RGB",
}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the pixels of the one frame are stored (PS3.3 C.7.6.3). ``planar``: colour by colour."""

    rows: int
    columns: int
    samples: int
    photometric: Photometric
    subsampled: bool
    planar: bool
    allocated: int
    stored: int
    high_bit: int
    signed: bool

    @property
    def bytes(self) -> int:
        """Of the frame, uncompressed."""
        samples = 2 if self.subsampled else self.samples
        return self.rows * self.columns * samples * self.allocated // 8

    @property
    def shift(self) -> int:
        """Bits below the stored ones."""
        return self.high_bit + 1 - self.stored


def check_kind(dataset: Dataset) -> None:
    """Check that the object is a digital radiograph for presentation, of one frame.

    Raises:
        UnsupportedModality, ForProcessing, MultiFrame.
    """
    modality, kind = text(dataset, "Modality"), text(dataset, "SOPClassUID")
    # A CR or DX object without a modality is a radiograph by its class; a Secondary Capture may show anything.
    if modality not in _MODALITIES and (modality or kind == _SECONDARY_CAPTURE):
        raise UnsupportedModality("only radiographs are read: the Modality of the DICOM object is not CR or DX")
    if kind == _DX_FOR_PROCESSING or text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        raise ForProcessing("the DICOM object holds the detector's raw values (For Processing); send For Presentation")
    if (whole(dataset, "NumberOfFrames") or 1) > 1:
        raise MultiFrame("the DICOM object has several frames; send one radiograph")
    if kind in _MULTI_FRAME:
        raise UnsupportedModality("a Multi-frame Secondary Capture is not read; send CR, DX or Secondary Capture")
    if kind not in _CLASSES:
        raise UnsupportedModality(
            "the SOP class of the DICOM object is not read; send CR, DX For Presentation or Secondary Capture"
        )


def pixel_format(dataset: Dataset) -> PixelFormat:
    """How its pixels are stored.

    Raises:
        UnusableObject: it does not say so, contradicts itself, or it is a way that no radiograph has.
    """
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        raise UnusableObject("the DICOM object has no Rows or Columns: it holds no picture")
    named = text(dataset, "PhotometricInterpretation")
    photometric = _PHOTOMETRIC.get(named)
    samples = _or(whole(dataset, "SamplesPerPixel"), 1)
    is_grey = photometric in ("MONOCHROME1", "MONOCHROME2")
    if photometric is None or samples != (1 if is_grey else 3):
        raise UnusableObject("the Photometric Interpretation of the DICOM object is not read: send a grey picture")
    allocated = _or(whole(dataset, "BitsAllocated"), 0)
    stored = _or(whole(dataset, "BitsStored"), allocated)
    high_bit = _or(whole(dataset, "HighBit"), stored - 1)
    if allocated not in (8, 16) or not 1 <= stored <= high_bit + 1 <= allocated or not (is_grey or stored == 8):
        raise UnusableObject(
            "Bits Allocated, Bits Stored and High Bit of the DICOM object do not describe pixels of 8 or 16 bits"
        )
    return PixelFormat(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        subsampled=named == "YBR_FULL_422",
        planar=whole(dataset, "PlanarConfiguration") == 1,
        allocated=allocated,
        stored=stored,
        high_bit=high_bit,
        signed=whole(dataset, "PixelRepresentation") == 1,
    )


def _or(found: int | None, default: int) -> int:
    return default if found is None else found
