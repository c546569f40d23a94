"""int8 begins behind as many convolutions as are to stay in float32."""

import numpy as np
import onnx
import pytest
from PIL import Image

from contract.image import squash
from tests.drawings import chest
from training.exporting.onnx import export_graph
from training.exporting.quantise import KEPT, quantise
from training.networks.architectures import build
from training.networks.readout import Readout


@pytest.fixture(scope="module")
def graph() -> bytes:
    return export_graph(Readout(build("efficientnet-lite", "rescale")))


def quantised(graph: bytes) -> list[bool]:
    """Of each convolution whether its input has 8 bits."""
    nodes = onnx.load_from_string(graph).graph.node
    dequantised = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    return [node.input[0] in dequantised for node in nodes if node.op_type == "Conv"]


def test_a_convolution_in_float32_may_share_its_input_with_one_of_8_bits() -> None:
    """The shortcut of a block and its branch: one may be among the first convolutions, the other not."""
    graph = export_graph(Readout(build("compact", "rescale")))
    pixels = np.stack([squash(Image.fromarray(chest(seed))) for seed in range(2)])
    nodes = onnx.load_from_string(quantise(graph, pixels, 6)).graph.node
    dequantised = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    shared = [node for node in nodes if node.op_type == "Conv" and node.input[0] in dequantised]
    assert any(node.input[1] not in dequantised for node in shared)


def test_the_first_convolutions_stay_in_float32_and_the_others_have_8_bits(graph: bytes) -> None:
    pixels = np.stack([squash(Image.fromarray(chest(seed))) for seed in range(2)])
    for kept in (KEPT[0], KEPT[-1]):
        is_quantised = quantised(quantise(graph, pixels, kept))
        assert is_quantised == [False] * kept + [True] * (len(is_quantised) - kept)
        assert len(is_quantised) == 38
