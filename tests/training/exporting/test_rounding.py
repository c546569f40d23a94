"""The weights of an int8 graph are rounded so that its convolutions compute what those of float32 do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array, to_array
from onnxruntime import InferenceSession
from onnxruntime.quantization import QuantType, quantize_static

from training.exporting.quantise import _Images
from training.exporting.rounding import refine_rounding

SIDE = 24
Kernel = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def network(kernels: list[tuple[Kernel, int]]) -> bytes:
    """Convolutions (kernel, groups) one behind the other, with ReLU between, on images uint8 (n, SIDE, SIDE, 1)."""
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["cast"], ["maps0"], perm=[0, 3, 1, 2]),
    ]
    constants = []
    for number, (kernel, groups) in enumerate(kernels):
        biases = np.full(len(kernel), 0.5, np.float32)
        constants += [from_array(kernel, f"kernel{number}"), from_array(biases, f"bias{number}")]
        inputs, pad = [f"maps{number}", f"kernel{number}", f"bias{number}"], kernel.shape[-1] // 2
        nodes += [
            helper.make_node("Conv", inputs, [f"sum{number}"], name=f"conv{number}", group=groups, pads=[pad] * 4),
            helper.make_node("Relu", [f"sum{number}"], [f"maps{number + 1}"], name=f"relu{number}"),
        ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 1])
    last = helper.make_tensor_value_info(f"maps{len(kernels)}", TensorProto.FLOAT, ["N", len(biases), SIDE, SIDE])
    graph = helper.make_graph(nodes, "network", [image], [last], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(onnx.shape_inference.infer_shapes(model).SerializeToString())


def nearest(graph: bytes, pixels: Pixels, folder: Path) -> bytes:
    """The graph with each weight rounded to the nearest 7-bit number."""
    source, result = folder / "float32.onnx", folder / "int8.onnx"
    source.write_bytes(graph)
    options = {"per_channel": True, "reduce_range": True}
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(source, result, _Images(pixels), op_types_to_quantize=["Conv", "Relu"], **options, **types)
    return result.read_bytes()


def computed(graph: bytes, pixels: Pixels) -> NDArray[np.float32]:
    return InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"image": pixels})[0]


@pytest.fixture
def images() -> Callable[[int], Pixels]:
    def make(seed: int) -> Pixels:
        """Smooth images, as radiographs are: neighbouring pixels go together."""
        random = np.random.default_rng(seed).uniform(0, 255, (24, 6, 6, 1))
        return random.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)

    return make


def kernels() -> list[tuple[Kernel, int]]:
    """One that expands a channel to twelve, one for each channel, and one that projects: a block of the network."""
    random = np.random.default_rng(3)
    shapes = ((12, 1, 3, 3), 1), ((12, 1, 5, 5), 12), ((6, 12, 1, 1), 1)
    # Weights of very different size in one filter: with steps for the largest, the small ones fall between them.
    return [
        ((random.standard_normal(shape) ** 3 / np.prod(shape[1:])).astype(np.float32), groups)
        for shape, groups in shapes
    ]


def test_other_images_come_nearer_to_float32(images: Callable[[int], Pixels], tmp_path: Path) -> None:
    graph = network(kernels())
    rounded = nearest(graph, images(1), tmp_path)
    refined = refine_rounding(graph, rounded, images(1))
    expected = computed(graph, images(2))
    before, after = (np.abs(computed(each, images(2)) - expected).mean() for each in (rounded, refined))
    assert after < 0.7 * before


def test_each_channel_keeps_its_mean(images: Callable[[int], Pixels], tmp_path: Path) -> None:
    graph = network(kernels()[:2])
    rounded = nearest(graph, images(1), tmp_path)
    expected, before, after = (
        computed(each, images(1)).mean(axis=(0, 2, 3))
        for each in (graph, rounded, refine_rounding(graph, rounded, images(1)))
    )
    assert np.abs(after - expected).max() < 0.5 * np.abs(before - expected).max()


def test_only_weights_and_biases_change_and_weights_keep_seven_bits(
    images: Callable[[int], Pixels], tmp_path: Path
) -> None:
    graph = network(kernels())
    rounded = nearest(graph, images(1), tmp_path)
    refined = refine_rounding(graph, rounded, images(1))
    before, after = (onnx.load_from_string(each).graph for each in (rounded, refined))
    changed = {
        new.name
        for old, new in zip(before.initializer, after.initializer, strict=True)
        if not np.array_equal(to_array(old), to_array(new))
    }
    numbers = range(3)
    assert changed == {f"{kind}{number}_quantized" for kind in ("kernel", "bias") for number in numbers}
    assert list(before.node) == list(after.node)
    weights = [to_array(each) for each in after.initializer if each.name.startswith("kernel") and each.data_type == 3]
    assert weights
    assert all(np.abs(each.astype(int)).max() <= 64 for each in weights)


def test_a_channel_that_is_always_zero_does_no_harm(images: Callable[[int], Pixels], tmp_path: Path) -> None:
    """Its weights multiply nothing, so that nothing says how to round them."""
    (first, groups), *others = kernels()
    first[4] = 0
    first[5] = -np.abs(first[5])
    graph = network([(first, groups), *others])
    refined = refine_rounding(graph, nearest(graph, images(1), tmp_path), images(1))
    assert np.isfinite(computed(refined, images(2))).all()
