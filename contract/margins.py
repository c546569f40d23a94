"""Letterbox margins: uniform black or white bands that a viewer, an export or a scanner added around a radiograph.

They carry no information about the patient, and change the size of the chest in the squashed image. Since image
contract 2 they are cut off before the squash (docs/decisions/0015-image-contract-2.md).

The rule for each side, from the edge inward: a line (row or column) is *clean* if at least 99 % of its pixels are
within 8 grey levels of black, or at least 99 % within 8 of white; JPEG noise in a uniform band stays below that. The
margin ends with the last clean line for which at least half of the lines up to it are clean and all of them are at
least 60 % uniform, so that text burnt into a band is cut off with it. The outermost line must be clean, and no side
loses more than a quarter. Anatomy is not cut: a line through a thorax is not clean, and no uniform band follows it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Grey levels and fractions of the rule above.
_TOLERANCE = 8
_CLEAN, _WITH_TEXT, _CLEAN_LINES = 0.99, 0.6, 0.5
GREATEST_MARGIN = 0.25

Pixels = NDArray[np.uint8]


class Frame(NamedTuple):
    """The part of an image within its margins, as fractions of its width and height from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Frame(0, 0, 1, 1)


def find_frame(grey: Pixels) -> Frame:
    """Find the part of an image within its margins.

    Args:
        grey: uint8 (h, w). The run time grows with the number of lines at the edge that may be margin.

    Returns:
        fractions 0..1; ``WHOLE`` if there is no margin.
    """
    height, width = grey.shape
    top, bottom = _margin(grey), _margin(grey[::-1])
    columns = grey[top : height - bottom].T
    left, right = _margin(columns), _margin(columns[::-1])
    return Frame(left / width, top / height, 1 - right / width, 1 - bottom / height)


def on_whole_picture(heatmap: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """Map the heatmap of a frame to the whole image, with no evidence in the margins.

    Args:
        heatmap: float32 (h, w), 0..1, the frame divided into equal cells.
        frame: the part of the whole image that it covers.

    Returns:
        float32 (h, w), 0..1, the whole image divided into equal cells, by linear interpolation.
    """
    if frame == WHOLE:
        return heatmap
    rows = _weights(heatmap.shape[0], frame.top, frame.bottom)
    columns = _weights(heatmap.shape[1], frame.left, frame.right)
    mapped: NDArray[np.float32] = np.clip(rows @ heatmap @ columns.T, 0, 1, dtype=np.float32)
    return mapped


def _margin(lines: Pixels) -> int:
    """The number of leading lines of (n, length) that are margin."""
    white = lines[0, 0] > 127
    uniformity = _uniformity(lines[:1], white)
    if uniformity[0] < _CLEAN:
        return 0
    uniformity = _uniformity(lines[: int(len(lines) * GREATEST_MARGIN)], white)
    clean = uniformity >= _CLEAN
    mostly = np.cumsum(clean) >= _CLEAN_LINES * np.arange(1, len(clean) + 1)
    ends = np.flatnonzero(clean & mostly & np.logical_and.accumulate(uniformity >= _WITH_TEXT))
    return int(ends[-1]) + 1 if len(ends) else 0


def _uniformity(lines: Pixels, white: bool) -> NDArray[np.float64]:
    """The fraction of each line's pixels that are nearly white, or nearly black, (n,)."""
    uniform = lines >= 255 - _TOLERANCE if white else lines <= _TOLERANCE
    fraction: NDArray[np.float64] = uniform.mean(1)
    return fraction


def _weights(places: int, start: float, end: float) -> NDArray[np.float32]:
    """The weight of each cell of the frame (columns) in each cell of the whole image (rows), float32."""
    centres = (np.arange(places) + 0.5) / places
    position = (centres - start) / (end - start) * places - 0.5
    distance = np.abs(np.clip(position, 0, places - 1)[:, np.newaxis] - np.arange(places))
    covered = (centres >= start) & (centres <= end)
    weights: NDArray[np.float32] = (np.maximum(0, 1 - distance) * covered[:, np.newaxis]).astype(np.float32)
    return weights
