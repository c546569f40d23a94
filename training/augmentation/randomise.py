"""Domain randomisation: each image of a batch looks as if another hospital had taken it; runs on a GPU if there is one.

It does with Keras operations, for a whole batch, what ``augment`` does image by image on CPUs, with wider ranges and
more kinds: regional tone curves (as in the processing of detectors), overlays (``overlays``), and the mean of two
images of one label from two populations (Yao et al., LISA, ICML 2022), which blurs what differs between the populations
but not between the labels; and the borders of one image around the chest of another, whatever their labels, so that
nothing at a border predicts a label. After Tobin et al., arXiv:1703.06907.

A batch is a pure function of the images and of random numbers from NumPy; apart from rounding, all backends give the
same result.
"""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from contract.image import SIDE
from training.augmentation.kinds import Draws, Tensor, covered, jpeg, match, position, sharpness, tone
from training.augmentation.overlays import draw_overlays
from training.augmentation.shifts import cdf
from training.data.dataset import Dataset

# Random numbers per image.
NUMBERS = 64
_LOOKS_PER_CELL = 250
_OVERLAYS = 512
_FIELD = 2 * SIDE
# Borders that are exchanged: widths as fractions of the side, and the pixels over which one image becomes the other.
_WIDTHS, _SEAM = (0.05, 0.15), 8


def looks(train: Dataset) -> NDArray[np.float32]:
    """Cumulative histograms (n, 256) to choose from, up to 250 of each population and label."""
    cells = [np.flatnonzero(rows) for rows in _cells(train)]
    return np.stack([cdf(train.pixels[row]) for rows in cells for row in rows[:_LOOKS_PER_CELL]]).astype(np.float32)


def partners(populations: NDArray[Any], labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.int32]:
    """For each row of a batch, int32 (n,), a random row of the same label and another population, or itself."""
    found = np.arange(len(labels), dtype=np.int32)
    for row in range(len(labels)):
        others = np.flatnonzero((labels == labels[row]) & (populations != populations[row]))
        if len(others):
            found[row] = rng.choice(others)
    return found


def widths(count: int, exchanged: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """The widths of the borders (left, top, right, bottom) that come from another image, as fractions of the side:
    float32 (count, 4), all 0 but for the fraction ``exchanged`` of rows.
    """
    if not exchanged:
        return np.zeros((count, 4), np.float32)  # and draws nothing: runs without are what they were
    chosen = rng.random((count, 1)) < exchanged
    return (chosen * rng.uniform(*_WIDTHS, (count, 4))).astype(np.float32)


def randomiser(reference: NDArray[np.float32], seed: int) -> keras.Model:
    """Build the randomisation of batches as a model without weights.

    Args:
        reference: from ``looks``.
        seed: of the overlays and the noise.

    Returns:
        inputs uint8 (n, 200, 200, 1); float32 (n, NUMBERS) of 0..1; int32 (n,), each row's partner; float32 (n,), its
        own share of the mean of both; float32 (n, 4), the widths of the borders that it has from the row before it.
        Output uint8 (n, 200, 200, 1).
    """
    pixels = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    numbers, partner, share = keras.Input((NUMBERS,)), keras.Input((), dtype="int32"), keras.Input(())
    inputs = [pixels, numbers, partner, share, keras.Input((4,))]
    return keras.Model(inputs, _Randomise(reference, seed)(*inputs))


class _Randomise(keras.layers.Layer):
    """All changes in the order in which they happen to an image: patient, detector, processing, file."""

    def __init__(self, reference: NDArray[np.float32], seed: int) -> None:
        super().__init__(dtype="float32")
        rng = np.random.default_rng(seed)
        fine = rng.standard_normal((_FIELD, _FIELD), np.float32)
        coarse = np.kron(rng.standard_normal((_FIELD // 2, _FIELD // 2), np.float32), np.ones((2, 2), np.float32))
        self._noise = np.stack([fine, coarse]).reshape(2, -1)
        self._reference, self._overlays = reference, draw_overlays(_OVERLAYS, seed)

    def call(self, pixels: Tensor, numbers: Tensor, partner: Tensor, share: Tensor, borders: Tensor) -> Tensor:
        """See ``randomiser``."""
        draws = Draws(numbers)
        image = position(_exchanged(ops.cast(pixels, "float32"), borders), draws)
        image = match(image, ops.take(self._reference, draws.index(len(self._reference)), axis=0), draws)
        image = tone(image, draws)
        mix = ops.reshape(share, (-1, 1, 1, 1))
        image = mix * image + (1 - mix) * ops.take(image, partner, axis=0)
        image = self._grain(sharpness(image, draws), draws)
        image = self._overlaid(jpeg(image, draws), draws)
        return ops.cast(ops.round(ops.clip(covered(image, draws), 0, 255)), "uint8")

    def compute_output_spec(self, pixels: Tensor, *_: Tensor) -> keras.KerasTensor:
        """The same as that of the input images."""
        return keras.KerasTensor(pixels.shape, "uint8")

    def _grain(self, image: Tensor, draws: Draws) -> Tensor:
        """Add noise with a standard deviation of 2 to 14 grey levels and a grain of one or two pixels."""
        rows, columns = (draws.index(_FIELD - SIDE)[:, None] + ops.arange(SIDE) for _ in range(2))
        places = ops.reshape(rows[:, :, None] * _FIELD + columns[:, None, :], (-1, SIDE, SIDE, 1))
        fine, coarse = (ops.take(field, places) for field in self._noise)
        kind = draws.chance(0.5)
        sigma = draws.chance(0.4) * draws.between(2, 14)
        return image + sigma * (kind * fine + (1 - kind) * coarse)

    def _overlaid(self, image: Tensor, draws: Draws) -> Tensor:
        mask = ops.take(self._overlays, draws.index(len(self._overlays)), axis=0)
        opacity = ops.cast(mask, "float32")[..., None] / 255 * draws.chance(0.45) * draws.between(0.4, 1)
        level = 255 * (draws.chance(0.9) * draws.between(0.6, 1))
        return image + opacity * (level - image)


def _exchanged(image: Tensor, borders: Tensor) -> Tensor:
    """Each image within these borders, and outside of them the one before it. Chests have not been moved yet."""
    place = ops.cast((np.arange(SIDE) + 0.5) / SIDE, "float32")
    left, top, right, bottom = (ops.reshape(borders[:, side], (-1, 1, 1, 1)) for side in range(4))
    across, down = ops.reshape(place, (1, 1, SIDE, 1)), ops.reshape(place, (1, SIDE, 1, 1))
    deep = ops.minimum(ops.minimum(across - left, 1 - right - across), ops.minimum(down - top, 1 - bottom - down))
    own = ops.clip(1 + deep * (SIDE / _SEAM), 0, 1)
    return own * image + (1 - own) * ops.roll(image, 1, axis=0)


def _cells(train: Dataset) -> list[NDArray[np.bool_]]:
    populations, labels = train.populations, train.labels
    return [(populations == name) & (labels == label) for name in np.unique(populations) for label in (0, 1)]
