"""Where in the picture the evidence lies: exact shares of the log-odds, computed inside the graph.

Every network here is, behind its last feature maps A, such that the log-odds z come apart into what each place adds:

``compact`` ends in an average and one dense unit w, so a place adds ``A @ w / places``: the class activation map (Zhou
et al., CVPR 2016). ``training.networks.readout`` takes two things off it: the frame that padding draws around any
picture, and what nearly every place of a NORMAL training image adds too, so that a healthy chest is dark.

The specified networks end in Flatten, Dense (ReLU), Dense 1, so behind A they are piecewise linear: with g the gradient
of z with respect to A, which is ``(W2 where the ReLU is on) @ W1'``, a place adds the sum over its channels of g * A:
HiResCAM (Draelos & Carin, arXiv:2011.08891). No other class activation map is exact for a network with a dense head,
and no gradient has to be run: two matrix products do. At a switch the gradient jumps: where a hidden unit is within
rounding of zero, two machines may show maps that differ in places, while their sums, and the probability, do not.
``nearest_switch`` tells how near that is.

The map is not stretched to each image's own maximum: an image without evidence stays dark.
"""

import keras
from keras import ops

from training.networks.architectures import Tensor
from training.networks.names import HIDDEN, PROBABILITY

# Evidence is shown per area: a place that adds one unit of log-odds per this share of the picture shows 1 - 1/e = 0.63.
REFERENCE_AREA = 1 / 36
# The share of places of NORMAL training images that stays dark, where a network's maps can tell.
QUIET_SHARE = 0.95
_SHOWN = (
    "1 - exp(-e), where e >= 0 is what a place adds to the log-odds of PNEUMONIA{beyond}, per 1/36 of the picture; not "
    "scaled to the image, so a map may stay dark"
)


def method(model: keras.Model) -> str:
    """What the heatmaps of a network are, for its bundle."""
    if has_switches(model):
        return f"HiResCAM: {_SHOWN.format(beyond='')}"
    beyond = f", beyond what {QUIET_SHARE:.0%} of the places of NORMAL training images add"
    return f"class activation map: {_SHOWN.format(beyond=beyond)}"


def has_switches(model: keras.Model) -> bool:
    """Whether a hidden dense layer with a ReLU stands behind the network's maps."""
    return any(layer.name == HIDDEN for layer in model.layers)


def contributions(model: keras.Model, maps: Tensor, kernel: Tensor = None) -> tuple[Tensor, Tensor]:
    """The log-odds, and what each place adds to them.

    Args:
        model: of ``training.networks.architectures.build``.
        maps: float (n, h, w, c), its last feature maps for n images.
        kernel: the hidden layer's, if the model's own is not to be used (training.exporting.onnx has its reasons).

    Returns:
        log-odds float32 (n,) and contributions float32 (n, h, w), any sign: these add up to the log-odds less the
        share of the biases behind the maps.
    """
    return _switched(model, maps, kernel) if has_switches(model) else _averaged(model, maps)


def nearest_switch(model: keras.Model, maps: Tensor) -> Tensor:
    """How near the nearest hidden unit is to switching, float32 (n,), as a share of the farthest one's distance."""
    before = _before_the_switches(model, maps, model.get_layer(HIDDEN).kernel)
    return ops.min(ops.abs(before), axis=1) / ops.max(ops.abs(before), axis=1)


def heatmap(places: Tensor) -> Tensor:
    """Contributions (n, h, w) as evidence for PNEUMONIA, 0..1."""
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
    # (kernel @ switched')' and not switched @ kernel', of which the exporter would store a second, transposed kernel.
    gradient = ops.transpose(ops.matmul(kernel, ops.transpose(switched)))
    return logit[:, 0], ops.sum(maps * ops.reshape(gradient, (-1, *maps.shape[1:])), axis=-1)


def _before_the_switches(model: keras.Model, maps: Tensor, kernel: Tensor) -> Tensor:
    """The hidden layer before its ReLU, (n, units)."""
    return ops.matmul(ops.reshape(maps, (-1, kernel.shape[0])), kernel) + model.get_layer(HIDDEN).bias
