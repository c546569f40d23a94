"""The attributes of a picture that a viewer shows. Nothing is decoded, and nothing here names the patient."""

from pydicom import Dataset

from contract.header import Viewing
from dicom.attributes.context import age
from dicom.attributes.image import NEEDED, check_kind, pixel_format, tags_of
from dicom.format.file import read_file
from dicom.format.values import number, text, values

_SPACING = tags_of("PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing")
# PS3.3 C.8.1.2 and C.8.11.5, and what people write. Free text may name the patient.
_VIEWS = {"AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"}


def viewing(data: bytes) -> Viewing:
    """What a viewer shows of an object.

    Raises:
        ImageRefused: it is no radiograph, or its attributes cannot be read.
    """
    dataset = read_file(data, NEEDED | _SPACING).dataset
    check_kind(dataset)
    pixels = pixel_format(dataset)
    spacing, at_detector = _spacing(dataset)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    view = text(dataset, "ViewPosition")
    return Viewing(
        columns=pixels.columns,
        rows=pixels.rows,
        spacing=spacing,
        at_detector=at_detector,
        window=None if center is None or width is None or width <= 0 else (center, width),
        view=view if view in _VIEWS else None,
        age=age(dataset),
    )


def _spacing(dataset: Dataset) -> tuple[tuple[float, float] | None, bool]:
    """Millimetres from pixel to pixel, down and across, and whether at the detector (PS3.3 section 10.7.1.3).

    Pixel Spacing is calibrated to the patient if it differs from that at the detector.
    """
    calibrated = _pair(dataset, "PixelSpacing")
    detector = _pair(dataset, "ImagerPixelSpacing") or _pair(dataset, "NominalScannedPixelSpacing")
    if calibrated is None or calibrated == detector:
        return detector or calibrated, detector is not None
    return calibrated, False


def _pair(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        down, across = (float(str(each)) for each in values(dataset, keyword))
    except ValueError:
        return None
    return (down, across) if 0 < down < 100 and 0 < across < 100 else None
