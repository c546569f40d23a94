"""``compact``: a small residual network that sees anatomy, and as little as possible of how the image was acquired.

Each image is normalised to mean 0 and standard deviation 1, which removes exposure and contrast before the first
weight. Its side is halved by averaging, which removes most noise and compression blocks.

There is no batch normalisation; convolutions are standardised instead (Brock et al., arXiv:2101.08692). So a row's
result never depends on the other rows of its batch, training and serving compute the same, and bfloat16 training on a
CPU is three times as fast. The last feature maps are averaged and weighted once, which makes the class activation map
exact (Zhou et al., CVPR 2016): the contributions of all places add up to the log-odds.
"""

from typing import Any

import keras
from keras import layers, ops

from training.networks.names import LAYOUT, MAPS, PROBABILITY

Tensor = Any  # a symbolic Keras tensor; Keras ships no types for it

# Preserves the variance through a ReLU: sqrt(2 / (1 - 1/pi)).
RELU_GAIN = 1.7139588594436646
# Initial gain of each residual branch, so that an untrained network is near the identity.
_BRANCH = 0.2
_DROPOUT = 0.2


@keras.saving.register_keras_serializable("xray")
class PhotometricNormalisation(layers.Layer):
    """Normalises each image to mean 0 and standard deviation 1; a uniform image becomes all zeros."""

    # Variance floor: a standard deviation below 1 % of the grey scale is noise and must not be amplified.
    _FLOOR = 1e-4

    def call(self, image: Tensor) -> Tensor:
        """Float32 (n, h, w, 1) to the same shape."""
        mean = ops.mean(image, axis=(1, 2, 3), keepdims=True)
        variance = ops.mean(ops.square(image - mean), axis=(1, 2, 3), keepdims=True)
        return (image - mean) * ops.rsqrt(variance + self._FLOOR)


@keras.saving.register_keras_serializable("xray")
class StandardisedConv(layers.Layer):
    """A 2-D convolution whose kernels have mean 0 and variance 1 / fan-in (scaled weight standardisation).

    Args:
        filters: output channels.
        size: side of the kernel.
        strides: stride in both directions.
        gain: initial value of each filter's learnt gain.
    """

    def __init__(self, filters: int, size: int, strides: int = 1, gain: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.size, self.strides, self.initial_gain = filters, size, strides, gain

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the weights for (n, h, w, channels)."""
        self.kernel = self.add_weight(
            shape=(self.size, self.size, shape[-1], self.filters), initializer="he_normal", name="kernel"
        )
        self.gain = self.add_weight(
            shape=(self.filters,), initializer=keras.initializers.Constant(self.initial_gain), name="gain"
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def standardised(self) -> Tensor:
        """The kernel that is convolved with, float32."""
        kernel = ops.cast(self.kernel, "float32")
        mean = ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        fan_in = self.size * self.size * kernel.shape[2]
        variance = ops.mean(ops.square(kernel - mean), axis=(0, 1, 2), keepdims=True)
        scale = RELU_GAIN * ops.rsqrt(ops.maximum(variance * fan_in, 1e-4)) * ops.cast(self.gain, "float32")
        return (kernel - mean) * scale

    def call(self, maps: Tensor) -> Tensor:
        """Float (n, h, w, channels) to (n, h / strides, w / strides, filters)."""
        kernel = ops.cast(self.standardised(), maps.dtype)
        convolved = ops.conv(maps, kernel, strides=self.strides, padding="same", data_format="channels_last")
        return convolved + ops.cast(self.bias, maps.dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for saving."""
        own = {
            "filters": self.filters,
            "size": self.size,
            "strides": self.strides,
            "gain": self.initial_gain,
        }
        return {**super().get_config(), **own}


def convolutions(model: keras.Model) -> list[StandardisedConv]:
    """The convolutions of a network in the order in which they were made; ``model.layers`` is in another order."""
    found = [layer for layer in model.layers if isinstance(layer, StandardisedConv)]
    return sorted(found, key=lambda layer: int(layer.name.rpartition("_")[2]) if layer.name[-1].isdigit() else 0)


def compact(image: Tensor, width: float = 1) -> Tensor:
    """The network: (n, 200, 200, 1) in 0..1 to the probability of PNEUMONIA; its last maps are 25 x 25.

    Args:
        image: see above.
        width: factor of all channel counts, which must stay whole. Above 1 is for experiments, because it is too slow
            to serve on a CPU; below 1 is for tests.
    """
    stem, first, middle, deepest, last = (round(channels * width) for channels in (24, 64, 96, 160, 128))
    maps = layers.AveragePooling2D(2, dtype="float32")(image)
    maps = PhotometricNormalisation(dtype="float32")(maps)
    shallow = _basic(StandardisedConv(stem, 5, strides=2)(maps), first, strides=2)
    fine = bottleneck(shallow, middle)
    coarse = _basic(fine, deepest, strides=2)
    coarse = bottleneck(bottleneck(coarse, deepest), deepest)
    coarse = layers.Identity(name=LAYOUT)(coarse)
    maps = layers.ReLU(name=MAPS)(bottleneck(merged(layers.ReLU()(fine), layers.ReLU()(coarse), last), last))
    evidence = layers.Dropout(_DROPOUT)(layers.GlobalAveragePooling2D()(maps))
    return layers.Dense(1, activation="sigmoid", name=PROBABILITY, dtype="float32")(evidence)


def merged(fine: Tensor, coarse: Tensor, filters: int, gain: float = 1.0) -> Tensor:
    """Add the coarse 13 x 13 maps to the fine 25 x 25 maps (feature pyramid; Lin et al., arXiv:1612.03144)."""
    context = layers.UpSampling2D(2)(StandardisedConv(filters, 1, gain=gain)(coarse))
    context = layers.Cropping2D(((0, 1), (0, 1)))(context)
    return layers.Add()([context, StandardisedConv(filters, 1, gain=gain)(fine)])


def _basic(maps: Tensor, filters: int, strides: int = 1) -> Tensor:
    """A residual block of two 3 x 3 convolutions with a projection shortcut."""
    before = layers.ReLU()(maps)
    branch = StandardisedConv(filters, 3, strides)(before)
    branch = StandardisedConv(filters, 3, gain=_BRANCH)(layers.ReLU()(branch))
    return layers.Add()([_shortcut(maps, before, filters, strides), branch])


def bottleneck(maps: Tensor, filters: int) -> Tensor:
    """A residual block of a 3 x 3 convolution between two of 1 x 1, on half the channels."""
    before = layers.ReLU()(maps)
    branch = StandardisedConv(filters // 2, 1)(before)
    branch = StandardisedConv(filters // 2, 3)(layers.ReLU()(branch))
    branch = StandardisedConv(filters, 1, gain=_BRANCH)(layers.ReLU()(branch))
    return layers.Add()([_shortcut(maps, before, filters), branch])


def _shortcut(maps: Tensor, before: Tensor, filters: int, strides: int = 1) -> Tensor:
    """The maps unchanged, or their projection where resolution or channels change."""
    if strides == 1 and maps.shape[-1] == filters:
        return maps
    halved = layers.AveragePooling2D(strides, padding="same")(before) if strides > 1 else before
    return StandardisedConv(filters, 1)(halved)
