"""int8 quantisation: the same graph with 8-bit weights and activations, calibrated on training images.

Static, in QDQ format, so that any execution provider can run it. The weights are then rounded once more, by what they
compute (``training.exporting.rounding``). Only the convolutions between the first and the last are quantised: the first
takes one channel of normalised pixels, whose range a few bright markers would determine, and behind the last feature
maps are the few products that compute probability, heatmap and features. Where it takes more to keep the results,
further ones at the beginning stay in float32 (``KEPT``).
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from contract.bundle import INPUT
from training.exporting.rounding import refine_rounding

# Number of images that the ranges of activations are measured on, and weights are rounded by.
CALIBRATION_IMAGES = 256
_BATCH = 32
# How many of the first convolutions stay in float32: the fewest of these that keep the results. Of efficientnet-lite:
# the stem; its first block as well; and one more block each.
KEPT = (1, 3, 6, 9, 12)


def quantise(graph: bytes, pixels: NDArray[np.uint8], kept: int = 1) -> bytes:
    """Quantise a float32 graph; the int8 graph has the same input and outputs.

    Args:
        graph: from ``training.exporting.onnx.export_graph``.
        pixels: uint8 (n, 200, 200, 1), training images; at most ``CALIBRATION_IMAGES`` of them are used.
        kept: convolutions at the beginning that stay in float32, 1 or more.
    """
    known = pixels[:CALIBRATION_IMAGES]
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, result = (Path(folder, name) for name in ("float32.onnx", "prepared.onnx", "int8.onnx"))
        source.write_bytes(graph)
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            _Images(known),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # 7-bit weights: without VNNI, x86 adds pairs of 8-bit products in 16 bits, which would overflow.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Relu", "Clip", "Add"],
            nodes_to_exclude=_kept_in_float(onnx.load(prepared), kept),
        )
        return refine_rounding(prepared.read_bytes(), result.read_bytes(), known)


class _Images(CalibrationDataReader):
    """Feeds the images to onnxruntime's calibration, batch by batch."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self._batches: Iterator[NDArray[np.uint8]] = iter(
            [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
        )

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        """The next batch, keyed by the input's name; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _kept_in_float(model: onnx.ModelProto, kept: int) -> list[str]:
    """The names of the first convolutions, of all nodes before and between them, and of all behind the very last."""
    nodes = list(model.graph.node)
    convolutions = [place for place, node in enumerate(nodes) if node.op_type == "Conv"]
    return [node.name for place, node in enumerate(nodes) if not convolutions[kept - 1] < place <= convolutions[-1]]
