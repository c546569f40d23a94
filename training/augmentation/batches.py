"""The batches of an epoch. Their order and augmentations depend on the seed alone."""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
from joblib import Parallel, cpu_count, delayed
from numpy.typing import NDArray

from training.augmentation.augment import Augment, unchanged
from training.augmentation.randomise import NUMBERS, partners, widths
from training.data.dataset import Dataset


class Batch(NamedTuple):
    """Pixels uint8 (n, 200, 200, 1), labels or targets of 0..1 (n,), and which rows of the dataset they are, (n,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8] | NDArray[np.floating]
    rows: NDArray[np.int64]


# With fewer CPUs the network uses them all, and worker processes would cost more than they save.
_CPUS_FOR_PROCESSES = 4


def shuffled_batches(data: Dataset, batch: int, seed: tuple[int, int], augment: Augment = unchanged) -> Iterator[Batch]:
    """Yield all images of a dataset in random order; the next batches are prepared while one is trained on.

    Pixels stay uint8 until the network's first layer. Augmentation takes about 2 ms per image, more than a GPU needs
    to train on it, so it runs on all CPUs.

    Args:
        data: the images.
        batch: images per batch; the last batch may be smaller.
        seed: the run's seed and the epoch's number, so that a resumed run gets the batches it would have got.
        augment: applied to each image; must be picklable, because worker processes run it.
    """
    labels = data.labels
    order = np.random.default_rng(seed).permutation(len(labels))
    starts = range(0, len(order), batch)
    rows = [order[start : start + batch] for start in starts]
    made = _workers(augment)(
        delayed(_augmented)(data.pixels[at], augment, (*seed, start)) for at, start in zip(rows, starts, strict=True)
    )
    try:
        for at, pixels in zip(rows, made, strict=True):
            yield Batch(pixels, labels[at], at)
    finally:  # when an epoch is interrupted, joblib's warning about unused results helps nobody
        with warnings.catch_warnings(action="ignore"):
            made.close()


def _workers(augment: Augment) -> Parallel:
    """Processes if images are augmented and there are enough CPUs, otherwise threads. Results come in order.

    Images are sent through pipes, because the shared memory that joblib would use is only 64 MB in a container.
    """
    cpus = cpu_count()
    backend = "threading" if augment is unchanged or cpus < _CPUS_FOR_PROCESSES else "loky"
    return Parallel(max(2, cpus - 1), backend, return_as="generator", batch_size=1, max_nbytes=None)


def _augmented(pixels: NDArray[np.uint8], augment: Augment, seed: tuple[int, ...]) -> NDArray[np.uint8]:
    """Augment one batch. The result depends on the arguments alone."""
    rng = np.random.default_rng(seed)
    return np.stack([augment(image, rng) for image in pixels[..., 0]])[..., np.newaxis]


def batches_in_order(data: Dataset, batch: int) -> Iterator[Batch]:
    """Yield all images of a dataset unchanged, in the dataset's order."""
    for start in range(0, len(data.labels), batch):
        rows = np.arange(start, min(start + batch, len(data.labels)))
        yield Batch(data.pixels[rows], data.labels[rows], rows)


def randomised_batches(  # noqa: PLR0913  the last two are fractions of the images
    data: Dataset, batch: int, seed: tuple[int, int], randomiser: keras.Model, *, mixed: float, exchanged: float
) -> Iterator[Batch]:
    """Like ``shuffled_batches``, but each batch is randomised as a whole, and all batches have one size.

    The images left over at the end are not used in this epoch; the next epoch leaves out others.

    Args:
        data: the images.
        batch: images per batch; a smaller dataset is one batch.
        seed: the run's seed and the epoch's number.
        randomiser: from ``training.augmentation.randomise.randomiser``.
        mixed: the fraction of images that become the mean of two.
        exchanged: the fraction of images whose borders come from another.
    """
    rng, labels, populations = np.random.default_rng(seed), data.labels, data.populations
    order, size = rng.permutation(len(labels)), min(batch, len(labels))
    for start in range(0, len(order) - size + 1, size):
        rows = order[start : start + size]
        numbers = rng.random((size, NUMBERS), np.float32)
        partner = partners(populations[rows], labels[rows], rng)
        share = np.where(rng.random(size) < mixed, rng.uniform(0.5, 1, size), 1).astype(np.float32)
        inputs = [data.pixels[rows], numbers, partner, share, widths(size, exchanged, rng)]
        pixels = randomiser.predict_on_batch(inputs)
        yield Batch(np.asarray(pixels), labels[rows], rows)
