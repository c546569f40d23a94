"""The onnxruntime session: which graph of a bundle runs, and on which execution provider it really runs."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.bundle import GRAPH, INPUT, INT8_GRAPH, Bundle, BundleError
from service.errors import DeviceError
from service.inference.buckets import Buckets, Rows, bucket_sizes
from service.inference.threads.cpus import CallPlan
from service.settings import Device, Precision, Settings, SettingsError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# Of NVIDIA's driver on Linux, and of WSL.
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")
_ERRORS_ONLY = 3
# On a CPU, larger batches have no higher throughput (docs/settings.md); a GPU would be mostly idle with 4 images.
_MAX_BATCH = {CPU: 4, CUDA: 64}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """An onnxruntime session, and the name of the ONNX file in the bundle that it runs.

    ``buckets``: on CUDA, the warmed-up sessions by batch size; ``session`` is that of the largest. ``alone``: on a CPU,
    a second session with more threads per call, for a call while the service is otherwise idle; None if the plan has
    no such mode.
    """

    session: onnxruntime.InferenceSession
    graph: str
    buckets: Buckets | None = None
    alone: onnxruntime.InferenceSession | None = None

    @property
    def provider(self) -> str:
        """The execution provider of the live session, which may differ from the requested one."""
        return str(self.session.get_providers()[0])

    def run(self, names: Sequence[str], batch: NDArray[np.uint8], *, alone: bool = False) -> list[Rows]:
        """Compute the named outputs for a batch. Thread-safe.

        Args:
            names: of the outputs.
            batch: uint8 (n, 200, 200, 1).
            alone: whether the service is otherwise idle.
        """
        if self.buckets:
            return self.buckets.run(names, batch)
        session = self.alone if alone and self.alone else self.session
        outputs: list[Rows] = session.run(names, {INPUT: batch})
        return outputs


@dataclass(frozen=True, slots=True)
class Cuda:
    """The configuration of the model on CUDA.

    Args:
        max_batch: maximum images in one call.
        memory_bytes: maximum GPU memory for weights, tensors and workspaces of all sessions. CUDA's own memory comes on
            top.
        tf32: whether products may be rounded to TF32, with 10 bits of mantissa; float32 has 23.
    """

    max_batch: int
    memory_bytes: int
    tf32: bool

    @property
    def shares(self) -> dict[int, int]:
        """Bytes of each session, by batch size: a quarter of all in equal parts, for weights; the rest by size."""
        sizes = bucket_sizes(self.max_batch)
        evenly = self.memory_bytes // 4
        by_size = self.memory_bytes - evenly
        return {size: evenly // len(sizes) + by_size * size // sum(sizes) for size in sizes}

    def options(self, memory_bytes: int) -> dict[str, str]:
        """The options of onnxruntime's CUDA execution provider (CUDA-ExecutionProvider in its documentation)."""
        return {
            # cuDNN chooses by its heuristic; the default benchmarks all algorithms for each shape, with gigabytes of
            # workspace. cudnn_conv_use_max_workspace only bounds the workspace of that search, so it is not set.
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": str(int(self.tf32)),
            "gpu_mem_limit": str(memory_bytes),
            # The default doubles each allocation. The shapes are few, so the requested size is what is needed.
            "arena_extend_strategy": "kSameAsRequested",
        }


def cuda_of(settings: Settings) -> Cuda:
    """The CUDA configuration of these settings."""
    return Cuda(max_batch_of(settings, CUDA), settings.gpu_memory_bytes, settings.tf32)


def max_batch_of(settings: Settings, provider: str) -> int:
    """Maximum images in one call of a model on this execution provider."""
    return min(settings.max_batch or _MAX_BATCH[provider], settings.capacity)


def has_cuda() -> bool:
    """Whether onnxruntime has the execution provider for CUDA; it may fail to start nevertheless."""
    return CUDA in onnxruntime.get_available_providers()


def _expects_gpu() -> bool:
    """Whether there is a GPU, or the package for one is installed."""
    return has_cuda() or any(Path(device).exists() for device in GPU_DEVICES)


