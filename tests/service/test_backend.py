"""The model gives one row an image, and only graphs that keep the contract are taken."""

import numpy as np
import pytest
from onnx import TensorProto

from contract.bundle import INT8_GRAPH, BundleError
from service.backend import OnnxBackend
from tests.bundles import brightness_bundle, brightness_graph


def test_gives_one_probability_an_image() -> None:
    batch = np.stack([np.full((200, 200, 1), value, np.uint8) for value in (0, 51, 204)])
    backend = OnnxBackend(brightness_bundle(), "cpu", "auto", 1)
    assert backend.predict(batch) == pytest.approx([0, 0.2, 0.8], abs=1e-4)


BROKEN = {
    "garbage": (b"not a graph", "cannot load"),
    "cut": (brightness_graph()[:200], "cannot load"),
    "float input": (brightness_graph(input_type=TensorProto.FLOAT), "uint8"),
    "fixed batch": (brightness_graph(batch=1), "N dynamic"),
}


@pytest.mark.parametrize(("graph", "words"), BROKEN.values(), ids=BROKEN)
def test_a_graph_that_breaks_the_contract_is_refused(graph: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=rf"^model\.onnx: .*{words}"):
        OnnxBackend(brightness_bundle(graph), "cpu", "auto", 1)


@pytest.mark.parametrize(("graph", "words"), BROKEN.values(), ids=BROKEN)
def test_so_is_an_int8_graph_by_its_own_name(graph: bytes, words: str) -> None:
    bundle = brightness_bundle(int8_graph=graph, cpu_graph=INT8_GRAPH)
    with pytest.raises(BundleError, match=rf"^model\.int8\.onnx: .*{words}"):
        OnnxBackend(bundle, "cpu", "auto", 1)
