"""Probes (input ablations): how well a model still separates the classes when the lungs cannot be seen.

The images are held-out ones from which information was removed; nothing is trained. The AUC of a model that relies on
the lungs should fall towards 0.5; a model that stays above relies on something else. The controls of the same name show
what the data offers. Each probe takes and returns one image, uint8 (200, 200), like training.augmentation.shifts.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contract.image import SIDE
from training.augmentation import shifts
from training.augmentation.shifts import Pixels
from training.data.dataset import Dataset
from training.evaluation.controls import Control
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import auc
from training.evaluation.stress import Draw, Shift, apply_shift

_PATCH = 25  # pixels a side
_BLUR = 12  # pixels, standard deviation
_BRIGHT = 40  # grey levels


def border_only(pixels: Pixels, _: Draw) -> Pixels:
    """Keep the outer 10 % on each side; the rest becomes the image's mean grey."""
    return shifts.erase(pixels, 0.1, 0.1, 0.8, 0.8, value=_mean(pixels))


def centre_only(pixels: Pixels, _: Draw) -> Pixels:
    """Keep the middle half in each direction; the rest becomes the image's mean grey."""
    return shifts.collimate(pixels, 0.25, 0.25, 0.25, 0.25, value=_mean(pixels))


def blurred_only(pixels: Pixels, _: Draw) -> Pixels:
    """Blur with a standard deviation of 12 pixels: no vessel, rib or edge is left."""
    return shifts.blur(pixels, _BLUR)


def shuffled_patches(pixels: Pixels, draw: Draw) -> Pixels:
    """Put the 64 squares of 25 x 25 pixels into a random order, a different one for each image."""
    count = SIDE // _PATCH
    tiles = pixels.reshape(count, _PATCH, count, _PATCH).swapaxes(1, 2).reshape(-1, _PATCH, _PATCH)
    mixed = tiles[draw.rng.permutation(len(tiles))].reshape(count, count, _PATCH, _PATCH)
    return np.ascontiguousarray(mixed.swapaxes(1, 2).reshape(SIDE, SIDE))


def corners_only(pixels: Pixels, _: Draw) -> Pixels:
    """The four corners, a fifth of each side; the rest is the image's mean grey."""
    cross, edge = np.full_like(pixels, _mean(pixels)), SIDE // 5
    for rows in (slice(None, edge), slice(-edge, None)):
        for columns in (slice(None, edge), slice(-edge, None)):
            cross[rows, columns] = pixels[rows, columns]
    return cross


def without_bright_details(pixels: Pixels, _: Draw) -> Pixels:
    """Text, markers, wires: what is brighter by 40 grey levels than all 9 x 9 squares that it lies in is taken off."""
    opened = ndimage.grey_opening(pixels, size=(9, 9))
    return np.where(pixels.astype(int) - opened > _BRIGHT, opened, pixels)


def without_lungs(atlas: NDArray[np.bool_]) -> Shift:
    """The place of the lungs at the mean grey of the image."""
    return lambda pixels, _: np.where(atlas, np.uint8(_mean(pixels)), pixels)


def even_grey(pixels: Pixels, _: Draw) -> Pixels:
    """Replace every pixel by the image's mean grey."""
    return np.full_like(pixels, _mean(pixels))


PROBES: dict[str, Shift] = {
    "mean intensity": even_grey,
    "border, the outer 10 %": border_only,
    "corners, a fifth of each side": corners_only,
    "centre, half of each side": centre_only,
    "blurred, 12 pixels": blurred_only,
    "shuffled patches, 8 x 8": shuffled_patches,
}


def probe(
    predict: Predict, held_out: Dataset, measured_on: str, further: dict[str, Shift] | None = None
) -> list[Control]:
    """Measure the model's AUC on held-out images under each probe; the images are the same in each call."""
    return [
        Control(sees=name, auc=auc(score(predict, apply_shift(ablate, held_out, seed=0))), measured_on=measured_on)
        for name, ablate in {**PROBES, **(further or {})}.items()
    ]


def _mean(pixels: Pixels) -> int:
    return round(float(pixels.mean()))
