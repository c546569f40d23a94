"""Drawn radiographs for the networks, and what a network says of them."""

import keras
import numpy as np
from PIL import Image

from contract.image import squash
from tests.drawings import chest


def pixels(count: int = 4) -> np.ndarray:
    """uint8 (count, 200, 200, 1), the more opaque the later."""
    return np.stack([squash(Image.fromarray(chest(seed, opacity=seed / count))) for seed in range(count)])


def probability(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    """float32 (n,), of a batch as ``pixels`` makes it."""
    return np.asarray(model(batch, training=False))[:, 0]
