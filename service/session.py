"""Which graph of a bundle runs where: the onnxruntime session, and the truth about it."""

import logging
import re
from dataclasses import dataclass

import onnxruntime

from contract.bundle import GRAPH, INT8_GRAPH, Bundle, BundleError
from service.settings import Device, Precision, SettingsError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_ONLY = 3

log = logging.getLogger(__name__)


class DeviceError(Exception):
    """The device that was asked for cannot be used."""


@dataclass(frozen=True, slots=True)
class LiveSession:
    """A session, and the name of the file in the bundle whose graph it runs."""

    session: onnxruntime.InferenceSession
    graph: str

    @property
    def provider(self) -> str:
        """The execution provider of the live session, not the one that was asked for."""
        return str(self.session.get_providers()[0])


def open_session(bundle: Bundle, device: Device, precision: Precision, threads: int) -> LiveSession:
    """Load the graph that suits the device the model really gets.

    CUDA runs the float32 graph, always: int8 is for the CPU. A CPU runs the graph that the precision names, and with
    ``auto`` the one that the bundle names for it; also where ``auto`` hoped for CUDA and fell back.

    Args:
        bundle: with one graph, or two.
        device: ``auto`` tries CUDA and falls back to the CPU, saying so in the log; ``cuda`` does not fall back.
        precision: of the graph.
        threads: of one call, on the CPU.

    Raises:
        SettingsError: int8 was asked for, and the bundle has no such graph or the model runs on CUDA.
        DeviceError: ``cuda`` was asked for and the session does not run there.
        BundleError: the graph cannot be loaded.
    """
    cpu_name, cpu_graph = _cpu_graph(bundle, precision)
    if device != "cpu" and (session := _cuda_session(bundle.graph, threads)):
        if precision == "int8":
            raise SettingsError("XRAY_PRECISION=int8 is for the CPU, but CUDA works here: set XRAY_DEVICE=cpu with it")
        return LiveSession(session, GRAPH)
    if device == "cuda":
        raise DeviceError("XRAY_DEVICE=cuda, but the model does not run on CUDA here (the log says why)")
    if device == "auto":
        log.warning("CUDA cannot be used: the model runs on the CPU")
    return LiveSession(_cpu_session(cpu_graph, cpu_name, threads), cpu_name)


def _cpu_graph(bundle: Bundle, precision: Precision) -> tuple[str, bytes]:
    """Name and bytes of the graph that a CPU runs."""
    name = {"auto": bundle.manifest.cpu_graph, "float32": GRAPH, "int8": INT8_GRAPH}[precision]
    if name == GRAPH:
        return name, bundle.graph
    if bundle.int8_graph is None:
        raise SettingsError(f"XRAY_PRECISION=int8, but this bundle has no {INT8_GRAPH}")
    return name, bundle.int8_graph


def _cuda_session(graph: bytes, threads: int) -> onnxruntime.InferenceSession | None:
    """A session that runs on CUDA, or None, with the reason in the log. The session itself is asked where it runs."""
    if CUDA not in onnxruntime.get_available_providers():
        log.warning("this onnxruntime has no CUDA execution provider")
        return None
    onnxruntime.preload_dlls()  # the CUDA and cuDNN wheels beside onnxruntime-gpu, if they are there
    try:
        session = _session(graph, [CUDA, CPU], threads)
    except Exception as error:  # onnxruntime's own exception classes have no common base of their own
        log.warning(
            "onnxruntime has a CUDA execution provider but could not start it", extra={"reason": _reason(error)}
        )
        return None
    if session.get_providers()[0] != CUDA:
        log.warning("onnxruntime has a CUDA execution provider but could not start it")
        return None
    return session


def _cpu_session(graph: bytes, name: str, threads: int) -> onnxruntime.InferenceSession:
    try:
        return _session(graph, [CPU], threads)
    except Exception as error:  # as above
        log.debug("onnxruntime refused the graph", exc_info=error)
        raise BundleError(f"{name}: onnxruntime cannot load this graph") from error


def _reason(error: Exception) -> str:
    """What CUDA said, without the source lines that onnxruntime wraps it in."""
    said = re.search(r"CU(?:DA|DNN|BLAS) failure [^;]*", str(error))
    return said[0].strip() if said else str(error)[:300]


def _session(graph: bytes, providers: list[str], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Decoding threads share the CPUs with the model's: a model thread that has nothing to do should not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Without this, a session whose provider fails, at its start or in any later run, prints so on stdout and goes on
    # with the CPU: then what was said of the provider at the start would no longer be true.
    return onnxruntime.InferenceSession(graph, options, providers=providers, enable_fallback=0)
