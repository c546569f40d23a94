"""Which graph of a bundle runs where: the onnxruntime session, and the truth about it."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.bundle import GRAPH, INPUT, INT8_GRAPH, Bundle, BundleError
from service.errors import DeviceError
from service.inference.buckets import Buckets, Rows, bucket_sizes
from service.inference.cpus import Calls
from service.settings import Device, Precision, Settings, SettingsError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_ONLY = 3
# On a CPU, more of them a call answer no more of them a second (docs/settings.md); a GPU is idle with so few.
_MAX_BATCH = {CPU: 4, CUDA: 64}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session, and the name of the file in the bundle whose graph it runs.

    ``buckets``: on CUDA, all of them warm; the session is that of the largest. ``alone``: the same on a CPU, with more
    threads a call: for one that there is nothing beside; None where that would make no difference.
    """

    session: onnxruntime.InferenceSession
    graph: str
    buckets: Buckets | None = None
    alone: onnxruntime.InferenceSession | None = None

    @property
    def provider(self) -> str:
        """The execution provider of the live session, not the one that was asked for."""
        return str(self.session.get_providers()[0])

    def run(self, names: Sequence[str], batch: NDArray[np.uint8], *, alone: bool = False) -> list[Rows]:
        """The named outputs for a batch, uint8 (n, 200, 200, 1). From any number of threads at once.

        ``alone``: there is nothing else to do meanwhile.
        """
        if self.buckets:
            return self.buckets.run(names, batch)
        session = self.alone if alone and self.alone else self.session
        found: list[Rows] = session.run(names, {INPUT: batch})
        return found


