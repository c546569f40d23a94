"""A bundle that needs no training: the probability is the mean brightness, the heatmap the image reduced to 8 x 8."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from contract.bundle import (
    CARD,
    GRAPH,
    INT8_GRAPH,
    Bundle,
    Calibration,
    InputGuard,
    Manifest,
    Measured,
    OperatingPoint,
    Population,
    Provenance,
    sha256,
    write_bundle,
)
from contract.image import IMAGE_CONTRACT, SIDE

THRESHOLD = 0.4


def brightness_graph(
    input_type: int = TensorProto.UINT8, batch: str | int = "N", full: float = 255.0, features: int = 0
) -> bytes:
    """The ONNX graph of mean brightness.

    Args:
        input_type: of the pixels.
        batch: images per batch, or a name for a dynamic batch dimension.
        full: the grey level that becomes 1.
        features: number of features for a guard: the mean brightness, then the mean divided by the maximum, which is
            NaN for a black image. 0: no such output.
    """
    image = helper.make_tensor_value_info("image", input_type, [batch, SIDE, SIDE, 1])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [batch])
    heatmap = helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, [batch, 8, 8])
    full_scale = helper.make_tensor("full", TensorProto.FLOAT, [], [full])
    channel = helper.make_tensor("channel", TensorProto.INT64, [1], [1])
    last = helper.make_tensor("last", TensorProto.INT64, [1], [3])
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["probability"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Squeeze", ["scaled", "last"], ["grey"]),
        helper.make_node("Unsqueeze", ["grey", "channel"], ["nchw"]),
        helper.make_node("AveragePool", ["nchw"], ["small"], kernel_shape=[25, 25], strides=[25, 25]),
        helper.make_node("Squeeze", ["small", "channel"], ["heatmap"]),
    ]
    outputs = [probability, heatmap]
    if features:
        nodes += _feature_nodes(features)
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, features]))
    graph = helper.make_graph(nodes, "brightness", [image], outputs, [full_scale, channel, last])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _feature_nodes(count: int) -> list[Any]:
    return [
        # Computed from the small image: a sum of 40,000 numbers in float32 would depend on the rest of the batch.
        helper.make_node("ReduceMean", ["small"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["scaled"], ["greatest"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "greatest"], ["relative"]),
        helper.make_node("Concat", ["mean", *["relative"] * (count - 1)], ["features"], axis=1),
    ]


def a_point(threshold: float) -> OperatingPoint:
    """An operating point with made-up figures."""
    figure = Measured(value=0.5, low=0.4, high=0.6)
    return OperatingPoint(threshold=threshold, sensitivity=figure, specificity=figure, chosen_on="made up")


POINTS = {"balanced": a_point(THRESHOLD), "rule-out": a_point(0.2), "rule-in": a_point(0.8)}


def a_population(calibration: Calibration | None = None, **thresholds: float) -> Population:
    """A population with these thresholds of ``balanced``, ``rule_out`` and ``rule_in``."""
    return Population(
        description="made up",
        from_age=0,
        below_age=None,
        operating_points={name.replace("_", "-"): a_point(threshold) for name, threshold in thresholds.items()},
        calibration=calibration or Calibration(),
        prevalence=0.4,
    )


# By name: children without a calibration of their own, adults with one.
POPULATIONS = {
    "child": a_population(balanced=0.3, rule_out=0.1, rule_in=0.7),
    "adult": a_population(
        Calibration(method="platt", scale=2.0, shift=-1.0), balanced=0.06, rule_out=0.05, rule_in=0.9
    ),
}


# The drawn radiographs of tests/drawings.py score 1.1 to 1.2, a uniform grey image above 3, a black image infinity.
GUARD = InputGuard(
    location=(0.4, 0.5),
    scale=(0.1, 0.1),
    threshold=2.0,
    false_alarms=Measured(value=0.0, low=0.0, high=0.1),
    chosen_on="made up",
    reference=tuple(level / 10 for level in range(21)),
)


def manifest(contents: dict[str, bytes], **changes: Any) -> Manifest:
    """A manifest for these files."""
    fields: dict[str, Any] = {
        "name": "brightness",
        "version": "1",
        "image_contract": IMAGE_CONTRACT,
        "files": {name: sha256(data) for name, data in contents.items()},
        "default_operating_point": "balanced",
        "operating_points": {"balanced": a_point(THRESHOLD)},
        "calibration": Calibration(),
        "heatmap_method": "the image itself",
        "results": {},
        "provenance": Provenance(
            git_revision="none", packages={}, data_fingerprint="0" * 64, seed=0, parameters=0, configuration={}
        ),
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Manifest(**fields | changes)


# Stands for an 8-bit graph: its outputs differ slightly from the float32 graph's, so an answer shows which graph ran.
INT8_FULL = 258.0


def brightness_bundle(graph: bytes | None = None, int8_graph: bytes | None = None, **changes: Any) -> Bundle:
    """The bundle, as ``read_bundle`` returns it."""
    contents = _contents(graph, int8_graph)
    return Bundle(
        manifest=manifest(contents, **changes),
        graph=contents[GRAPH],
        int8_graph=int8_graph,
        card=contents[CARD].decode(),
    )


def write_brightness_bundle(
    folder: Path, graph: bytes | None = None, int8_graph: bytes | None = None, **changes: Any
) -> Path:
    """Write the bundle and return its folder."""
    contents = _contents(graph, int8_graph)
    write_bundle(folder, manifest(contents, **changes), contents)
    return folder


def _contents(graph: bytes | None, int8_graph: bytes | None) -> dict[str, bytes]:
    contents = {GRAPH: graph or brightness_graph(), CARD: b"# brightness\n\nMeasures brightness.\n"}
    return contents if int8_graph is None else {**contents, INT8_GRAPH: int8_graph}
