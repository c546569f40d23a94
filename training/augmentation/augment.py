"""Augmentation: in each epoch every image looks as if another machine and operator had taken it.

The kinds of change are those of the stress suite (training.evaluation.stress), whose strongest gamma and contrast lie
outside the ranges here. Histogram, sharpness, noise, compression and aspect ratio differ between the classes of the
public set. The augmentation breaks these correlations: an image takes the histogram of a random image of either class,
is stretched in either direction, and is blurred or sharpened regardless of how sharp it was.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.augmentation.shifts import (
    Pixels,
    affine,
    blur,
    cdf,
    collimate,
    contrast,
    erase,
    gamma,
    jpeg,
    marker,
    match_histogram,
    noise,
    resolution,
    sharpen,
)

_MARKERS = ("L", "R", "l", "r", "R.", "AP", "PORT")
_PER_CLASS = 1000

Augment = Callable[[Pixels, np.random.Generator], Pixels]


def unchanged(pixels: Pixels, _: np.random.Generator) -> Pixels:
    """No augmentation."""
    return pixels


def acquisition(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Augment:
    """Augmentation by acquisition, with the histograms of these training images, as many of one class as of the other.

    Args:
        pixels: uint8, shape (n, 200, 200, 1).
        labels: shape (n,), 1 for PNEUMONIA.
    """
    histograms = _balanced_histograms(pixels, labels)

    def augment(image: Pixels, rng: np.random.Generator) -> Pixels:
        return _file(_detector(_exposure(_position(image, rng), histograms, rng), rng), rng)

    return augment


def slight(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary what differs between two good images of one department: position, size, exposure, sharpness, noise. Takes
    and returns uint8 (200, 200).
    """
    image = affine(
        image,
        rotation=rng.uniform(-6, 6),
        zoom_x=np.exp(rng.uniform(-0.12, 0.12)),
        zoom_y=np.exp(rng.uniform(-0.12, 0.12)),
        shift_x=rng.uniform(-0.05, 0.05),
        shift_y=rng.uniform(-0.05, 0.05),
    )
    if _chance(rng, 0.5):
        image = gamma(image, np.exp(rng.uniform(-0.4, 0.4)))
    if _chance(rng, 0.3):
        image = blur(image, rng.uniform(0, 1.5))
    if _chance(rng, 0.3):
        image = noise(image, rng.uniform(0, 8), rng)
    return image


def _balanced_histograms(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Cumulative histograms in one array, shape (n, 256), which is cheap to send to worker processes."""
    per_class = min(_PER_CLASS, *(int((labels == label).sum()) for label in (0, 1)))
    rows = [row for label in (0, 1) for row in np.flatnonzero(labels == label)[:per_class]]
    return np.stack([cdf(pixels[row]) for row in rows])


def _position(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Vary the patient's position. Half of the images are mirrored: the side the heart is on must not matter."""
    return affine(
        image,
        rotation=rng.uniform(-10, 10),
        zoom_x=np.exp(rng.uniform(-0.22, 0.22)),
        zoom_y=np.exp(rng.uniform(-0.18, 0.18)),
        shift_x=rng.uniform(-0.08, 0.08),
        shift_y=rng.uniform(-0.08, 0.08),
        shear=rng.uniform(-0.08, 0.08),
        fill=int(rng.uniform(0, 60)) if _chance(rng, 0.5) else 0,
        flip=_chance(rng, 0.5),
    )


def _exposure(image: Pixels, histograms: NDArray[np.float64], rng: np.random.Generator) -> Pixels:
    if _chance(rng, 0.5):
        image = match_histogram(image, histograms[rng.integers(len(histograms))], rng.uniform(0.4, 1))
    if _chance(rng, 0.6):
        image = gamma(image, np.exp(rng.uniform(-0.5, 0.5)))
    if _chance(rng, 0.6):
        image = contrast(image, np.exp(rng.uniform(-0.4, 0.3)), rng.uniform(-40, 40))
    return image


def _detector(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Blur or sharpen, never both; add noise."""
    kind = rng.choice(4, p=(0.4, 0.15, 0.135, 0.315))
    if kind == 0:
        image = blur(image, rng.uniform(0.3, 2.2))
    elif kind == 1:
        image = sharpen(image, rng.uniform(0.3, 1.5))
    elif kind == 2:
        image = resolution(image, int(rng.uniform(56, 160)))
    if _chance(rng, 0.35):
        image = noise(image, rng.uniform(2, 16), rng, coarse=_chance(rng, 0.5))
    return image


def _file(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Change what happens after acquisition: compression, collimation, text markers, covered areas."""
    if _chance(rng, 0.35):
        image = jpeg(image, int(rng.uniform(15, 80)))
    if _chance(rng, 0.25):
        left, top, right, bottom = rng.uniform(0, 0.12, 4) * (rng.random(4) < 0.5)
        image = collimate(image, left, top, right, bottom, int(rng.uniform(0, 30)))
    if _chance(rng, 0.25):
        value = int(rng.uniform(180, 256)) if _chance(rng, 0.8) else 0
        x, y = rng.uniform(0, 0.9, 2)
        image = marker(image, str(rng.choice(_MARKERS)), x, y, int(rng.uniform(8, 28)), value)
    for _ in range(rng.integers(1, 4) if _chance(rng, 0.3) else 0):
        x, y, width, height = rng.uniform((0, 0, 0.05, 0.05), (0.8, 0.8, 0.25, 0.25))
        image = erase(image, x, y, width, height, int(rng.integers(0, 256)))
    return image


def _chance(rng: np.random.Generator, share: float) -> bool:
    return bool(rng.random() < share)
