"""Which graph runs where: the settings, the bundle's default, and the provider of the session."""

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from contract.bundle import GRAPH, INT8_GRAPH, Bundle
from service.errors import DeviceError
from service.inference import session
from service.inference.buckets import bucket_sizes
from service.inference.session import CPU, CUDA, Cuda, LiveSession, cuda_of, max_batch_of, open_session
from service.inference.threads.cpus import CallPlan
from service.settings import Device, Precision, Settings, SettingsError
from tests import BUNDLED_MODEL, ROOT
from tests.bundles import INT8_FULL, brightness_bundle, brightness_graph
from tests.commands import run
from tests.fakes import ONE_THREAD, CudaSession, pretend_cuda

ONE_GRAPH = brightness_bundle()
TWO_GRAPHS = brightness_bundle(int8_graph=brightness_graph(full=INT8_FULL), cpu_graph=INT8_GRAPH)
# An int8 graph that was measured, and found no better than the other.
PREFERS_FLOAT32 = brightness_bundle(int8_graph=brightness_graph(full=INT8_FULL))


DEFAULTS = Cuda(max_batch=4, memory_bytes=2**30, tf32=False)


@pytest.fixture
def cuda_works(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_cuda(monkeypatch)


@pytest.fixture
def cuda_fails(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a missing cuDNN: the provider is listed, the session is made, and runs on the CPU."""
    monkeypatch.setattr(CudaSession, "get_providers", lambda self: [CPU])


@pytest.fixture
def cuda_raises(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an old driver or none: onnxruntime-gpu 1.26 where there is no GPU, with its fallback off."""

    def session(*_: object, **__: object) -> None:
        raise RuntimeError(
            "cuda_call.cc:114 [with ERRTYPE = cudaError; bool THRW = true] CUDA failure 35: CUDA driver version is "
            "insufficient for CUDA runtime version ; GPU=-1 ; hostname=x ; expr=cudaSetDevice(info_.device_id);"
        )

    monkeypatch.setattr(CudaSession, "__init__", session)


@pytest.fixture
def cuda_is_full(cuda_works: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that others have filled: small batches run, and four images do not."""
    run = CudaSession.run

    def full(self: CudaSession, names: list[str], feed: dict[str, NDArray[np.uint8]]) -> object:
        if len(feed["image"]) == 4:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 20480000")
        return run(self, names, feed)

    monkeypatch.setattr(CudaSession, "run", full)


def graph_in_use(live: LiveSession) -> str:
    """Identified by its output for a white image, not by its name."""
    white = np.full((1, 200, 200, 1), 255, np.uint8)
    return GRAPH if live.run(["probability"], white)[0][0] > 0.995 else INT8_GRAPH


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
    live = open_session(bundle, "cpu", precision, ONE_THREAD, DEFAULTS)
    assert (live.provider, live.graph, graph_in_use(live)) == (CPU, graph, graph)


def test_a_call_in_an_idle_service_has_a_session_with_more_threads() -> None:
    assert open_session(ONE_GRAPH, "cpu", "auto", ONE_THREAD, DEFAULTS).alone is None
    live = open_session(TWO_GRAPHS, "cpu", "auto", CallPlan(runs=2, threads=1, alone=2), DEFAULTS)
    threads = [session.get_session_options().intra_op_num_threads for session in (live.session, live.alone) if session]
    assert threads == [1, 2]
    batch = np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1).repeat(200, 1).repeat(200, 2)
    concurrent, alone = (live.run(["probability"], batch, alone=is_alone)[0] for is_alone in (False, True))
    np.testing.assert_array_equal(alone, concurrent)


# Prints by how many MiB the process has grown after it tried a batch out, and after calls with several images.
GROWN = """
import re, sys, pathlib
import numpy as np
from contract.bundle import read_bundle
from service.inference.threads.cpus import CallPlan
from service.inference.loading.trial import try_out
from service.inference.session import Cuda, open_session

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) // 1024
bundle = read_bundle(pathlib.Path(sys.argv[1]))
live = open_session(bundle, "cpu", "auto", CallPlan(2, 1, 1), Cuda(1, 0, tf32=False))
images = np.random.default_rng(1).integers(0, 256, (8, 200, 200, 1), np.uint8)
live.run(["probability"], images[:1])
before = resident()
try_out(live.session, live.graph, len(images))
tried = resident()
expected = live.run(["probability"], images)[0]
assert np.allclose(live.run(["probability"], images[:1])[0], expected[:1], atol=1e-6)
print(tried - before, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_batch_takes_that_is_tried_out_is_returned() -> None:
    tried, kept = map(int, run([sys.executable, "-c", GROWN, str(BUNDLED_MODEL)], cwd=ROOT).stdout.split())
    assert tried < kept / 2


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_int8_without_such_a_graph_is_refused(device: Device) -> None:
    with pytest.raises(SettingsError, match=r"^XRAY_PRECISION=int8, but this bundle has no model\.int8\.onnx$"):
        open_session(ONE_GRAPH, device, "int8", ONE_THREAD, DEFAULTS)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.usefixtures("cuda_works")
def test_cuda_is_used_where_it_works_and_runs_float32(device: Device, precision: Precision) -> None:
    live = open_session(TWO_GRAPHS, device, precision, ONE_THREAD, DEFAULTS)
    assert (live.provider, live.graph, graph_in_use(live)) == (CUDA, GRAPH, GRAPH)


@pytest.mark.usefixtures("cuda_works")
def test_int8_on_cuda_is_refused() -> None:
    with pytest.raises(SettingsError, match="set XRAY_DEVICE=cpu with it"):
        open_session(TWO_GRAPHS, "auto", "int8", ONE_THREAD, DEFAULTS)
    assert open_session(TWO_GRAPHS, "cpu", "int8", ONE_THREAD, DEFAULTS).graph == INT8_GRAPH


@pytest.mark.usefixtures("cuda_fails")
def test_a_silent_fallback_is_detected_and_uses_the_graph_for_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        open_session(TWO_GRAPHS, "cuda", "auto", ONE_THREAD, DEFAULTS)
    for precision, graph in (("auto", INT8_GRAPH), ("float32", GRAPH), ("int8", INT8_GRAPH)):
        live = open_session(TWO_GRAPHS, "auto", precision, ONE_THREAD, DEFAULTS)  # type: ignore[arg-type]
        assert (live.provider, live.graph, graph_in_use(live)) == (CPU, graph, graph)
    assert "could not start it" in caplog.text


@pytest.mark.usefixtures("cuda_raises")
def test_a_driver_that_is_too_old_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        open_session(TWO_GRAPHS, "cuda", "auto", ONE_THREAD, DEFAULTS)
    reason = "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version"
    assert [getattr(record, "reason", None) for record in caplog.records] == [reason]
    assert open_session(TWO_GRAPHS, "auto", "auto", ONE_THREAD, DEFAULTS).provider == CPU


def test_a_live_session_never_changes_its_provider_by_itself() -> None:
    assert open_session(ONE_GRAPH, "cpu", "auto", ONE_THREAD, DEFAULTS).session._enable_fallback is False


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_without_cuda_runs_on_the_cpu_and_says_so_where_there_is_a_gpu(
    has_gpu: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gpu").touch()
    monkeypatch.setattr(session, "GPU_DEVICES", (str(tmp_path / ("gpu" if has_gpu else "none")),))
    live = open_session(TWO_GRAPHS, "auto", "auto", ONE_THREAD, DEFAULTS)
    assert (live.provider, live.graph, graph_in_use(live)) == (CPU, INT8_GRAPH, INT8_GRAPH)
    assert ("CUDA cannot be used: the model runs on the CPU" in caplog.text) == has_gpu
    assert bool(caplog.records) == has_gpu


def test_cpu_does_not_mention_cuda(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert open_session(ONE_GRAPH, "cpu", "auto", ONE_THREAD, DEFAULTS).provider == CPU
    assert not caplog.text


def test_cuda_without_cuda_is_an_error() -> None:
    with pytest.raises(DeviceError):
        open_session(ONE_GRAPH, "cuda", "auto", ONE_THREAD, DEFAULTS)


@pytest.mark.usefixtures("cuda_is_full")
def test_a_gpu_without_room_for_the_largest_batch_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DeviceError):
        open_session(TWO_GRAPHS, "cuda", "auto", ONE_THREAD, DEFAULTS)
    assert "Failed to allocate memory" in caplog.records[-1].reason  # type: ignore[attr-defined]
    assert open_session(TWO_GRAPHS, "auto", "auto", ONE_THREAD, DEFAULTS).provider == CPU
    small = Cuda(max_batch=3, memory_bytes=2**30, tf32=False)
    assert open_session(TWO_GRAPHS, "auto", "auto", ONE_THREAD, small).provider == CUDA


@pytest.mark.usefixtures("cuda_works")
@pytest.mark.parametrize("tf32", [False, True])
def test_cuda_gets_the_options_of_the_settings_and_the_cpu_none(tf32: bool) -> None:
    cuda = cuda_of(Settings(tf32=tf32, gpu_memory_bytes=2**30, max_batch=3))
    live = open_session(ONE_GRAPH, "auto", "auto", ONE_THREAD, cuda)
    assert live.session.options == {
        CUDA: {
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": str(int(tf32)),
            "gpu_mem_limit": str(cuda.shares[3]),
            "arena_extend_strategy": "kSameAsRequested",
        },
        CPU: {},
    }
    assert set(live.session.sizes) == {3}


@given(largest=st.integers(1, 256), memory=st.integers(2**28, 2**34))
def test_the_sessions_on_a_gpu_share_its_memory(largest: int, memory: int) -> None:
    shares = Cuda(largest, memory, tf32=False).shares
    assert tuple(shares) == bucket_sizes(largest)
    assert 0.999 * memory < sum(shares.values()) <= memory
    assert list(shares.values()) == sorted(shares.values())
    assert min(shares.values()) >= memory / 4 / len(shares) - 1


@pytest.mark.parametrize(
    ("options", "on_cpu", "on_cuda"),
    [({}, 4, 64), ({"max_batch": 7}, 7, 7), ({"capacity": 5, "max_images": 5}, 4, 5), ({"max_batch": 256}, 128, 128)],
)
def test_the_largest_batch_depends_on_the_provider_unless_set(
    options: dict[str, int], on_cpu: int, on_cuda: int
) -> None:
    settings = Settings(**options)  # type: ignore[arg-type]
    assert (max_batch_of(settings, CPU), max_batch_of(settings, CUDA)) == (on_cpu, on_cuda)
    assert cuda_of(settings).max_batch == on_cuda
