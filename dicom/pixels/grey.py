"""Stored values to grey levels, 0 = black, by one table over all values that can be stored (PS3.3 C.7.6.3, C.11).

1. Shift by High Bit + 1 - Bits Stored, mask, then sign.
2. Modality LUT, else slope and intercept.
3. VOI LUT (first item), else the first window with its function. Impossible or incomplete: as if there were none.
   None: 8 bits as they are, more from the least to the most value, padding apart.
4. MONOCHROME1 is inverted, once. Presentation LUT Shape decides nothing.
5. Padding is black.

(docs/decisions/0024-one-table-from-stored-values-to-grey.md)
"""

from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset

from contract.image import Note
from dicom.attributes.image import PixelFormat
from dicom.format.values import BROKEN, first_item, number, text, value
from dicom.pixels.stored import Stored

Levels = NDArray[np.float64]

_ROWS = 256  # at once
_WHITE = 255.0
STRETCHED = Note(
    "no_window",
    "the DICOM object has no usable window or VOI LUT: its grey levels were stretched from the least to the most "
    "value, so brightness and contrast may be wrong",
)
SHAPE_CONTRADICTS = Note(
    "presentation_shape_contradicts",
    "Presentation LUT Shape contradicts Photometric Interpretation, which decided: some viewers show this "
    "image inverted",
)


def to_grey(stored: Stored, pixels: PixelFormat, dataset: Dataset) -> tuple[Image.Image, list[Note]]:
    """The picture in grey, and what its reader should know.

    Args:
        stored: uint8 or uint16 (rows, columns), as ``stored_values`` returns them.
        pixels: how they are stored.
        dataset: the object's attributes.

    Returns:
        a picture of mode "L", and notes.
    """
    values = _values(pixels)
    units = _modality(values, dataset)
    padding = _padding(values, pixels, dataset)
    levels, notes = _voi(units, dataset), []
    if levels is None and pixels.stored == 8:
        levels = _linear(units, float(units.min()), float(units.max()))
    elif levels is None:
        visible = units[_used(stored, pixels) & ~padding]
        low, high = (float(visible.min()), float(visible.max())) if len(visible) else (0.0, 0.0)
        levels, notes = _linear(units, low, high), [STRETCHED]
    table = np.floor(levels + 0.5).astype(np.uint8)
    if pixels.photometric == "MONOCHROME1":
        table = 255 - table
    table[padding] = 0
    if _shape_contradicts(pixels, dataset):
        notes.append(SHAPE_CONTRADICTS)
    return _apply(table, stored, pixels), notes


def _patterns(stored: Stored, pixels: PixelFormat) -> Stored:
    """The stored bits alone, as unsigned numbers."""
    return cast(Stored, (stored >> pixels.shift) & ((1 << pixels.stored) - 1))


def _values(pixels: PixelFormat) -> NDArray[np.int64]:
    """The value of each pattern of stored bits."""
    patterns = np.arange(1 << pixels.stored)
    half = 1 << (pixels.stored - 1)
    return np.where(patterns >= half, patterns - 2 * half, patterns) if pixels.signed else patterns


def _apply(table: NDArray[np.uint8], stored: Stored, pixels: PixelFormat) -> Image.Image:
    grey = np.empty(stored.shape, np.uint8)
    for first in range(0, len(stored), _ROWS):
        rows = slice(first, first + _ROWS)
        np.take(table, _patterns(stored[rows], pixels), out=grey[rows], mode="clip")
    return Image.fromarray(grey)


def _used(stored: Stored, pixels: PixelFormat) -> NDArray[np.bool_]:
    """Which patterns the picture has."""
    used = np.zeros(1 << pixels.stored, np.bool_)
    for first in range(0, len(stored), _ROWS):
        used[_patterns(stored[first : first + _ROWS], pixels)] = True
    return used


def _modality(values: NDArray[np.int64], dataset: Dataset) -> Levels:
    """The values in the units of the modality (C.11.1)."""
    units = values.astype(np.float64)
    if table := _lookup(dataset, "ModalityLUTSequence", units):
        return table.look_up(units)
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if slope is None or intercept is None or slope == 0:
        return units
    return units * slope + intercept


