"""Heatmaps: the exact contribution of each place of the image to the log-odds, computed inside the graph.

Behind its last feature maps A, every network here allows an exact decomposition of the log-odds z into the
contributions of the places of A:

``compact`` ends in an average and one dense unit w, so a place contributes ``A @ w / places``: the class activation map
(Zhou et al., CVPR 2016). ``training.networks.readout`` subtracts two things: the frame that padding produces around any
image, and the contribution that nearly every place of a NORMAL training image has too, so that a healthy chest is dark.

The specified networks end in Flatten, Dense (ReLU), Dense 1, so behind A they are piecewise linear. With g the gradient
of z with respect to A, which is ``(W2 where the ReLU is on) @ W1'``, a place contributes the sum over its channels of
g * A: HiResCAM (Draelos & Carin, arXiv:2011.08891). No other class activation map is exact for a network with a dense
head, and no backward pass is needed: two matrix products suffice. Where a ReLU switches between on and off, the
gradient jumps: if a hidden unit is within rounding of zero, two machines may give maps that differ in places, while
their sums and the probability agree. ``nearest_switch`` says how close an image is to that.

The map is not rescaled to each image's own maximum: an image without evidence stays dark.
"""

import keras
from keras import ops

from training.networks.architectures import Tensor
from training.networks.names import HIDDEN, PROBABILITY

# Evidence is shown per area: one unit of log-odds per this fraction of the image gives a value of 1 - 1/e = 0.63.
REFERENCE_AREA = 1 / 36
# The fraction of places of NORMAL training images that stays dark (class activation map only).
QUIET_SHARE = 0.95
_SHOWN = (
    "1 - exp(-e), where e >= 0 is what a place adds to the log-odds of PNEUMONIA{beyond}, per 1/36 of the picture; not "
    "scaled to the image, so a map may stay dark"
)


def method(model: keras.Model) -> str:
    """Describe a network's heatmap method, for the bundle's manifest."""
    if has_switches(model):
        return f"HiResCAM: {_SHOWN.format(beyond='')}"
    beyond = f", beyond what {QUIET_SHARE:.0%} of the places of NORMAL training images add"
    return f"class activation map: {_SHOWN.format(beyond=beyond)}"


def has_switches(model: keras.Model) -> bool:
    """Whether a hidden dense layer with a ReLU follows the network's last maps."""
    return any(layer.name == HIDDEN for layer in model.layers)


def contributions(model: keras.Model, maps: Tensor, kernel: Tensor = None) -> tuple[Tensor, Tensor]:
    """Decompose the log-odds into the contribution of each place.

    Args:
        model: from ``training.networks.architectures.build``.
        maps: float (n, h, w, c), its last feature maps for n images.
        kernel: replaces the hidden layer's own kernel (training.exporting.onnx explains why it needs this).

    Returns:
        log-odds float32 (n,) and contributions float32 (n, h, w) of either sign; the contributions add up to the
        log-odds minus the part of the biases behind the maps.
    """
    return _switched(model, maps, kernel) if has_switches(model) else _averaged(model, maps)


def nearest_switch(model: keras.Model, maps: Tensor) -> Tensor:
    """The smallest pre-activation of the hidden units relative to the largest, float32 (n,): 0 means at a switch."""
    before = _before_the_switches(model, maps, model.get_layer(HIDDEN).kernel)
    return ops.min(ops.abs(before), axis=1) / ops.max(ops.abs(before), axis=1)


def heatmap(places: Tensor) -> Tensor:
    """Convert contributions (n, h, w) to evidence for PNEUMONIA, 0..1."""
    density = ops.relu(places) * (places.shape[1] * places.shape[2] * REFERENCE_AREA)
    return 1.0 - ops.exp(-density)


def _averaged(model: keras.Model, maps: Tensor) -> tuple[Tensor, Tensor]:
    last = model.get_layer(PROBABILITY)
    added = ops.matmul(maps, last.kernel)[..., 0] * (1 / (maps.shape[1] * maps.shape[2]))
    return ops.sum(added, axis=(1, 2)) + last.bias, added


def _switched(model: keras.Model, maps: Tensor, kernel: Tensor) -> tuple[Tensor, Tensor]:
    last = model.get_layer(PROBABILITY)
    kernel = model.get_layer(HIDDEN).kernel if kernel is None else kernel
    activation = ops.relu(_before_the_switches(model, maps, kernel))
    logit = ops.matmul(activation, last.kernel) + last.bias
    switched = ops.where(activation > 0, last.kernel[:, 0], 0.0)
    # (kernel @ switched')', not switched @ kernel', for which the exporter would store a second, transposed kernel.
    gradient = ops.transpose(ops.matmul(kernel, ops.transpose(switched)))
    return logit[:, 0], ops.sum(maps * ops.reshape(gradient, (-1, *maps.shape[1:])), axis=-1)


def _before_the_switches(model: keras.Model, maps: Tensor, kernel: Tensor) -> Tensor:
    """The pre-activations of the hidden layer, (n, units)."""
    return ops.matmul(ops.reshape(maps, (-1, kernel.shape[0])), kernel) + model.get_layer(HIDDEN).bias
