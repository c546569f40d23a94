"""Which graph runs where: what was asked for, what the bundle chose, and what the session says it really is."""

import logging

import numpy as np
import onnxruntime
import pytest

from contract.bundle import GRAPH, INT8_GRAPH, Bundle
from service.session import CPU, CUDA, DeviceError, LiveSession, open_session
from service.settings import Device, Precision, SettingsError
from tests.bundles import INT8_FULL, brightness_bundle, brightness_graph

_REAL = onnxruntime.InferenceSession
ONE_GRAPH = brightness_bundle()
TWO_GRAPHS = brightness_bundle(int8_graph=brightness_graph(full=INT8_FULL), cpu_graph=INT8_GRAPH)
# An int8 graph that was measured, and found no better than the other.
PREFERS_FLOAT32 = brightness_bundle(int8_graph=brightness_graph(full=INT8_FULL))


class Session:
    """onnxruntime's session, as it is when CUDA works, or when it silently does not."""

    def __init__(self, graph: bytes, providers: list[str]) -> None:
        self._providers = providers
        self._real = _REAL(graph, providers=[CPU])

    def get_providers(self) -> list[str]:
        return self._providers

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@pytest.fixture
def cuda_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda graph, _, providers, **__: Session(graph, providers))


@pytest.fixture
def cuda_fails(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a missing cuDNN: the provider is listed, the session is made, and runs on the CPU."""
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda graph, _, providers, **__: Session(graph, [CPU]))


@pytest.fixture
def cuda_raises(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an old driver or none: onnxruntime-gpu 1.26 where there is no GPU, with its fallback off."""

    def session(graph: bytes, _: object, providers: list[str], enable_fallback: int) -> Session:
        assert enable_fallback == 0  # on, it prints this on stdout and goes on with the CPU
        if CUDA in providers:
            raise RuntimeError(
                "cuda_call.cc:114 [with ERRTYPE = cudaError; bool THRW = true] CUDA failure 35: CUDA driver version is "
                "insufficient for CUDA runtime version ; GPU=-1 ; hostname=x ; expr=cudaSetDevice(info_.device_id);"
            )
        return Session(graph, providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)


def graph_that_answers(live: LiveSession) -> str:
    """By what it answers to a white picture, not by what it is called."""
    white = np.full((1, 200, 200, 1), 255, np.uint8)
    return GRAPH if live.session.run(["probability"], {"image": white})[0][0] > 0.995 else INT8_GRAPH


@pytest.mark.parametrize(
    ("bundle", "precision", "graph"),
    [
        (ONE_GRAPH, "auto", GRAPH),
        (ONE_GRAPH, "float32", GRAPH),
        (TWO_GRAPHS, "auto", INT8_GRAPH),
        (TWO_GRAPHS, "float32", GRAPH),
        (TWO_GRAPHS, "int8", INT8_GRAPH),
        (PREFERS_FLOAT32, "auto", GRAPH),
        (PREFERS_FLOAT32, "int8", INT8_GRAPH),
    ],
)
def test_a_cpu_runs_the_graph_that_precision_and_bundle_choose(
    bundle: Bundle, precision: Precision, graph: str
) -> None:
    live = open_session(bundle, "cpu", precision, 1)
    assert (live.provider, live.graph, graph_that_answers(live)) == (CPU, graph, graph)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_int8_without_such_a_graph_is_refused(device: Device) -> None:
    with pytest.raises(SettingsError, match=r"^XRAY_PRECISION=int8, but this bundle has no model\.int8\.onnx$"):
        open_session(ONE_GRAPH, device, "int8", 1)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.usefixtures("cuda_works")
def test_cuda_is_used_where_it_works_and_runs_float32(device: Device, precision: Precision) -> None:
    live = open_session(TWO_GRAPHS, device, precision, 1)
    assert (live.provider, live.graph, graph_that_answers(live)) == (CUDA, GRAPH, GRAPH)


@pytest.mark.usefixtures("cuda_works")
def test_int8_where_cuda_works_is_refused() -> None:
    with pytest.raises(SettingsError, match="set XRAY_DEVICE=cpu with it"):
        open_session(TWO_GRAPHS, "auto", "int8", 1)
    assert open_session(TWO_GRAPHS, "cpu", "int8", 1).graph == INT8_GRAPH


@pytest.mark.usefixtures("cuda_fails")
def test_a_silent_fallback_is_not_believed_and_takes_the_cpu_s_graph(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        open_session(TWO_GRAPHS, "cuda", "auto", 1)
    for precision, graph in (("auto", INT8_GRAPH), ("float32", GRAPH), ("int8", INT8_GRAPH)):
        live = open_session(TWO_GRAPHS, "auto", precision, 1)  # type: ignore[arg-type]
        assert (live.provider, live.graph, graph_that_answers(live)) == (CPU, graph, graph)
    assert "could not start it" in caplog.text


@pytest.mark.usefixtures("cuda_raises")
def test_a_driver_that_is_too_old_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        open_session(TWO_GRAPHS, "cuda", "auto", 1)
    reason = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    assert [getattr(record, "reason", None) for record in caplog.records] == [reason]
    assert open_session(TWO_GRAPHS, "auto", "auto", 1).provider == CPU


def test_a_live_session_never_changes_its_provider_by_itself() -> None:
    assert open_session(ONE_GRAPH, "cpu", "auto", 1).session._enable_fallback is False


def test_auto_without_cuda_runs_on_the_cpu_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    live = open_session(TWO_GRAPHS, "auto", "auto", 1)
    assert (live.provider, live.graph, graph_that_answers(live)) == (CPU, INT8_GRAPH, INT8_GRAPH)
    assert "CUDA cannot be used: the model runs on the CPU" in caplog.text


def test_cpu_does_not_mention_cuda(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert open_session(ONE_GRAPH, "cpu", "auto", 1).provider == CPU
    assert not caplog.text


def test_cuda_without_cuda_refuses() -> None:
    with pytest.raises(DeviceError):
        open_session(ONE_GRAPH, "cuda", "auto", 1)
