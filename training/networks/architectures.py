"""The networks. To add one, write one function and put its name into ``ARCHITECTURES``.

Each function takes an image in 0..1 of shape (200, 200, 1) and returns the probability of PNEUMONIA. The specified
networks repeat the grey channel to (200, 200, 3) themselves. ``build`` puts the input normalisation in front, so that a
model takes the pixels of the image contract and the division by 255 is neither forgotten nor done twice.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from contract.image import SIDE
from training.networks.compact import compact
from training.networks.efficientnet import efficientnet_lite, load_weights
from training.networks.names import HIDDEN, MAPS, PROBABILITY

Tensor = Any  # a symbolic Keras tensor; Keras ships no types for it


def baseline(image: Tensor) -> Tensor:
    """One convolution and one pooling layer."""
    return _head(_pool(_conv(_colour(image), 32)))


def deep(image: Tensor, channels: Sequence[int] = (32, 64, 128, 256, 128)) -> Tensor:
    """Five convolutions, each followed by a pooling layer. Other channel counts than the specified are for tests."""
    maps = _colour(image)
    for filters in channels:
        maps = _pool(_conv(maps, filters))
    return _head(maps)


def deep_stacked(image: Tensor) -> Tensor:
    """The other interpretation of ``deep``'s specification: four convolutions between a first and a last pooling."""
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
    "efficientnet-lite": efficientnet_lite,
}
# Networks that begin with the weights of another task, and what sets them.
PRETRAINED: dict[str, Callable[[keras.Model], None]] = {"efficientnet-lite": load_weights}


def _rescale(image: Tensor) -> Tensor:
    return layers.Rescaling(1 / 255, dtype="float32")(image)


def _l2(image: Tensor) -> Tensor:
    """``keras.utils.normalize(X, axis=1)`` on a batch: scales each column of each channel to unit length."""
    return layers.UnitNormalization(axis=1)(layers.Rescaling(1.0)(image))


def _none(image: Tensor) -> Tensor:
    return layers.Rescaling(1.0)(image)


# Only "rescale" can be exported and served; the others are for experiments.
NORMALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "rescale": _rescale,
    "l2": _l2,
    "none": _none,
}


def build(architecture: str, normalisation: str) -> keras.Model:
    """Build a network as it is before its first step of training.

    Returns:
        a model with input ``image``, uint8 (n, 200, 200, 1), and output ``probability`` of PNEUMONIA, float32 (n, 1),
        0..1.
    """
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8", name="image")
    grey = NORMALISATIONS[normalisation](image)
    model = keras.Model(image, ARCHITECTURES[architecture](grey), name=architecture.replace("-", "_"))
    if architecture in PRETRAINED:
        PRETRAINED[architecture](model)
    return model


def _colour(grey: Tensor) -> Tensor:
    """Repeat the grey channel three times, as the networks' specification requires."""
    return layers.Concatenate(name="three_channels")([grey, grey, grey])


def _conv(maps: Tensor, filters: int) -> Tensor:
    return layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_uniform")(maps)


def _pool(maps: Tensor) -> Tensor:
    return layers.MaxPooling2D(2)(maps)


def _head(maps: Tensor) -> Tensor:
    maps = layers.Identity(name=MAPS)(maps)
    hidden = layers.Dense(128, activation="relu", kernel_initializer="he_uniform", name=HIDDEN)(layers.Flatten()(maps))
    return layers.Dense(1, activation="sigmoid", name=PROBABILITY)(hidden)
