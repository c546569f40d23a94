"""The images of an epoch, batch by batch, in an order and with augmentations that depend on the seed alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from training.augment import Augment, unchanged
from training.dataset import Dataset

# Pixels uint8 (n, 200, 200, 1) and labels (n,).
Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def shuffled_batches(data: Dataset, batch: int, seed: tuple[int, int], augment: Augment = unchanged) -> Iterator[Batch]:
    """All images of a dataset, uint8 until the network's first layer; the next batch is made while one is used.

    Args:
        data: the images.
        batch: images a batch; the last may be smaller.
        seed: of the run, and the number of the epoch, so that a resumed run sees what it would have seen.
        augment: what is done to each image.
    """
    order = np.random.default_rng(seed).permutation(len(data.labels))

    def made(start: int) -> Batch:
        rng = np.random.default_rng((*seed, start))
        rows = order[start : start + batch]
        return np.stack([augment(data.pixels[row, :, :, 0], rng) for row in rows])[..., np.newaxis], data.labels[rows]

    starts = range(0, len(order), batch)
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(made, 0)
        for following in (*starts[1:], None):
            ready = coming.result()
            if following is not None:
                coming = thread.submit(made, following)
            yield ready


def batches_in_order(data: Dataset, batch: int) -> Iterator[Batch]:
    """All images of a dataset as they are, in their order."""
    for start in range(0, len(data.labels), batch):
        yield data.pixels[start : start + batch], data.labels[start : start + batch]
