"""Which ONNX graphs a bundle may have: those whose cost follows from their size and from that of the batch.

A graph is a program. One of 300 bytes may take gigabytes, or never end. So only operators are allowed whose time is
bounded by the sizes of their inputs and outputs: no control flow, nothing drawn at random. They are what ``training/``
exports, and others of the same kind. And no size may depend on the content of an image: shapes may be computed from
weights and from the shapes of other values only. So the cost of a graph is the same for every batch of one size;
service.inference.loading.trial measures it before the graph is served.

The file is read as far as needed, in the encoding of Protocol Buffers (protobuf.dev/programming-guides/encoding); the
numbers of the fields are those of onnx.proto3 (github.com/onnx/onnx). Anything else is refused.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Of ONNX's own set of operators. Tile, Pad and Gather can enlarge, and Concat can double: by sizes, not by contents.
_FOR_EACH_VALUE = """
Abs Add And Cast Ceil Clip Div Elu Equal Erf Exp Floor Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu
Less LessOrEqual Log Max Min Mul Neg Not Or Pow PRelu Reciprocal Relu Round Selu Sigmoid Softmax Softplus Sqrt Sub Tanh
Where DequantizeLinear QuantizeLinear
"""
_LAYERS = """
AveragePool BatchNormalization Conv Gemm GlobalAveragePool GlobalMaxPool LayerNormalization MatMul MaxPool
ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_SHAPES = "Concat Constant Flatten Gather Pad Reshape Shape Slice Split Squeeze Tile Transpose Unsqueeze"
OPERATORS = frozenset(f"{_FOR_EACH_VALUE} {_LAYERS} {_SHAPES}".split())
# Operators whose output shape depends on the values of their inputs after the first.
_SHAPED = frozenset({"Pad", "Reshape", "Slice", "Split", "Squeeze", "Tile", "Unsqueeze"}) | {
    name for name in OPERATORS if name.startswith("Reduce")
}
MAX_NODES = 20_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Fields: of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto.
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_TENSOR, _SUBGRAPHS, _SPARSE = 5, frozenset({6, 11}), frozenset({22, 23})
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


class GraphError(Exception):
    """A graph that must not be served; the message says why."""


@dataclass(slots=True)
class _Node:
    """An operator of a graph, and the names of the values that it takes and makes."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def check_graph(model: bytes, image: str) -> None:
    """Check that an ONNX file has one graph whose cost does not depend on what is in an image.

    Args:
        model: the file.
        image: the name of the graph's input.

    Raises:
        GraphError: it has something that is not supported.
    """
    graphs = []
    for number, value in _fields(memoryview(model)):
        if number in {_TRAINING, _FUNCTIONS}:
            raise GraphError("it has functions or training steps of its own, which are not supported")
        if number == _GRAPH:
            graphs.append(_message(value))
    if len(graphs) != 1:
        raise GraphError("it is not an ONNX model")
    nodes = _read_nodes(graphs[0])
    if not 0 < len(nodes) <= MAX_NODES:
        raise GraphError(f"it has {len(nodes)} operators; 1 to {MAX_NODES} are supported")
    _check_shapes(nodes, image)


def _check_shapes(nodes: Sequence[_Node], image: str) -> None:
    """Check that no shape is decided by a value that is computed from what is in an image."""
    users = defaultdict(list)
    for node in nodes:
        for name in node.inputs:
            users[name].append(node)
    by_content, names = {image}, [image]
    while names:
        for node in users[names.pop()]:
            new = set(node.outputs) - by_content if node.operator != "Shape" else set()
            by_content |= new
            names += new
    for node in nodes:
        if node.operator in _SHAPED and by_content.intersection(node.inputs[1:]):
            raise GraphError(f"what is in an image decides the shape of a {node.operator}, which is not supported")


def _read_nodes(graph: memoryview) -> list[_Node]:
    nodes = []
    for number, value in _fields(graph):
        if number == _NODE:
            nodes.append(_read_node(_message(value)))
        elif number == _INITIALIZER:
            _check_tensor(_message(value))
        elif number == _SPARSE_INITIALIZER:
            raise GraphError("it has sparse weights, which are not supported")
    return nodes


def _read_node(raw: memoryview) -> _Node:
    node = _Node()
    for number, value in _fields(raw):
        if number == _OP_TYPE:
            if node.operator or (name := _text(value)) not in OPERATORS:
                raise GraphError(f"it has the operator {_text(value)!r}, which is not supported")
            node.operator = name
        elif number == _DOMAIN and (domain := _text(value)) not in {"", "ai.onnx"}:
            raise GraphError(f"it has an operator of {domain!r}; only those of ONNX itself are supported")
        elif number == _ATTRIBUTE:
            _check_attribute(_message(value))
        elif number in {_INPUT, _OUTPUT}:
            (node.inputs if number == _INPUT else node.outputs).append(_text(value))
    return node


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in _SUBGRAPHS or number in _SPARSE:
            raise GraphError("an operator has a graph or a sparse tensor of its own, which is not supported")
        if number == _TENSOR:
            _check_tensor(_message(value))


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
            raise GraphError("its weights are in another file, which is not supported")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The numbers and values of a message's fields, in order; a value is a number, or the bytes of what is longer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind, number = tag & 7, tag >> 3
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            length = 8 if kind == _FIXED64 else 4
        else:
            raise GraphError("it is not an ONNX model")
        if length > len(message) - at:
            raise GraphError("it is not an ONNX model, or is cut short")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of up to 64 bits at a place, and the place after it. In one way only: other readers cut longer ones."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte, at = message[at], at + 1
        value |= (byte & 127) << shift
        if byte < 128:
            if shift and not byte:
                break
            return value, at
    raise GraphError("it is not an ONNX model, or is cut short")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise GraphError("it is not an ONNX model")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode(errors="replace")
