"""Letterbox margins: uniform black or white bands that a viewer, an export or a scanner laid around a radiograph.

They say nothing of the patient, and move what does: squashed with them, a chest is smaller than it was. Since image
contract 2 they are cut off before the squash (docs/decisions/0015-image-contract-2.md).

The rule, for each side, from the edge inward. A line (row or column) is *clean* if at least 99 % of its pixels are
within 8 grey levels of black, or all of them of white: that much a JPEG adds to an even band. The margin ends with the
last clean line such that at least half of the lines up to it are clean and all of them are at least 60 % even: so text
that is burnt into a band is cut off with it. The outermost line must be clean, and no side loses more than a quarter.
Anatomy is not cut: a line through a thorax is neither clean, nor does an even band follow it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Grey levels, and shares: see above.
_TOLERANCE = 8
_CLEAN, _WITH_TEXT, _CLEAN_LINES = 0.99, 0.6, 0.5
GREATEST_MARGIN = 0.25

Pixels = NDArray[np.uint8]


class Frame(NamedTuple):
    """The part of a picture inside its margins, as shares of its width and height from the left and the top."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Frame(0, 0, 1, 1)


def find_frame(grey: Pixels) -> Frame:
    """Where a picture lies inside its margins.

    Args:
        grey: uint8 (h, w). The work grows with the number of lines at the edge that may be margin.

    Returns:
        shares 0..1; ``WHOLE`` where there is no margin.
    """
    height, width = grey.shape
    top, bottom = _margin(grey), _margin(grey[::-1])
    inside = grey[top : height - bottom].T
    left, right = _margin(inside), _margin(inside[::-1])
    return Frame(left / width, top / height, 1 - right / width, 1 - bottom / height)


def on_whole_picture(heatmap: NDArray[np.float32], frame: Frame) -> NDArray[np.float32]:
    """A heatmap of what lies inside a frame, laid on the whole picture: no evidence in the margins.

    Args:
        heatmap: float32 (h, w), evidence 0..1 of equal parts of the frame.
        frame: where these lie in the whole picture.

    Returns:
        float32 (h, w), 0..1: of equal parts of the whole picture, by linear interpolation.
    """
    if frame == WHOLE:
        return heatmap
    rows = _weights(heatmap.shape[0], frame.top, frame.bottom)
    columns = _weights(heatmap.shape[1], frame.left, frame.right)
    laid: NDArray[np.float32] = np.clip(rows @ heatmap @ columns.T, 0, 1, dtype=np.float32)
    return laid


def _margin(lines: Pixels) -> int:
    """How many lines of (n, length), from the first on, are margin."""
    white = lines[0, 0] > 127
    evenness = _evenness(lines[:1], white)
    if evenness[0] < _CLEAN:
        return 0
    evenness = _evenness(lines[: int(len(lines) * GREATEST_MARGIN)], white)
    clean = evenness >= _CLEAN
    mostly = np.cumsum(clean) >= _CLEAN_LINES * np.arange(1, len(clean) + 1)
    ends = np.flatnonzero(clean & mostly & np.logical_and.accumulate(evenness >= _WITH_TEXT))
    return int(ends[-1]) + 1 if len(ends) else 0


def _evenness(lines: Pixels, white: bool) -> NDArray[np.float64]:
    """The share of each line's pixels that are nearly black, or nearly white, (n,)."""
    even = lines >= 255 - _TOLERANCE if white else lines <= _TOLERANCE
    share: NDArray[np.float64] = even.mean(1)
    return share


def _weights(places: int, start: float, end: float) -> NDArray[np.float32]:
    """What each place of the whole (rows) takes of each place of the frame (columns), float32 (places, places)."""
    centres = (np.arange(places) + 0.5) / places
    position = (centres - start) / (end - start) * places - 0.5
    distance = np.abs(np.clip(position, 0, places - 1)[:, np.newaxis] - np.arange(places))
    inside = (centres >= start) & (centres <= end)
    weights: NDArray[np.float32] = (np.maximum(0, 1 - distance) * inside[:, np.newaxis]).astype(np.float32)
    return weights
