"""Fakes with the interfaces of the real objects."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from contract.bundle import GRAPH, INPUT
from service.inference.backend import Outputs
from service.inference.session import CPU, CUDA
from service.inference.threads.cpus import CallPlan
from tests.waiting import DEADLINE_S

ONE_THREAD = CallPlan(runs=1, threads=1, alone=1)
_Session, _Value = onnxruntime.InferenceSession, onnxruntime.OrtValue.ortvalue_from_shape_and_type


class FakeBackend:
    """Scores each image by its mean brightness, 0..1; its guard score, if guarded, is ten times that. Records batches.

    Set ``hold`` to keep the model busy until it is set, ``on_call`` to a function that each call runs first, ``fails``
    to the grey level of images that make a call fail, ``invalid`` to that of images that get NaN, ``heatmap`` to the
    heatmap of every explained image, float32 (h, w).
    """

    provider = CPU
    graph = GRAPH

    def __init__(self, *, guarded: bool = False) -> None:
        self.guarded = guarded
        self.sizes: list[int] = []
        self.explained: list[bool] = []
        self.alone: list[bool] = []
        self.hold: threading.Event | None = None
        self.on_call: Callable[[], object] = lambda: None
        self.fails: int | None = None
        self.invalid: int | None = None
        self.heatmap: NDArray[np.float32] = np.zeros((5, 5), np.float32)

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch."""
        self.sizes.append(len(batch))
        self.explained.append(explain)
        self.alone.append(alone)
        self.on_call()
        if self.hold is not None:
            self.hold.wait(DEADLINE_S)
        if self.fails is not None and (batch == self.fails).all((1, 2, 3)).any():
            raise RuntimeError("told to fail")
        brightness: NDArray[np.float64] = batch.mean((1, 2, 3)) / 255
        scores = brightness.astype(np.float32)
        if self.invalid is not None:
            scores[(batch == self.invalid).all((1, 2, 3))] = np.nan
        heatmaps = np.stack([self.heatmap] * len(batch)) if explain else None
        return Outputs(scores, 10 * brightness if self.guarded else None, heatmaps)


class CudaSession:
    """A session that claims to run on CUDA: a real one on the CPU, whose memory stands in for the GPU's.

    Inputs and outputs are really bound. Records the batches of all runs as the graph got them.
    """

    def __init__(
        self, graph: bytes, _: object, *, providers: list[str], provider_options: list[dict[str, str]]
    ) -> None:
        self.providers, self.options = providers, dict(zip(providers, provider_options, strict=True))
        self._real = _Session(graph, providers=[CPU])
        self.batches: list[NDArray[np.uint8]] = []
        self.bound = 0
        self._running = threading.Lock()

    @property
    def sizes(self) -> list[int]:
        """Batch sizes, in order."""
        return [len(batch) for batch in self.batches]

    def get_providers(self) -> list[str]:
        """The execution providers that it claims."""
        return self.providers

    def run(self, names: list[str], feed: dict[str, NDArray[np.uint8]]) -> Any:
        """Run without bindings."""
        self.batches.append(feed[INPUT].copy())
        return self._real.run(names, feed)

    def io_binding(self) -> Any:
        """A real binding."""
        return self._real.io_binding()

    def run_with_iobinding(self, binding: Any) -> None:
        """Run with a binding. Concurrent runs fail: on CUDA they would share the memory of the binding."""
        assert self._running.acquire(blocking=False), "two runs at once"
        try:
            self.bound += 1
            self.batches.append(binding._bound_inputs[INPUT].numpy().copy())
            self._real.run_with_iobinding(binding)
        finally:
            self._running.release()

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def pretend_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make onnxruntime look to the service as it does with a working GPU."""

    def on_the_gpu(shape: tuple[int, ...], kind: type, device: str, number: int) -> Any:
        assert (device, number) == ("cuda", 0)
        return _Value(shape, kind, "cpu", 0)

    def session(graph: bytes, options: object, *, providers: list[str], enable_fallback: int, **others: Any) -> Any:
        assert enable_fallback == 0  # on, it prints on stdout and goes on with the CPU
        if CUDA in providers:
            return CudaSession(graph, options, providers=providers, **others)
        return _Session(graph, options, providers=providers, enable_fallback=enable_fallback, **others)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", on_the_gpu)
