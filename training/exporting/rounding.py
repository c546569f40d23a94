"""Rounds the weights of an int8 graph so that their outputs change least, instead of each to the nearest number.

Seven bits are few for the nine weights of a depthwise kernel. Two corrections, from the first layer to the last, on
images as the rounded layers before transform them:

- Weights are rounded one after another, and those not yet rounded compensate for the error, as far as their inputs are
  correlated (Frantar et al., GPTQ, ICLR 2023, algorithm 1, with its damping of 1 %).
- The bias compensates for the remaining shift of each output channel's mean (Nagel et al., Data-Free Quantization
Through Weight
  Equalization and Bias Correction, ICCV 2019, section 4.2, here from images).
"""

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx.numpy_helper import from_array, to_array

from contract.bundle import INPUT

# Images per call of a graph.
_BATCH = 16
_DAMPING = 0.01
# Of an input channel that is always zero, so that its second moment can be inverted.
_LEAST_MOMENT = 1e-6
# The largest weight: 7 bits, as onnxruntime has them with reduce_range.
_LARGEST = 64
# onnxruntime names the rounded form of a constant so.
_ROUNDED = "_quantized"

Array = NDArray[np.float64]


class _Layer(NamedTuple):
    """A convolution with 8-bit weights.

    Attributes:
        node: of the int8 graph.
        output: of the same convolution in the float32 graph.
        kernel: in float32, (filters, channels of a group, size, size).
        weights, bias: the names of its rounded constants; no bias: "".
        scales, bias_scales: their steps, (filters,).
    """

    node: onnx.NodeProto
    output: str
    kernel: NDArray[np.float32]
    weights: str
    scales: Array
    bias: str
    bias_scales: Array


def refine_rounding(graph: bytes, int8_graph: bytes, pixels: NDArray[np.uint8]) -> bytes:
    """Round the weights and biases of an int8 graph anew, so that its convolutions compute what those of float32 do.

    Args:
        graph: float32.
        int8_graph: made of it by onnxruntime's static quantisation: QDQ format, one scale per filter, 7-bit weights.
        pixels: uint8 (n, 200, 200, 1), training images.
    """
    exact, model = onnx.load_from_string(graph), onnx.load_from_string(int8_graph)
    constants = {each.name: each for each in model.graph.initializer}
    layers = _layers(exact.graph, model.graph)
    wanted = _channel_means(exact, [layer.output for layer in layers], pixels)
    for layer, expected in zip(layers, wanted, strict=True):
        moments, means = _statistics(model, layer, pixels)
        # (groups, filters of a group, weights of a filter)
        kernel = layer.kernel.reshape(len(moments), -1, moments.shape[-1]).astype(np.float64)
        rounded = _rounded(kernel, layer.scales.reshape(kernel.shape[:2]), moments)
        _set(constants[layer.weights], rounded)
        if layer.bias:
            computed = (rounded @ means[..., np.newaxis]).reshape(-1) * layer.scales
            _set(constants[layer.bias], np.round((expected - computed) / layer.bias_scales))
    return bytes(model.SerializeToString())


def _layers(graph: onnx.GraphProto, int8_graph: onnx.GraphProto) -> list[_Layer]:
    """The quantised convolutions, in the order in which they are computed."""
    floats = {each.name: each for each in graph.initializer}
    outputs = {node.input[1]: node.output[0] for node in graph.node if node.op_type == "Conv"}
    constants = {each.name: each for each in int8_graph.initializer}
    dequantised = {node.output[0]: node for node in int8_graph.node if node.op_type == "DequantizeLinear"}

    def rounded(name: str) -> tuple[str, Array]:
        """The name of the rounded constant that this input is made of, and its steps; of no input none."""
        if not name:
            return "", np.empty(0)
        constant, steps = dequantised[name].input[:2]
        return constant, to_array(constants[steps]).astype(np.float64)

    found = []
    for node in int8_graph.node:
        if node.op_type == "Conv" and node.input[1] in dequantised:
            (weights, scales), (bias, bias_scales) = (rounded(name) for name in (*node.input, "")[1:3])
            name = weights.removesuffix(_ROUNDED)
            kernel = to_array(floats[name])
            found.append(_Layer(node, outputs[name], kernel, weights, scales, bias, bias_scales))
    return found


