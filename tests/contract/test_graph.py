"""Which ONNX graphs a bundle may have: no control flow, no size that an image decides, no weights elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from contract.bundle import GRAPH, INPUT, BundleError, read_bundle
from contract.graph import MAX_NODES, GraphError, check_graph
from tests import ROOT
from tests.bundles import brightness_graph, write_brightness_bundle

MODELS = sorted((ROOT / "models").glob("*/*/*.onnx"))
ONE = helper.make_tensor("one", TensorProto.INT64, [1], [1])
FLOAT = helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)


def graph_of(*nodes: Any, weights: Any = (), domains: tuple[str, ...] = ("",)) -> Any:
    """A model with these operators between its input and the output ``y``."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 200, 200, 1])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(list(nodes), "g", [image], [output], [ONE, *weights])
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def subgraph() -> Any:
    """The body of a loop that never ends."""
    values = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "again")]
    number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"])], "body", [number, values[0]], [values[1]]
    )


def external() -> Any:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def sparse() -> Any:
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    return helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [0]), [2**31])


def with_function() -> Any:
    model = graph_of(helper.make_node("Relu", ["image"], ["y"]))
    body = [helper.make_node("Relu", ["x"], ["y"])]
    function = helper.make_function("own", "Relu", ["x"], ["y"], body, [helper.make_opsetid("", 17)])
    model.functions.append(function)
    return model


def with_sparse_weights() -> Any:
    model = graph_of(helper.make_node("Relu", ["image"], ["y"]))
    model.graph.sparse_initializer.append(sparse())
    return model


def decided_by_content(operator: str, *shape: str) -> Any:
    """The sum over the image decides a shape."""
    return graph_of(
        FLOAT,
        helper.make_node("ReduceSum", ["float"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["count"]),
        helper.make_node(operator, ["float", *shape], ["y"]),
    )


REFUSED = {
    "an endless loop": (graph_of(helper.make_node("Loop", ["", "one"], ["y"], body=subgraph())), "operator 'Loop'"),
    "a scan": (graph_of(helper.make_node("Scan", ["image"], ["y"], body=subgraph(), num_scan_inputs=1)), "'Scan'"),
    "a graph in another attribute": (graph_of(helper.make_node("Relu", ["image"], ["y"], extra=subgraph())), "a graph"),
    "a size from a constant": (graph_of(helper.make_node("ConstantOfShape", ["one"], ["y"])), "'ConstantOfShape'"),
    "another domain": (graph_of(helper.make_node("Relu", ["image"], ["y"], domain="com.microsoft")), "'com.microsoft'"),
    "weights elsewhere": (graph_of(helper.make_node("Add", ["w", "w"], ["y"]), weights=[external()]), "another file"),
    "a constant elsewhere": (graph_of(helper.make_node("Constant", [], ["y"], value=external())), "another file"),
    "sparse weights": (with_sparse_weights(), "sparse"),
    "a sparse constant": (graph_of(helper.make_node("Constant", [], ["y"], sparse_value=sparse())), "sparse"),
    "a function": (with_function(), "functions"),
    "no operators": (graph_of(), "0 operators"),
    "too many operators": (graph_of(*[helper.make_node("Relu", ["image"], ["y"])] * (MAX_NODES + 1)), "operators"),
    "a tile as large as the image is bright": (decided_by_content("Tile", "count"), "the shape of a Tile"),
    "a padding": (decided_by_content("Pad", "count"), "the shape of a Pad"),
    "a reshape": (decided_by_content("Reshape", "count"), "the shape of a Reshape"),
    "a slice": (decided_by_content("Slice", "one", "count"), "the shape of a Slice"),
    "a sum": (decided_by_content("ReduceSum", "count"), "the shape of a ReduceSum"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_with_the_reason(name: str) -> None:
    model, words = REFUSED[name]
    with pytest.raises(GraphError, match=words):
        check_graph(model.SerializeToString(), INPUT)


def test_operators_that_come_before_what_they_use_are_followed_too() -> None:
    model = decided_by_content("Tile", "count")
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    with pytest.raises(GraphError, match="the shape of a Tile"):
        check_graph(model.SerializeToString(), INPUT)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_models_of_the_project_are_accepted(path: Path) -> None:
    check_graph(path.read_bytes(), INPUT)


def test_shapes_that_follow_from_other_shapes_are_accepted() -> None:
    check_graph(brightness_graph(features=3), INPUT)
    nodes = [
        FLOAT,
        helper.make_node("Shape", ["float"], ["shape"]),
        helper.make_node("Slice", ["shape", "one", "one"], ["part"]),
        helper.make_node("Tile", ["float", "shape"], ["y"]),
    ]
    check_graph(graph_of(*nodes).SerializeToString(), INPUT)


def test_the_reader_sees_every_operator_that_onnx_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in MODELS:
        operators = {node.op_type for node in onnx.load(path).graph.node}
        for missing in sorted(operators):
            monkeypatch.setattr("contract.graph.OPERATORS", operators - {missing})
            with pytest.raises(GraphError, match=f"the operator '{missing}'"):
                check_graph(path.read_bytes(), INPUT)


GOOD = brightness_graph()


@given(st.binary(max_size=64), st.integers(0, len(GOOD)), st.integers(0, 64))
def test_any_bytes_are_accepted_or_refused(new: bytes, at: int, dropped: int) -> None:
    for data in (new, GOOD[:at] + new + GOOD[at + dropped :]):
        try:
            check_graph(data, INPUT)
        except GraphError:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no graph",
        GOOD[:-1],
        GOOD + GOOD,  # Protocol Buffers would merge the two
        b"\x3b" + GOOD,  # a group
        b"\xba\x80\x00\x00",  # the tag of the graph, in more bytes than it needs
        b"\xff" * 11,
    ],
)
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(GraphError, match="it is not an ONNX model"):
        check_graph(data, INPUT)


def test_a_second_graph_in_the_file_is_refused_because_onnx_would_merge_it() -> None:
    loop = graph_of(helper.make_node("Loop", ["", "one"], ["y"], body=subgraph())).SerializeToString()
    assert {node.op_type for node in onnx.load_from_string(GOOD + loop).graph.node} >= {"Loop", "Cast"}
    with pytest.raises(GraphError):
        check_graph(GOOD + loop, INPUT)


def test_a_bundle_with_such_a_graph_is_refused_before_onnxruntime_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    folder = write_brightness_bundle(tmp_path / "b", REFUSED["an endless loop"][0].SerializeToString())
    with pytest.raises(BundleError) as refused:
        read_bundle(folder)
    assert str(refused.value) == f"{folder / GRAPH}: it has the operator 'Loop', which is not supported"


def test_large_weights_are_not_looked_at() -> None:
    weights = numpy_helper.from_array(np.zeros(2**22, np.float32), "w")
    check_graph(graph_of(helper.make_node("Add", ["w", "w"], ["y"]), weights=[weights]).SerializeToString(), INPUT)
