"""Where in the picture the evidence lies: HiResCAM (Draelos & Carin, arXiv:2011.08891), computed inside the graph.

The specified networks end in Flatten, Dense (ReLU), Dense 1. From the last feature maps A to the log-odds z they are
therefore piecewise linear: with g the gradient of z with respect to A, which is ``(W2 where the ReLU is on) @ W1'``,

    z = sum over places and channels of g * A  +  a bias term.

So ``sum over channels of g * A`` is exactly what each place adds to the log-odds. No other class activation map is
exact for a network with a dense head, and no gradient has to be run: two matrix products do.

At a switch the gradient jumps: where a hidden unit is within rounding of zero, two machines may show maps that differ
in places, while their sums, and the probability, do not. ``nearest_switch`` tells how near that is.

The map is not stretched to each image's own maximum: an image without evidence stays dark.
"""

import keras
from keras import ops

from training.architectures import Tensor
from training.names import HIDDEN, MAPS, PROBABILITY

# Evidence is shown per area: a place that adds one unit of log-odds per this share of the picture shows 1 - 1/e = 0.63.
REFERENCE_AREA = 1 / 36
METHOD = (
    "HiResCAM: 1 - exp(-e), where e >= 0 is what a place adds to the log-odds of PNEUMONIA, per 1/36 of the picture; "
    "not scaled to the image, so a map may stay dark"
)


def contributions(model: keras.Model, image: Tensor, kernel: Tensor = None) -> tuple[Tensor, Tensor]:
    """The probability, and what each place adds to its log-odds.

    Args:
        model: of ``training.architectures.build``.
        image: uint8 or float (n, 200, 200, 1), 0..255.
        kernel: the hidden layer's, if the model's own is not to be used (training.export has its reasons).

    Returns:
        probability float32 (n,) and contributions float32 (n, h, w), any sign: they add up to the log-odds less the
        share of the biases.
    """
    hidden, last = model.get_layer(HIDDEN), model.get_layer(PROBABILITY)
    kernel = hidden.kernel if kernel is None else kernel
    maps, before = _before_the_switches(model, image, kernel)
    activation = ops.relu(before)
    probability = ops.sigmoid(ops.matmul(activation, last.kernel) + last.bias)
    switched = ops.where(activation > 0, last.kernel[:, 0], 0.0)
    # (kernel @ switched')' and not switched @ kernel', of which the exporter would store a second, transposed kernel.
    gradient = ops.transpose(ops.matmul(kernel, ops.transpose(switched)))
    places = ops.sum(maps * ops.reshape(gradient, (-1, *maps.shape[1:])), axis=-1)
    return probability[:, 0], places


def nearest_switch(model: keras.Model, image: Tensor) -> Tensor:
    """How near the nearest hidden unit is to switching, float32 (n,), as a share of the farthest one's distance."""
    _, before = _before_the_switches(model, image, model.get_layer(HIDDEN).kernel)
    return ops.min(ops.abs(before), axis=1) / ops.max(ops.abs(before), axis=1)


def _before_the_switches(model: keras.Model, image: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    """The last feature maps (n, h, w, c), and the hidden layer before its ReLU (n, units)."""
    maps = keras.Model(model.inputs[0], model.get_layer(MAPS).output)(image)
    return maps, ops.matmul(ops.reshape(maps, (-1, kernel.shape[0])), kernel) + model.get_layer(HIDDEN).bias


def heatmap(places: Tensor) -> Tensor:
    """Contributions (n, h, w) as evidence for PNEUMONIA, 0..1."""
    density = ops.relu(places) * (places.shape[1] * places.shape[2] * REFERENCE_AREA)
    return 1.0 - ops.exp(-density)