@dataclass(frozen=True, slots=True)
class Cuda:
    """How the model runs on CUDA, where it does.

    Args:
        max_batch: most images in one call.
        memory_bytes: most bytes of the GPU for weights, tensors and workspaces, of all sessions. CUDA's own are not in
            it.
        tf32: whether products may be rounded to TF32's 10 bits of mantissa; float32 has 23.
    """

    max_batch: int
    memory_bytes: int
    tf32: bool

    @property
    def shares(self) -> dict[int, int]:
        """By size of batch, the bytes of its session: a quarter of all evenly, for weights; the rest by size."""
        sizes = bucket_sizes(self.max_batch)
        evenly = self.memory_bytes // 4
        by_size = self.memory_bytes - evenly
        return {size: evenly // len(sizes) + by_size * size // sum(sizes) for size in sizes}

    def options(self, memory_bytes: int) -> dict[str, str]:
        """Of onnxruntime's execution provider, in its words (CUDA-ExecutionProvider in its documentation)."""
        return {
            # Asks cuDNN for an algorithm; the default tries all out, for each shape, with gigabytes of workspace. With
            # that goes cudnn_conv_use_max_workspace too: it bounds the workspace of the search that is not done.
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": str(int(self.tf32)),
            "gpu_mem_limit": str(memory_bytes),
            # The default doubles what it takes each time. Shapes are few, so what is asked for is what is needed.
            "arena_extend_strategy": "kSameAsRequested",
        }


def cuda_of(settings: Settings) -> Cuda:
    """How the model runs on CUDA by these settings."""
    return Cuda(max_batch_of(settings, CUDA), settings.gpu_memory_bytes, settings.tf32)


def max_batch_of(settings: Settings, provider: str) -> int:
    """Most images in one call of a model that this execution provider runs."""
    return min(settings.max_batch or _MAX_BATCH[provider], settings.capacity)


def open_session(bundle: Bundle, device: Device, precision: Precision, calls: Calls, cuda: Cuda) -> LiveSession:
    """Load the graph that suits the device the model really gets.

    CUDA runs the float32 graph, always: int8 is for the CPU. A CPU runs the graph that the precision names, and with
    ``auto`` the one that the bundle names for it; also where ``auto`` hoped for CUDA and fell back.

    Args:
        bundle: with one graph, or two.
        device: ``auto`` tries CUDA and falls back to the CPU, saying so in the log; ``cuda`` does not fall back.
        precision: of the graph.
        calls: how they share the CPUs.
        cuda: how it runs on CUDA.

    Raises:
        SettingsError: int8 was asked for, and the bundle has no such graph or the model runs on CUDA.
        DeviceError: ``cuda`` was asked for and the session does not run there.
        BundleError: the graph cannot be loaded.
    """
    cpu_name, cpu_graph = _cpu_graph(bundle, precision)
    if device != "cpu" and (live := _on_cuda(bundle.graph, cuda)):
        if precision == "int8":
            raise SettingsError("XRAY_PRECISION=int8 is for the CPU, but CUDA works here: set XRAY_DEVICE=cpu with it")
        return live
    if device == "cuda":
        raise DeviceError("XRAY_DEVICE=cuda, but the model does not run on CUDA here (the log says why)")
    if device == "auto":
        log.warning("CUDA cannot be used: the model runs on the CPU")
    opened = {threads: _cpu_session(cpu_graph, cpu_name, threads) for threads in {calls.threads, calls.alone}}
    alone = opened[calls.alone] if calls.alone != calls.threads else None
    return LiveSession(opened[calls.threads], cpu_name, alone=alone)


def _cpu_graph(bundle: Bundle, precision: Precision) -> tuple[str, bytes]:
    """Name and bytes of the graph that a CPU runs."""
    name = {"auto": bundle.manifest.cpu_graph, "float32": GRAPH, "int8": INT8_GRAPH}[precision]
    if name == GRAPH:
        return name, bundle.graph
    if bundle.int8_graph is None:
        raise SettingsError(f"XRAY_PRECISION=int8, but this bundle has no {INT8_GRAPH}")
    return name, bundle.int8_graph


def _on_cuda(graph: bytes, cuda: Cuda) -> LiveSession | None:
    """Sessions that run on CUDA, or None, with the reason in the log.

    They themselves are asked where they run; and that they do run, for each size of batch, has been seen.
    """
    if CUDA not in onnxruntime.get_available_providers():
        log.warning("this onnxruntime has no CUDA execution provider")
        return None
    onnxruntime.preload_dlls()  # the CUDA and cuDNN wheels beside onnxruntime-gpu, if they are there
    try:
        # One thread: nothing but the arithmetic of shapes is left to the CPU.
        sessions = {
            size: _session(graph, {CUDA: cuda.options(share), CPU: {}}, 1) for size, share in cuda.shares.items()
        }
        if all(session.get_providers()[0] == CUDA for session in sessions.values()):
            return LiveSession(sessions[cuda.max_batch], GRAPH, Buckets(sessions))
        log.warning("onnxruntime has a CUDA execution provider but could not start it")
    except Exception as error:  # onnxruntime's own exception classes have no common base of their own
        log.warning(
            "onnxruntime has a CUDA execution provider but could not start it", extra={"reason": _reason(error)}
        )
    return None


def _cpu_session(graph: bytes, name: str, threads: int) -> onnxruntime.InferenceSession:
    try:
        return _session(graph, {CPU: {}}, threads)
    except Exception as error:  # as above
        log.debug("onnxruntime refused the graph", exc_info=error)
        raise BundleError(f"{name}: onnxruntime cannot load this graph") from error


def _reason(error: Exception) -> str:
    """What CUDA said, without the source lines that onnxruntime wraps it in."""
    said = re.search(r"CU(?:DA|DNN|BLAS) failure [^;]*", str(error))
    return said[0].strip() if said else str(error)[:300]


def _session(graph: bytes, providers: dict[str, dict[str, str]], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Arena, memory patterns and level of optimisation are as they come: docs/decisions/0010 has what each is worth.
    # Decoding threads share the CPUs with the model's: a model thread that has nothing to do should not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without this, a session whose provider fails, at its start or in any later run, prints so on stdout and goes on
    # with the CPU: then what was said of the provider at the start would no longer be true.
    return onnxruntime.InferenceSession(
        graph, options, providers=list(providers), provider_options=list(providers.values()), enable_fallback=0
    )
