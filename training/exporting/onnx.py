"""Exports Keras networks to ONNX with tf2onnx, and verifies that the graph gives the network's outputs."""

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from contract.bundle import FEATURES, HEATMAP, INPUT, PROBABILITY
from contract.graph import GraphError, check_graph
from contract.image import SIDE
from training.errors import ExportError
from training.networks.heatmap import has_switches
from training.networks.names import HIDDEN
from training.networks.readout import Readout

# The newest operator set that ONNX Runtime's execution providers have had for years.
OPSET = 17
TOLERANCE = 1e-5
FEATURE_TOLERANCE = 1e-3
VERIFIED_BATCHES = (1, 2, 32)
_KERNEL = "hidden_kernel"
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div"}
# Rounding moves a hidden unit by about 1e-6 of the largest; this leaves a margin and excludes one image in a hundred.
_STEADY = 1e-4


def export_graph(readout: Readout) -> bytes:
    """The ONNX graph of a network: input ``image``, the readout's outputs, any batch size (contract.bundle)."""
    signature = [tf.TensorSpec([None, SIDE, SIDE, 1], tf.uint8, name=INPUT)]
    kernel = np.asarray(readout.model.get_layer(HIDDEN).kernel) if has_switches(readout.model) else None
    if kernel is not None:
        signature.append(tf.TensorSpec(kernel.shape, tf.float32, name=_KERNEL))

    @tf.function(input_signature=signature, autograph=False)
    def graph(image: tf.Tensor, hidden_kernel: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {name: tf.identity(value, name) for name, value in readout(image, hidden_kernel).items()}

    # from_function, because tf2onnx reads attributes of Keras models that Keras 3 no longer has (tensorflow-onnx#2319).
    proto, _ = tf2onnx.convert.from_function(graph, input_signature=signature, opset=OPSET)
    if kernel is not None:
        _input_to_initializer(proto, kernel)
    _give_scalars_dimensions(proto)
    _name_the_batch(proto)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def components_of(graph: bytes) -> NDArray[np.float32]:
    """The projection that a graph's features are computed with, float32 (d, k).

    Raises:
        ExportError: the graph has no features, or not as this program exports them.
    """
    return onnx.numpy_helper.to_array(_projection_in(onnx.load_from_string(graph).graph))


def with_projection(graph: bytes, components: NDArray[np.float32]) -> bytes:
    """The same graph, float32 or int8, with another projection; all other outputs stay as they are.

    Args:
        graph: from ``export_graph`` or ``training.exporting.quantise.quantise``.
        components: float32 (d, k).
    """
    proto = onnx.load_from_string(graph)
    _projection_in(proto.graph).CopyFrom(onnx.numpy_helper.from_array(components, _projection_in(proto.graph).name))
    features = next(value for value in proto.graph.output if value.name == FEATURES)
    features.type.tensor_type.shape.dim[1].dim_value = components.shape[1]
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _projection_in(graph: onnx.GraphProto) -> onnx.TensorProto:
    name = next((node.input[1] for node in graph.node if node.op_type == "MatMul" and FEATURES in node.output), None)
    found = next((constant for constant in graph.initializer if constant.name == name), None)
    if found is None:
        raise ExportError("the graph has no features that are computed by one projection: its guard cannot be refitted")
    return found


def verify(graph: bytes, readout: Readout, pixels: NDArray[np.uint8]) -> float:
    """Verify that onnxruntime and Keras agree for several batch sizes, and that a row does not depend on its batch.

    Heatmaps are compared where they are steady: not where a hidden unit is within rounding of its switch.

    Args:
        graph: from ``export_graph``.
        readout: the network it was exported from.
        pixels: uint8 (32 or more, 200, 200, 1).

    Returns:
        the greatest difference of any probability or heatmap value.

    Raises:
        ExportError: the difference is above 1e-5 (features: 1e-3, for values around 1), or no heatmap is steady; or the
            service would not accept the graph.
    """
    try:
        check_graph(graph, INPUT)
    except GraphError as error:
        raise ExportError(f"this network cannot be served: {error} (contract/graph.py)") from None
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    worst = dict.fromkeys(names, 0.0)
    for size in VERIFIED_BATCHES:
        batch = pixels[:size]
        expected = {name: np.asarray(value) for name, value in readout(batch).items()}
        together = session.run(names, {INPUT: batch})
        alone = zip(*(session.run(names, {INPUT: row[np.newaxis]}) for row in batch), strict=True)
        steady = readout.steady(batch, _STEADY)
        for name, got, rows in zip(names, together, alone, strict=True):
            compared = steady if name == HEATMAP else slice(None)
            for other in (expected[name], np.concatenate(rows)):
                # np.max, unlike max, propagates NaN
                worst[name] = float(np.max([worst[name], np.abs(got - other)[compared].max(initial=0)]))
    if not steady.any():
        raise ExportError("no heatmap can be compared: on all of these images a hidden unit is within rounding of zero")
    for name, difference in worst.items():
        if not difference <= (allowed := FEATURE_TOLERANCE if name == FEATURES else TOLERANCE):
            raise ExportError(f"{name}: Keras and onnxruntime differ by {difference:.1e}; the limit is {allowed:.0e}")
    return max(worst[PROBABILITY], worst[HEATMAP])


def _input_to_initializer(proto: onnx.ModelProto, kernel: NDArray[np.float32]) -> None:
    """Replace the graph's kernel input by a constant with the hidden layer's kernel.

    tf2onnx copies each constant dozens of times: the 164 MB of ``baseline``'s kernel took it a minute (measured). So
    the kernel is exported as an input, and becomes a constant here.
    """
    graph = proto.graph
    graph.input.remove(next(value for value in graph.input if value.name == _KERNEL))
    graph.initializer.append(onnx.numpy_helper.from_array(kernel, _KERNEL))


def _give_scalars_dimensions(proto: onnx.ModelProto) -> None:
    """Give a constant without dimensions as many, of size 1, as what it is added to or multiplied by.

    The results are the same, but to images (n, 200, 200, 1), whose last dimension is 1, onnxruntime 1.32 applies a
    constant without dimensions pixel by pixel: 0.4 instead of 0.02 ms an image (measured).
    """
    shaped = onnx.shape_inference.infer_shapes(proto).graph
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in (*shaped.input, *shaped.value_info)}
    scalars = {each.name: each for each in proto.graph.initializer if not each.dims}
    for node in (each for each in proto.graph.node if each.op_type in _ELEMENTWISE):
        rank = max(ranks.get(name, 0) for name in node.input)
        for place, name in enumerate(node.input):
            if rank and name in scalars:
                spread = onnx.numpy_helper.to_array(scalars[name]).reshape([1] * rank)
                node.input[place] = f"{name}/{node.output[0]}"
                proto.graph.initializer.append(onnx.numpy_helper.from_array(spread, node.input[place]))
    used = {name for node in proto.graph.node for name in node.input}
    for unused in [each for each in proto.graph.initializer if each.name not in used]:
        proto.graph.initializer.remove(unused)


def _name_the_batch(proto: onnx.ModelProto) -> None:
    """Name the first dimension of every input and output N; tf2onnx writes names such as unk__77."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