def _channel_means(model: onnx.ModelProto, names: list[str], pixels: NDArray[np.uint8]) -> list[Array]:
    """Of each of these outputs (n, channels, h, w) the mean of every channel over images and places."""
    totals: list[Any] = [0.0] * len(names)
    for maps in _computed(model, names, pixels):
        totals = [
            total + each.mean(axis=(2, 3), dtype=np.float64).sum(0) for total, each in zip(totals, maps, strict=True)
        ]
    return [total / len(pixels) for total in totals]


def _statistics(model: onnx.ModelProto, layer: _Layer, pixels: NDArray[np.uint8]) -> tuple[Array, Array]:
    """Second moments (groups, d, d) and means (groups, d) of the d inputs that each filter of a group multiplies."""
    moments: Any = 0.0
    means: Any = 0.0
    for (maps,) in _computed(model, [layer.node.input[0]], pixels):
        inputs = _inputs(maps, layer)
        moments = moments + (inputs.transpose(0, 2, 1) @ inputs).astype(np.float64) * (len(maps) / inputs.shape[1])
        means = means + inputs.mean(axis=1, dtype=np.float64) * len(maps)
    return moments / len(pixels), means / len(pixels)


def _computed(model: onnx.ModelProto, names: list[str], pixels: NDArray[np.uint8]) -> Any:
    """What a graph computes of images under these names, batch by batch; no more of it is computed."""
    options = onnxruntime.SessionOptions()
    # Without optimisation: no requested result may become part of a fused operator.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    part = _part(model, names).SerializeToString()
    session = onnxruntime.InferenceSession(part, options, providers=["CPUExecutionProvider"])
    for start in range(0, len(pixels), _BATCH):
        yield session.run(names, {INPUT: pixels[start : start + _BATCH]})


def _part(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """The model with these outputs, float32, and no node that they do not need."""
    needed, nodes = set(names), []
    for node in reversed(model.graph.node):  # in the order of computing, as ONNX demands it
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            nodes.append(node)
    constants = [each for each in model.graph.initializer if each.name in needed]
    outputs = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names]
    graph = onnx.helper.make_graph(nodes[::-1], model.graph.name, model.graph.input, outputs, constants)
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _inputs(maps: NDArray[np.float32], layer: _Layer) -> NDArray[np.float32]:
    """The inputs of a convolution, float32 (groups, samples, d), of maps (n, channels, h, w)."""
    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in layer.node.attribute}
    size, stride = layer.kernel.shape[-1], attributes.get("strides", [1])[0]
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (2, 3))[:, :, ::stride, ::stride]
    groups, channels = attributes.get("group", 1), layer.kernel.shape[1]
    split = windows.reshape(len(maps), groups, channels, *windows.shape[2:])
    return split.transpose(1, 0, 3, 4, 2, 5, 6).reshape(groups, -1, channels * size * size)


def _rounded(kernel: Array, scales: Array, moments: Array) -> Array:
    """GPTQ: weights (groups, filters, d) in whole numbers of their filter's step (groups, filters)."""
    size = kernel.shape[-1]
    diagonal = moments.diagonal(axis1=1, axis2=2)
    damping = _DAMPING * diagonal.mean(axis=1) + _LEAST_MOMENT
    inverse = np.linalg.inv(moments + damping[:, np.newaxis, np.newaxis] * np.eye(size))
    # Upper triangles: how the error of a weight is shared among those that come later.
    shares = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    left, rounded = kernel.copy(), np.empty_like(kernel)
    for place in range(size):
        rounded[..., place] = np.clip(np.round(left[..., place] / scales), -_LARGEST, _LARGEST)
        error = (left[..., place] - rounded[..., place] * scales) / shares[:, np.newaxis, place, place]
        left[..., place + 1 :] -= error[..., np.newaxis] * shares[:, np.newaxis, place, place + 1 :]
    return rounded


def _set(constant: onnx.TensorProto, values: Array) -> None:
    """Give a constant other values; its name, type and shape stay."""
    before = to_array(constant)
    constant.CopyFrom(from_array(values.reshape(before.shape).astype(before.dtype), constant.name))
