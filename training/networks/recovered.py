"""A network from the graph of its bundle, to be trained further: ``compact`` or ``efficientnet-lite``."""

import re

import keras
import numpy as np
import onnx
from numpy.typing import NDArray

from training.errors import TrainingError
from training.networks.architectures import build
from training.networks.compact import RELU_GAIN, convolutions
from training.networks.names import PROBABILITY

# tf2onnx names constants after the layers that they come from; a layer's number counts those of its kind.
_KERNEL = re.compile(r".*/standardised_conv_(?:(\d+)_)?\d+/mul")
# And the biases of the layers that have names of their own.
_BIAS = re.compile(r".*/(stem|block\d+_[a-z]+)_\d+/Squeeze")


def recovered(graph: bytes) -> keras.Model:
    """The network whose float32 graph this is, without its calibration.

    Raises:
        TrainingError: the graph is of another network.
    """
    proto = onnx.load_from_string(graph).graph
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in proto.initializer}
    nodes = [node.input for node in proto.node if node.op_type == "Conv"]
    kernels = {int(found[1] or 0): names for names in nodes if (found := _KERNEL.match(names[1]))}
    named = {found[1]: names for names in nodes if (found := _BIAS.match(names[-1]))}
    model = build("efficientnet-lite" if named else "compact", "rescale")
    try:
        for name, (_, kernel, bias) in named.items():
            model.get_layer(name).set_weights([_placed(constants[kernel], name), constants[bias]])
        for layer, number in zip(convolutions(model), sorted(kernels), strict=True):
            _, kernel, bias = kernels[number]
            layer.set_weights(_unstandardised(constants[kernel], constants[bias]))
        last = model.get_layer(PROBABILITY)
        last.kernel.assign(constants["Cast/ReadVariableOp:0"])
        last.bias.assign(constants["add/ReadVariableOp:0"])
    except (KeyError, ValueError):
        raise TrainingError("the graph is of no network that this program can train further") from None
    return model


def _placed(kernel: NDArray[np.float32], layer: str) -> NDArray[np.float32]:
    """An ONNX kernel (filters, channels, size, size), as Keras has it."""
    return kernel.transpose((2, 3, 0, 1) if layer.endswith("_depthwise") else (2, 3, 1, 0))


def _unstandardised(kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The weights of a ``StandardisedConv`` from its effective kernel (filters, channels, size, size).

    Its scale is the gain's; the kernel itself gets the variance of an untrained one, which training steps are made for.
    """
    placed = kernel.transpose(2, 3, 1, 0)
    scale = placed.std(axis=(0, 1, 2)) * np.sqrt(np.prod(placed.shape[:3]))
    return [placed * np.sqrt(2) / np.maximum(scale, 1e-12), scale / RELU_GAIN, bias]