def open_session(bundle: Bundle, device: Device, precision: Precision, plan: CallPlan, cuda: Cuda) -> LiveSession:
    """Load the graph for the device that is really available.

    CUDA always runs the float32 graph; int8 is for the CPU. A CPU runs the graph of the given precision, and with
    ``auto`` the bundle's default for a CPU, including when the device ``auto`` has fallen back to the CPU.

    Args:
        bundle: has one or two graphs.
        device: ``auto`` tries CUDA where there is a GPU or the package for one, and falls back to the CPU with a
            warning; ``cuda`` does not fall back.
        precision: of the graph.
        plan: how model calls share the CPUs.
        cuda: the configuration on CUDA.

    Raises:
        SettingsError: the precision is int8, but the bundle has no such graph, or the model runs on CUDA.
        DeviceError: the device is ``cuda``, but the session does not run there.
        BundleError: the graph cannot be loaded.
    """
    cpu_name, graph = cpu_graph(bundle, precision)
    wants_cuda = device == "cuda" or (device == "auto" and _expects_gpu())
    if wants_cuda and (live := _on_cuda(bundle.graph, cuda)):
        if precision == "int8":
            raise SettingsError("XRAY_PRECISION=int8 is for the CPU, but CUDA works here: set XRAY_DEVICE=cpu with it")
        return live
    if device == "cuda":
        raise DeviceError("XRAY_DEVICE=cuda, but the model does not run on CUDA here (the log says why)")
    if wants_cuda:
        log.warning("CUDA cannot be used: the model runs on the CPU")
    sessions = {threads: cpu_session(graph, cpu_name, threads) for threads in {plan.threads, plan.alone}}
    alone = sessions[plan.alone] if plan.alone != plan.threads else None
    return LiveSession(sessions[plan.threads], cpu_name, alone=alone)


def cpu_graph(bundle: Bundle, precision: Precision) -> tuple[str, bytes]:
    """Name and bytes of the graph for the CPU.

    Raises:
        SettingsError: the precision is int8, but the bundle has no such graph.
    """
    name = {"auto": bundle.manifest.cpu_graph, "float32": GRAPH, "int8": INT8_GRAPH}[precision]
    if name == GRAPH:
        return name, bundle.graph
    if bundle.int8_graph is None:
        raise SettingsError(f"XRAY_PRECISION=int8, but this bundle has no {INT8_GRAPH}")
    return name, bundle.int8_graph


def _on_cuda(graph: bytes, cuda: Cuda) -> LiveSession | None:
    """Sessions that run on CUDA, or None, with the reason in the log.

    The provider is checked on the sessions themselves, and each has run once with its batch size.
    """
    if not has_cuda():
        log.warning("onnxruntime has no CUDA execution provider: install onnxruntime-gpu to use a GPU")
        return None
    onnxruntime.preload_dlls()  # loads CUDA and cuDNN from the wheels beside onnxruntime-gpu, if installed
    try:
        # One thread: only the arithmetic of shapes is left to the CPU.
        sessions = {
            size: _session(graph, {CUDA: cuda.options(share), CPU: {}}, 1) for size, share in cuda.shares.items()
        }
        if all(session.get_providers()[0] == CUDA for session in sessions.values()):
            return LiveSession(sessions[cuda.max_batch], GRAPH, Buckets(sessions))
        log.warning("onnxruntime has a CUDA execution provider but could not start it")
    except Exception as error:  # onnxruntime's exceptions have no common base class
        log.warning(
            "onnxruntime has a CUDA execution provider but could not start it", extra={"reason": _reason(error)}
        )
    return None


def cpu_session(graph: bytes, name: str, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args:
        graph: the ONNX file.
        name: of the graph, for errors.
        threads: per call.

    Raises:
        BundleError: the graph cannot be loaded.
    """
    try:
        return _session(graph, {CPU: {}}, threads)
    except Exception as error:  # as above
        log.debug("onnxruntime cannot load the graph", exc_info=error)
        why = "it takes too much memory" if "allocat" in str(error) else "onnxruntime cannot load this graph"
        raise BundleError(f"{name}: {why}") from error


def _reason(error: Exception) -> str:
    """The message of CUDA, without the source locations that onnxruntime adds."""
    message = re.search(r"CU(?:DA|DNN|BLAS) failure [^;]*", str(error))
    return message[0].strip() if message else str(error)[:300]


def _session(graph: bytes, providers: dict[str, dict[str, str]], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Arena, memory patterns and optimisation level keep their defaults: docs/decisions/0010 has measurements of each.
    # The decoding threads share the CPUs with the threads of the model, so an idle model thread should not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Else a file may also be of onnxruntime's own format, whose operators contract.graph cannot read.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # By default, a session whose provider fails, at its start or in a later run, prints a message on stdout and falls
    # back to the CPU. Then the provider reported at the start would no longer be the one that runs.
    return onnxruntime.InferenceSession(
        graph, options, providers=list(providers), provider_options=list(providers.values()), enable_fallback=0
    )
