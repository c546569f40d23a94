"""The session says where it really runs, and takes only graphs that keep the contract."""

import logging

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from contract.bundle import BundleError
from service.backend import CPU, CUDA, DeviceError, OnnxBackend
from tests.bundles import brightness_graph


class Session:
    """onnxruntime's session, as it is when CUDA works, or when it silently does not."""

    def __init__(self, providers: list[str]) -> None:
        self._providers = providers
        self._real = _REAL(brightness_graph(), providers=[CPU])

    def get_providers(self) -> list[str]:
        return self._providers

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


_REAL = onnxruntime.InferenceSession


@pytest.fixture
def cuda_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda graph, options, providers: Session(providers))


@pytest.fixture
def cuda_fails(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a missing cuDNN: the provider is listed, the session is made, and runs on the CPU."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda graph, options, providers: Session([CPU]))


def test_gives_one_probability_an_image() -> None:
    batch = np.stack([np.full((200, 200, 1), value, np.uint8) for value in (0, 51, 204)])
    assert OnnxBackend(brightness_graph(), "cpu", 1).predict(batch) == pytest.approx([0, 0.2, 0.8], abs=1e-4)


def test_auto_without_cuda_runs_on_the_cpu_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert OnnxBackend(brightness_graph(), "auto", 1).provider == CPU
    assert "CUDA cannot be used: the model runs on the CPU" in caplog.text


def test_cpu_does_not_mention_cuda(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert OnnxBackend(brightness_graph(), "cpu", 1).provider == CPU
    assert not caplog.text


def test_cuda_without_cuda_refuses() -> None:
    with pytest.raises(DeviceError):
        OnnxBackend(brightness_graph(), "cuda", 1)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.usefixtures("cuda_works")
def test_cuda_is_used_where_it_works(device: str) -> None:
    assert OnnxBackend(brightness_graph(), device, 1).provider == CUDA  # type: ignore[arg-type]


@pytest.mark.usefixtures("cuda_fails")
def test_a_silent_fallback_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        OnnxBackend(brightness_graph(), "cuda", 1)
    assert OnnxBackend(brightness_graph(), "auto", 1).provider == CPU
    assert "could not start it" in caplog.text


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (b"not a graph", "cannot load"),
        (brightness_graph()[:200], "cannot load"),
        (brightness_graph(input_type=TensorProto.FLOAT), "uint8"),
        (brightness_graph(batch=1), "N dynamic"),
    ],
    ids=["garbage", "cut", "float input", "fixed batch"],
)
def test_a_graph_that_breaks_the_contract_is_refused(graph: bytes, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        OnnxBackend(graph, "cpu", 1)
