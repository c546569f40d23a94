"""The colours of a heatmap: plasma, which stays in order for every kind of colour vision, and in print without colour.

Plasma is by Nathaniel Smith and Stéfan van der Walt, in the public domain (CC0), as in matplotlib's ``_cm_listed.py``.
Its lightness only ever rises, so the order of two places does not hang on hue; and none of it is grey, so that it
stands out from a radiograph (the middle of cividis would not). ``page/style.css`` repeats the nine colours.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# At 0, 1/8, ... 1. Between them the straight line lies within 5 of 255 levels of the whole table.
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


def veil(evidence: NDArray[np.float32], size: tuple[int, int] | None = None) -> Image.Image:
    """The heatmap as a picture to lie over a radiograph: no evidence is transparent, a half or more opaque.

    Args:
        evidence: float32 (h, w), 0..1.
        size: width and height in pixels; between the places it is smooth. None: one pixel a place.

    Returns:
        a picture of mode "RGBA".
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
    """Red, green and blue of all 256 levels."""
    steps = np.linspace(0, 255, len(PLASMA))
    columns = [np.interp(np.arange(256), steps, column) for column in zip(*PLASMA, strict=True)]
    palette: NDArray[np.uint8] = np.rint(np.stack(columns, axis=1)).astype(np.uint8)
    return palette.tobytes()
