"""Keras to ONNX through tf2onnx, and the proof that the graph is the network that was trained."""

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from numpy.typing import NDArray

from contract.bundle import HEATMAP, INPUT, PROBABILITY
from contract.image import SIDE
from training.errors import ExportError
from training.heatmap import contributions, heatmap, nearest_switch
from training.names import HIDDEN

# The newest operator set that ONNX Runtime's execution providers have had for years.
OPSET = 17
TOLERANCE = 1e-5
PROVED_BATCHES = (1, 2, 32)
_KERNEL = "hidden_kernel"
# Rounding moves a hidden unit by some 1e-6 of the largest; this leaves room, and leaves out one image in a hundred.
_STEADY = 1e-4


def export_graph(model: keras.Model) -> bytes:
    """The ONNX graph of a network: ``image`` in, ``probability`` and ``heatmap`` out, any batch (contract.bundle)."""
    kernel = np.asarray(model.get_layer(HIDDEN).kernel)
    signature = [
        tf.TensorSpec([None, SIDE, SIDE, 1], tf.uint8, name=INPUT),
        tf.TensorSpec(kernel.shape, tf.float32, name=_KERNEL),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def graph(image: tf.Tensor, hidden_kernel: tf.Tensor) -> dict[str, tf.Tensor]:
        probability, places = contributions(model, image, hidden_kernel)
        return {
            PROBABILITY: tf.identity(probability, PROBABILITY),
            HEATMAP: tf.identity(heatmap(places), HEATMAP),
        }

    # from_function, because tf2onnx reads attributes of Keras models that Keras 3 no longer has (tensorflow-onnx#2319).
    proto, _ = tf2onnx.convert.from_function(graph, input_signature=signature, opset=OPSET)
    _input_to_initializer(proto, kernel)
    _name_the_batch(proto)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def prove(graph: bytes, model: keras.Model, pixels: NDArray[np.uint8]) -> float:
    """Show that onnxruntime gives what Keras gives, for every batch size, and each row alone what it gives in company.

    Heatmaps are compared where they are steady: not where a hidden unit is within rounding of its switch.

    Args:
        graph: of ``export_graph``.
        model: the network it was made of.
        pixels: uint8 (32 or more, 200, 200, 1).

    Returns:
        the greatest difference of any probability or heatmap value.

    Raises:
        ExportError: it is over 1e-5, or no heatmap is steady.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        return list(session.run([PROBABILITY, HEATMAP], {INPUT: batch}))

    worst = 0.0
    for size in PROVED_BATCHES:
        batch = pixels[:size]
        expected = (np.asarray(model(batch, training=False))[:, 0], np.asarray(heatmap(contributions(model, batch)[1])))
        alone = [np.concatenate(rows) for rows in zip(*(run(row[np.newaxis]) for row in batch), strict=True)]
        steady = np.asarray(nearest_switch(model, batch)) > _STEADY
        for rows, got, *others in zip((slice(None), steady), run(batch), expected, alone, strict=True):
            # np.max, unlike max, lets through what is not a number
            worst = float(np.max([worst, *(np.abs(got - other)[rows].max(initial=0) for other in others)]))
    if not steady.any():
        raise ExportError("on none of these images are the heatmaps steady enough to be compared")
    if not worst <= TOLERANCE:
        raise ExportError(f"Keras and onnxruntime differ by {worst:.1e}; at most {TOLERANCE:.0e} is allowed")
    return worst


def _input_to_initializer(proto: onnx.ModelProto, kernel: NDArray[np.float32]) -> None:
    """Put the hidden layer's kernel where an input of its shape stands.

    tf2onnx copies each constant some dozens of times: the 164 MB of ``baseline``'s kernel took it a minute (measured).
    So the kernel passes through it as an input, and is made a constant here.
    """
    graph = proto.graph
    graph.input.remove(next(value for value in graph.input if value.name == _KERNEL))
    graph.initializer.append(onnx.numpy_helper.from_array(kernel, _KERNEL))


def _name_the_batch(proto: onnx.ModelProto) -> None:
    """Call the first dimension of every input and output N, where tf2onnx writes unk__77."""
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
