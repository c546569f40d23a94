"""Batches of images in an order that depends on seed and epoch alone: a resumed run sees what it would have seen."""

import math

import keras
import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset


class Batches(keras.utils.PyDataset):
    """The images of a dataset in batches, shuffled anew each epoch.

    Args:
        data: the images; they stay uint8 until the network's first layer.
        batch: images a batch; the last of an epoch may be smaller.
        seed: of the order.
        epoch: the first epoch to come, counted from 0.
    """

    def __init__(self, data: Dataset, batch: int, seed: int, epoch: int = 0) -> None:
        super().__init__()
        self._pixels, self._labels = data.pixels, data.labels
        self._batch, self._seed, self._epoch = batch, seed, epoch
        self._order = self._shuffled()

    def __len__(self) -> int:
        return math.ceil(len(self._labels) / self._batch)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        rows = self._order[index * self._batch : (index + 1) * self._batch]
        return self._pixels[rows], self._labels[rows]

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.intp]:
        return np.random.default_rng((self._seed, self._epoch)).permutation(len(self._labels))
