"""A rough lung segmentation, to measure whether a model relies on the lungs.

A healthy lung is the largest region of its half of the image that is darker than its surroundings; ``lung_mask`` finds
it. With pneumonia a lung need not be dark, so ``lung_atlas`` is used there: the place of most healthy lungs of the
population. Its error is measured against the masks of the healthy chests (``overlap``) and stated in the report.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contract.image import SIDE

Mask = NDArray[np.bool_]
# Pixels. The lungs are within this window, one in each half. The fine blur is wider than ribs, the coarse blur narrower
# than lungs.
_ROWS, _HALVES = slice(20, 172), (slice(14, 97), slice(103, 186))
_FINE, _COARSE = 2.0, 28.0
# Grey levels above the darkest 2 %; darker pixels are air beside the patient.
_AIR = 3
# The usual centre of a lung (y, and x from the nearer edge) and its spread.
_MIDDLE, _SPREAD = np.array([95, 58]), np.array([45, 30])
_SMALLEST, _LARGEST = 0.03, 0.25


def lung_mask(pixels: NDArray[np.uint8]) -> Mask | None:
    """Segment the two lungs of a healthy chest.

    Args:
        pixels: uint8 (200, 200).

    Returns:
        bool (200, 200); None if one half has no region of a lung's size.
    """
    dark, lungs = _dark(pixels), np.zeros(pixels.shape, bool)
    for half in _HALVES:
        inside = np.zeros(pixels.shape, bool)
        inside[:, half] = dark[:, half]
        labels, count = ndimage.label(inside)
        best = max((labels == number for number in range(1, count + 1)), key=_likeness, default=None)
        if best is None or not _SMALLEST < best.mean() < _LARGEST:
            return None
        lungs |= best
    closed: Mask = ndimage.binary_fill_holes(ndimage.binary_closing(lungs, iterations=5))
    return closed


def lung_atlas(healthy: NDArray[np.uint8]) -> tuple[Mask, float]:
    """The usual place of the lungs in a population.

    Args:
        healthy: uint8 (n, 200, 200), NORMAL images.

    Returns:
        bool (200, 200), the pixels that are lung in at least half of the images; and its mean overlap with each
        image's own mask, 0..1. An empty mask and 0 if no lungs are found.
    """
    masks = [mask for mask in map(lung_mask, healthy) if mask is not None]
    if not masks:
        return np.zeros((SIDE, SIDE), bool), 0.0
    atlas = np.mean(masks, axis=0) >= 0.5
    return atlas, float(np.mean([overlap(atlas, mask) for mask in masks]))


def around(atlas: Mask) -> Mask:
    """The area that may be lung, bool (200, 200): the atlas (the core of most lungs), dilated by 6 % of the side."""
    grown: Mask = ndimage.binary_dilation(atlas, iterations=int(0.06 * SIDE))
    return grown


def overlap(one: Mask, other: Mask) -> float:
    """Dice's coefficient of two masks, bool (200, 200): twice the common area over the sum of both, 0..1."""
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def in_places(atlas: Mask, places: int) -> NDArray[np.float64]:
    """The fraction of each place of a heatmap that is lung, (places, places)."""
    size = SIDE // places
    cut = size * places
    shares: NDArray[np.float64] = atlas[:cut, :cut].reshape(places, size, places, size).mean((1, 3))
    return shares


def _dark(pixels: NDArray[np.uint8]) -> Mask:
    """The pixels that are darker than their surroundings, are not air, and form areas wider than a gap between ribs."""
    grey = pixels.astype(np.float32)
    smooth = ndimage.gaussian_filter(grey, _FINE)
    relative = smooth - ndimage.gaussian_filter(grey, _COARSE)
    window = np.zeros(grey.shape, bool)
    window[_ROWS, _HALVES[0].start : _HALVES[1].stop] = True
    dark = window & (relative < _otsu(relative[window])) & (smooth > np.quantile(grey, 0.02) + _AIR)
    opened: Mask = ndimage.binary_opening(dark, iterations=3)
    return opened


def _likeness(region: Mask) -> float:
    """A score of how much a region resembles a lung: its size, weighted by its distance from the usual centre."""
    y, x = ndimage.center_of_mass(region)
    off = (np.array([y, min(x, SIDE - x)]) - _MIDDLE) / _SPREAD
    return float(region.sum() * np.exp(-np.square(off).sum()))


def _otsu(values: NDArray[np.float32]) -> float:
    """The threshold of greatest between-class variance (Otsu, IEEE Trans. SMC 1979)."""
    counts, edges = np.histogram(values, 64)
    middles = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts)[:-1], counts.sum() - np.cumsum(counts)[:-1]
    total = np.cumsum(counts * middles)[:-1]
    apart = total / np.maximum(below, 1) - ((counts * middles).sum() - total) / np.maximum(above, 1)
    return float(edges[1:-1][np.argmax(below * above * apart**2)])
