"""Weights are read from a file of PyTorch without PyTorch: any order of axes, and nothing but weights."""

import io
import pickle
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tools.imagenet_weights import folded, read

STORAGE = np.arange(24, dtype=np.float32)


def rebuild(*_: Any) -> None:
    """Stands for ``torch._utils._rebuild_tensor_v2``, which is never called here."""


class Tensor:
    """Pickled as PyTorch does it: a function, the storage, its start, shape and strides."""

    def __init__(self, start: int, shape: tuple[int, ...], steps: tuple[int, ...]) -> None:
        self.arguments = start, shape, steps

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (FloatStorage(), *self.arguments, False, OrderedDict())


class FloatStorage:
    """Pickled as a persistent id."""


class Pickler(pickle.Pickler):
    """Replaces storages by their ids."""

    def persistent_id(self, obj: Any) -> Any:
        return ("storage", sys.modules["torch"].FloatStorage, "7", "cpu", 24) if isinstance(obj, FloatStorage) else None


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two names that a file of weights refers to, where PyTorch has them."""
    for name, module in (("torch", ModuleType("torch")), ("torch._utils", ModuleType("torch._utils"))):
        monkeypatch.setitem(sys.modules, name, module)
    kind = type("FloatStorage", (), {"__module__": "torch"})
    monkeypatch.setattr(sys.modules["torch"], "FloatStorage", kind, raising=False)
    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    monkeypatch.setattr(sys.modules["torch._utils"], "_rebuild_tensor_v2", rebuild, raising=False)


def stored(state: Any) -> bytes:
    file = io.BytesIO()
    for preamble in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(preamble, file, 2)
    Pickler(file, 2).dump(state)
    pickle.dump(["7"], file, 2)
    file.write(struct.pack("<q", 24) + STORAGE.tobytes())
    return file.getvalue()


@pytest.mark.usefixtures("torch")
def test_tensors_come_back_whatever_order_their_axes_have_in_memory(tmp_path: Path) -> None:
    state = OrderedDict(plain=Tensor(2, (2, 3), (3, 1)), turned=Tensor(0, (4, 6), (1, 4)), one=Tensor(5, (), ()))
    (tmp_path / "weights.pth").write_bytes(stored(state))
    found = read(tmp_path / "weights.pth")
    assert found["plain"].tolist() == [[2, 3, 4], [5, 6, 7]]
    assert np.array_equal(found["turned"], STORAGE.reshape(6, 4).T)
    assert found["one"] == 5


def test_a_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(stored(OrderedDict(harm=print)))
    with pytest.raises(pickle.UnpicklingError, match="print does not belong"):
        read(tmp_path / "weights.pth")


def test_batch_normalisation_becomes_part_of_the_kernel() -> None:
    rng = np.random.default_rng(1)
    weights = {f"norm.{part}": rng.uniform(0.5, 2, 3).astype(np.float32) for part in ("weight", "bias", "running_mean")}
    weights |= {"norm.running_var": np.array([0.3, 1, 4], np.float32)}
    weights |= {"conv.weight": rng.normal(size=(3, 5, 1, 1)).astype(np.float32)}
    kernel, bias = folded(weights, "conv", "norm", (2, 3, 1, 0))
    pixel = rng.normal(size=5).astype(np.float32)
    convolved = weights["conv.weight"][:, :, 0, 0] @ pixel
    deviation = np.sqrt(weights["norm.running_var"] + 1e-3)
    normal = (convolved - weights["norm.running_mean"]) / deviation * weights["norm.weight"] + weights["norm.bias"]
    assert pixel @ kernel[0, 0] + bias == pytest.approx(normal, abs=1e-5)
