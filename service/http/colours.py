"""The colour map of the heatmaps: plasma, which keeps its order for every kind of colour vision and in greyscale print.

Plasma is by Nathaniel Smith and Stéfan van der Walt, in the public domain (CC0), as in matplotlib's ``_cm_listed.py``.
Its lightness increases monotonically, so two values can be ordered without telling hues apart. None of its colours is
grey, so it stands out from a radiograph (the middle of cividis would not). ``page/style.css`` repeats the nine colours.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# sRGB at 0, 1/8, ... 1. Linear interpolation between them stays within 5 of 255 levels of the full table.
PLASMA = (
    (13, 8, 135),
    (76, 2, 161),
    (126, 3, 168),
    (170, 35, 149),
    (204, 71, 120),
    (229, 107, 93),
    (248, 148, 65),
    (253, 195, 40),
    (240, 249, 33),
)


def coloured_heatmap(evidence: NDArray[np.float32], size: tuple[int, int] | None = None) -> Image.Image:
    """The heatmap as an image to overlay on a radiograph: transparent at 0, opaque from 0.5 on.

    Args:
        evidence: float32 (h, w), 0..1.
        size: width and height in pixels, interpolated bilinearly. None: one pixel per heatmap cell.

    Returns:
        an image of mode "RGBA".
    """
    levels = Image.fromarray(np.rint(255 * evidence).astype(np.uint8))
    if size:
        levels = levels.resize(size, Image.Resampling.BILINEAR)
    coloured = levels.copy()
    coloured.putpalette(_palette())
    coloured = coloured.convert("RGB")
    coloured.putalpha(levels.point(lambda level: min(2 * level, 255)))
    return coloured


def _palette() -> bytes:
    """Red, green and blue of all 256 levels, interleaved."""
    steps = np.linspace(0, 255, len(PLASMA))
    columns = [np.interp(np.arange(256), steps, column) for column in zip(*PLASMA, strict=True)]
    palette: NDArray[np.uint8] = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return palette.tobytes()
