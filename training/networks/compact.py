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
# Variance floor: a standard deviation below 1 % of the grey scale is noise and must not be amplified.
_FLOOR = 1e-4
# Blocks that ``compact-fine`` has more than ``compact`` begin with these words.
ADDED = "added"


@keras.saving.register_keras_serializable("xray")
class PhotometricNormalisation(layers.Layer):
    """Normalises each image to mean 0 and standard deviation 1; a uniform image becomes all zeros."""

    def call(self, image: Tensor) -> Tensor:
        """Float32 (n, h, w, 1) to the same shape."""
        mean = ops.mean(image, axis=(1, 2, 3), keepdims=True)
        variance = ops.mean(ops.square(image - mean), axis=(1, 2, 3), keepdims=True)
        return (image - mean) * ops.rsqrt(variance + _FLOOR)


@keras.saving.register_keras_serializable("xray")
class FinePhotometricNormalisation(layers.Layer):
    """``PhotometricNormalisation`` of the half-size image, applied to all four pixels of each 2 x 2 square, which become
    channels: a network behind it sees the full resolution at half the side.
    """

    def call(self, image: Tensor) -> Tensor:
        """Float32 (n, h, w, 1) to (n, h / 2, w / 2, 4)."""
        height, width = image.shape[1:3]
        squares = ops.reshape(image, (-1, height // 2, 2, width // 2, 2))
        pixels = ops.reshape(ops.transpose(squares, (0, 1, 3, 2, 4)), (-1, height // 2, width // 2, 4))
        half = ops.mean(pixels, axis=-1, keepdims=True)
        mean = ops.mean(half, axis=(1, 2, 3), keepdims=True)
        variance = ops.mean(ops.square(half - mean), axis=(1, 2, 3), keepdims=True)
        return (pixels - mean) * ops.rsqrt(variance + _FLOOR)


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


def compact(image: Tensor, width: int = 1) -> Tensor:
    """The network: (n, 200, 200, 1) in 0..1 to the probability of PNEUMONIA; its last maps are 25 x 25.

    Args:
        image: see above.
        width: factor of all channel counts. Above 1 is for experiments, because it is too slow to serve on a CPU.
    """
    maps = layers.AveragePooling2D(2, dtype="float32")(image)
    return _behind(PhotometricNormalisation(dtype="float32")(maps), width)


def compact_fine(image: Tensor) -> Tensor:
    """``compact`` that sees every pixel, and with three more blocks at 13 x 13: 0.48 GFLOP. Its additions can begin as
    nothing, so that it starts from ``compact``'s weights (``start_from``).
    """
    return _behind(FinePhotometricNormalisation(dtype="float32")(image), 1, added=3)


def convolutions(model: keras.Model) -> list[StandardisedConv]:
    """The standardised convolutions of a network in the order in which they were made, without added ones."""
    found = [layer for layer in model.layers if isinstance(layer, StandardisedConv) and ADDED not in layer.name]
    return sorted(found, key=lambda layer: int(layer.name.rpartition("_")[2]) if layer.name[-1].isdigit() else 0)


def start_from(model: keras.Model, weights: keras.Model) -> None:
    """Set a network's weights to those of another. A ``compact-fine`` then computes what a ``compact`` does.

    Raises:
        ValueError: the networks are of other kinds.
    """
    if len(model.layers) == len(weights.layers):
        return model.set_weights(weights.get_weights())
    for source, target in zip(convolutions(weights), convolutions(model), strict=True):
        kernel, gain, bias = source.get_weights()
        if kernel.shape != tuple(target.kernel.shape):  # the first layer: four pixels for their mean
            kernel, gain = kernel.repeat(4, axis=2), gain / 2
        target.set_weights([kernel, gain, bias])
    for layer in model.layers:
        if ADDED in layer.name and layer.name.endswith("out"):
            layer.gain.assign(ops.zeros_like(layer.gain))
    return model.get_layer(PROBABILITY).set_weights(weights.get_layer(PROBABILITY).get_weights())


def _behind(maps: Tensor, width: int, added: int = 0) -> Tensor:
    """Normalised maps of 100 x 100 to the probability."""
    shallow = _basic(StandardisedConv(24 * width, 5, strides=2)(maps), 64 * width, strides=2)
    fine = _bottleneck(shallow, 96 * width)
    coarse = _basic(fine, 160 * width, strides=2)
    coarse = _bottleneck(_bottleneck(coarse, 160 * width), 160 * width)
    for number in range(added):
        coarse = _bottleneck(coarse, 160 * width, f"{ADDED}_{number}")
    coarse = layers.Identity(name=LAYOUT)(coarse)
    maps = layers.ReLU(name=MAPS)(_bottleneck(_merged(fine, coarse, 128 * width), 128 * width))
    evidence = layers.Dropout(_DROPOUT)(layers.GlobalAveragePooling2D()(maps))
    return layers.Dense(1, activation="sigmoid", name=PROBABILITY, dtype="float32")(evidence)


def _merged(fine: Tensor, coarse: Tensor, filters: int) -> Tensor:
    """Add the coarse 13 x 13 maps to the fine 25 x 25 maps (feature pyramid; Lin et al., arXiv:1612.03144)."""
    context = layers.UpSampling2D(2)(StandardisedConv(filters, 1)(layers.ReLU()(coarse)))
    context = layers.Cropping2D(((0, 1), (0, 1)))(context)
    return layers.Add()([context, StandardisedConv(filters, 1)(layers.ReLU()(fine))])


def _basic(maps: Tensor, filters: int, strides: int = 1) -> Tensor:
    """A residual block of two 3 x 3 convolutions with a projection shortcut."""
    before = layers.ReLU()(maps)
    branch = StandardisedConv(filters, 3, strides)(before)
    branch = StandardisedConv(filters, 3, gain=_BRANCH)(layers.ReLU()(branch))
    return layers.Add()([_shortcut(maps, before, filters, strides), branch])


def _bottleneck(maps: Tensor, filters: int, name: str = "") -> Tensor:
    """A residual block of a 3 x 3 convolution between two of 1 x 1, on half the channels."""
    names = [f"{name}_{part}" if name else None for part in ("in", "middle", "out")]
    before = layers.ReLU()(maps)
    branch = StandardisedConv(filters // 2, 1, name=names[0])(before)
    branch = StandardisedConv(filters // 2, 3, name=names[1])(layers.ReLU()(branch))
    branch = StandardisedConv(filters, 1, gain=_BRANCH, name=names[2])(layers.ReLU()(branch))
    return layers.Add()([_shortcut(maps, before, filters), branch])


def _shortcut(maps: Tensor, before: Tensor, filters: int, strides: int = 1) -> Tensor:
    """The maps unchanged, or their projection where resolution or channels change."""
    if strides == 1 and maps.shape[-1] == filters:
        return maps
    halved = layers.AveragePooling2D(strides, padding="same")(before) if strides > 1 else before
    return StandardisedConv(filters, 1)(halved)
