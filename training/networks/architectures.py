"""The networks. Adding one is adding one function, and its name to the table.

Each takes an image in 0..1 and gives the probability of PNEUMONIA: the specified ones (200, 200, 3), grey thrice;
``compact`` (200, 200, 1). ``build`` puts the input normalisation in front of it, so a model takes the pixels of the
image contract and nobody divides by 255 twice, or never.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
from keras import layers

from contract.image import SIDE
from training.networks.compact import compact
from training.networks.names import HIDDEN, MAPS, PROBABILITY

Tensor = Any  # a symbolic Keras tensor; Keras ships no types for it


def baseline(image: Tensor) -> Tensor:
    """One convolution, one pooling."""
    return _head(_pool(_conv(_colour(image), 32)))


def deep(image: Tensor) -> Tensor:
    """Five convolutions, each followed by pooling."""
    maps = _colour(image)
    for filters in (32, 64, 128, 256, 128):
        maps = _pool(_conv(maps, filters))
    return _head(maps)


def deep_stacked(image: Tensor) -> Tensor:
    """The other reading of ``deep``'s source: four convolutions between the first pooling and one last."""
    maps = _pool(_conv(_colour(image), 32))
    for filters in (64, 128, 256, 128):
        maps = _conv(maps, filters)
    return _head(_pool(maps))


ARCHITECTURES: dict[str, Callable[[Tensor], Tensor]] = {
    "baseline": baseline,
    "deep": deep,
    "deep-stacked": deep_stacked,
    "compact": compact,
    "compact-wide": partial(compact, width=2),
}


def _rescale(image: Tensor) -> Tensor:
    return layers.Rescaling(1 / 255, dtype="float32")(image)


def _l2(image: Tensor) -> Tensor:
    """``keras.utils.normalize(X, axis=1)`` on a batch: each column of each channel to unit length."""
    return layers.UnitNormalization(axis=1)(layers.Rescaling(1.0)(image))


def _none(image: Tensor) -> Tensor:
    return layers.Rescaling(1.0)(image)


# Only rescale is served; the others are for experiments.
NORMALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rescale": _rescale,
    "l2": _l2,
    "none": _none,
}


def build(architecture: str, normalisation: str) -> keras.Model:
    """A fresh network.

    Returns:
        input ``image`` uint8 (n, 200, 200, 1), output ``probability`` float32 (n, 1) in 0..1, of PNEUMONIA.
    """
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8", name="image")
    grey = NORMALISATIONS[normalisation](image)
    return keras.Model(image, ARCHITECTURES[architecture](grey), name=architecture.replace("-", "_"))


def _colour(grey: Tensor) -> Tensor:
    """The repetition of the grey channel that the specified networks were specified with."""
    return layers.Concatenate(name="three_channels")([grey, grey, grey])


def _conv(maps: Tensor, filters: int) -> Tensor:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_uniform")(maps)


def _pool(maps: Tensor) -> Tensor:
    return layers.MaxPooling2D(2)(maps)


def _head(maps: Tensor) -> Tensor:
    maps = layers.Identity(name=MAPS)(maps)
    hidden = layers.Dense(128, activation="relu", kernel_initializer="he_uniform", name=HIDDEN)(layers.Flatten()(maps))
    return layers.Dense(1, activation="sigmoid", name=PROBABILITY)(hidden)
