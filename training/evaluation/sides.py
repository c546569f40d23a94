"""Whether heatmaps are on the side that is ill, where nobody has marked it: in pictures of which one half is NORMAL."""

import numpy as np
from numpy.typing import NDArray

from contract.bundle import HEATMAP, Measured
from contract.image import SIDE
from training.data.dataset import Dataset
from training.evaluation.assess import graph_output
from training.evaluation.evaluate import in_batches
from training.evaluation.metrics import Scores, mean

_SEED = 0
# The halves pass into each other over this many pixels, around the middle: about the width of a spine.
_SEAM = 20


def pointed_side(graph: bytes, data: Dataset) -> Measured | None:
    """The fraction of half-ill pictures with more evidence in the ill half, with its interval by patient.

    Each PNEUMONIA image gives two pictures, of its left half and of its right one, with the other half of a NORMAL
    image of the same data. Where only one lung is ill, one of the two has no ill half, so that 1 cannot be reached.

    Args:
        graph: of a bundle.
        data: images of one population.

    Returns:
        None if the data lack one of the classes.
    """
    sick = data.rows(row.name for row in data.radiographs if row.label)
    well = data.pixels[data.labels == 0]
    if not len(sick.pixels) or not len(well):
        return None
    partners = well[np.random.default_rng(_SEED).integers(len(well), size=len(sick.pixels))]
    heatmaps = graph_output(graph, HEATMAP)
    ill_left = in_batches(heatmaps, half_and_half(sick.pixels, partners))
    ill_right = in_batches(heatmaps, half_and_half(partners, sick.pixels))
    pointed = [_more_on_the_left(ill_left) > 0, _more_on_the_left(ill_right) < 0]
    return mean(Scores.of(sick, np.zeros(len(sick.pixels), np.float32)), np.mean(pointed, axis=0))


def half_and_half(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures with the left half of one image and the right half of another.

    Mean and standard deviation of the second image are made those of the first, so that brightness tells no half apart.

    Args:
        left: uint8 (n, 200, 200, 1).
        right: the same shape.

    Returns:
        uint8 (n, 200, 200, 1).
    """
    first, second = left.astype(np.float32), right.astype(np.float32)
    spread = first.std((1, 2), keepdims=True) / np.maximum(second.std((1, 2), keepdims=True), 1)
    second = (second - second.mean((1, 2), keepdims=True)) * spread + first.mean((1, 2), keepdims=True)
    ramp = np.clip((np.arange(SIDE, dtype=np.float32) - (SIDE - _SEAM) / 2) / _SEAM, 0, 1)[:, np.newaxis]
    return np.clip(np.rint(first * (1 - ramp) + second * ramp), 0, 255).astype(np.uint8)


def _more_on_the_left(maps: NDArray[np.float32]) -> NDArray[np.float64]:
    """How much more evidence the left half of each heatmap, (n, h, w), has than the right one, (n,)."""
    half = maps.shape[2] // 2
    left, right = (part.sum((1, 2), np.float64) for part in (maps[:, :, :half], maps[:, :, -half:]))
    return np.asarray(left - right)