def _voi(units: Levels, dataset: Dataset) -> Levels | None:
    """Grey levels, 0 to 255, by the first VOI LUT or else window (C.11.2); None: there is none that can be used."""
    if table := _lookup(dataset, "VOILUTSequence", units):
        return table.look_up(units) * (_WHITE / table.most)
    center, width = number(dataset, "WindowCenter"), number(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction") or "LINEAR"
    if center is None or width is None or width <= 0:
        return None
    if function == "SIGMOID":
        return _WHITE / (1 + np.exp(np.clip(-4 * (units - center) / width, -700, 700)))
    if function == "LINEAR_EXACT":
        return _linear(units, center - width / 2, center + width / 2)
    if function == "LINEAR" and width >= 1:
        return _linear(units, center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)
    return None


def _linear(units: Levels, low: float, high: float) -> Levels:
    """0 up to ``low``, 255 from ``high`` on, linear in between."""
    if high <= low:
        return np.where(units > low, _WHITE, 0.0)
    scaled: Levels = np.clip((units - low) / (high - low), 0, 1) * _WHITE
    return scaled


class _Lookup:
    """A lookup table (C.11.1.1): entries for the values from ``first`` on. ``most``: the greatest that it can hold."""

    def __init__(self, entries: NDArray[np.uint16], first: int, most: int) -> None:
        self._entries, self._first, self.most = entries, first, most

    def look_up(self, units: Levels) -> Levels:
        places = np.clip(np.round(units) - self._first, 0, len(self._entries) - 1).astype(np.intp)
        return self._entries[places].astype(np.float64)


def _lookup(dataset: Dataset, keyword: str, units: Levels) -> _Lookup | None:
    """The lookup table for these values in the first item of a sequence; None if there is none, or it is incomplete."""
    item = first_item(dataset, keyword)
    if item is None:
        return None
    try:
        count, first, bits = (int(each) for each in item.LUTDescriptor)
        entries = _entries(item, count & 0xFFFF or 1 << 16)
    except BROKEN:
        return None
    if entries is None or not 8 <= bits <= 16:
        return None
    if first >= 1 << 15 and (units.min() < 0 or first > units.max()):
        first -= 1 << 16  # its VR follows the sign of the values (C.11.2.1.1), and is often stored as unsigned
    return _Lookup(entries, first, max((1 << bits) - 1, int(entries.max())))


def _entries(item: Dataset, count: int) -> NDArray[np.uint16] | None:
    data = item.LUTData
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            return np.frombuffer(data, "<u2", count)
        return np.frombuffer(data, np.uint8, count).astype(np.uint16) if len(data) >= count else None
    entries = np.array(data, np.int64) & 0xFFFF
    return entries[:count].astype(np.uint16) if len(entries) >= count else None


def _padding(values: NDArray[np.int64], pixels: PixelFormat, dataset: Dataset) -> NDArray[np.bool_]:
    """Which values are padding: from Pixel Padding Value to its Range Limit (C.7.5.1.1.2)."""
    first = _sample(dataset, "PixelPaddingValue", pixels)
    if first is None:
        return np.zeros(len(values), np.bool_)
    last = _sample(dataset, "PixelPaddingRangeLimit", pixels)
    low, high = sorted((first, first if last is None else last))
    return (values >= low) & (values <= high)


def _sample(dataset: Dataset, keyword: str, pixels: PixelFormat) -> int | None:
    """A value of the pixels' own VR, US or SS, which implicit VR and writers leave unclear."""
    found = value(dataset, keyword)
    if isinstance(found, bytes):
        found = int.from_bytes(found[:2], "little") if len(found) >= 2 else None
    if not isinstance(found, int):
        return None
    sample = found & 0xFFFF
    return sample - (1 << 16) if pixels.signed and sample >= 1 << 15 else sample


def _shape_contradicts(pixels: PixelFormat, dataset: Dataset) -> bool:
    shape = text(dataset, "PresentationLUTShape")
    expected = "INVERSE" if pixels.photometric == "MONOCHROME1" else "IDENTITY"
    return pixels.samples == 1 and shape in ("IDENTITY", "INVERSE") and shape != expected
