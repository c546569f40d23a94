"""The model: an ONNX graph in an onnxruntime session, and where it really runs."""

import logging
from typing import Literal, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.bundle import GRAPH, HEATMAP, INPUT, PROBABILITY, BundleError
from contract.image import SIDE

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_ERRORS_ONLY = 3

log = logging.getLogger(__name__)


class Backend(Protocol):
    """What the batcher needs of a model."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, in onnxruntime's words."""

    def predict(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of PNEUMONIA, float32 (n,), of a batch of pixels, uint8 (n, 200, 200, 1)."""


class DeviceError(Exception):
    """The device that was asked for cannot be used."""


class OnnxBackend:
    """An onnxruntime session of a bundle's graph.

    Args:
        graph: the bytes of the graph.
        device: ``auto`` tries CUDA and falls back to the CPU, saying so in the log; ``cuda`` does not fall back.
        threads: of one call, on the CPU.

    Raises:
        DeviceError: ``cuda`` was asked for and the session does not run there.
        BundleError: the graph cannot be loaded, or has other inputs or outputs than the contract says.
    """

    def __init__(self, graph: bytes, device: Literal["auto", "cpu", "cuda"], threads: int) -> None:
        self._session = _open_session(graph, device, threads)
        _check_signature(self._session)

    @property
    def provider(self) -> str:
        """The execution provider of the live session, not the one that was asked for."""
        return str(self._session.get_providers()[0])

    def predict(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of PNEUMONIA, float32 (n,), of a batch of pixels, uint8 (n, 200, 200, 1)."""
        probability: NDArray[np.float32] = self._session.run([PROBABILITY], {INPUT: batch})[0]
        return probability


def _open_session(graph: bytes, device: str, threads: int) -> onnxruntime.InferenceSession:
    if device != "cpu" and (session := _cuda_session(graph, threads)):
        return session
    if device == "cuda":
        raise DeviceError("XRAY_DEVICE=cuda, but the model does not run on CUDA here (the log says why)")
    if device == "auto":
        log.warning("CUDA cannot be used: the model runs on the CPU")
    return _session(graph, [CPU], threads)


def _cuda_session(graph: bytes, threads: int) -> onnxruntime.InferenceSession | None:
    """A session that runs on CUDA, or None. onnxruntime itself falls back in silence, so the session is asked."""
    if CUDA not in onnxruntime.get_available_providers():
        log.warning("this onnxruntime has no CUDA execution provider")
        return None
    onnxruntime.preload_dlls()  # the CUDA and cuDNN wheels beside onnxruntime-gpu, if they are there
    session = _session(graph, [CUDA, CPU], threads)
    if session.get_providers()[0] != CUDA:
        log.warning("onnxruntime has a CUDA execution provider but could not start it")
        return None
    return session


def _session(graph: bytes, providers: list[str], threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # Decoding threads share the CPUs with the model's: a model thread that has nothing to do should not spin.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # onnxruntime's own exception classes have no common base of their own
        log.debug("onnxruntime refused the graph", exc_info=error)
        raise BundleError(f"{GRAPH}: onnxruntime cannot load this graph") from error


def _check_signature(session: onnxruntime.InferenceSession) -> None:
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    kind, shape = inputs.get(INPUT, ("", []))
    if len(inputs) != 1 or kind != "tensor(uint8)" or shape[1:] != [SIDE, SIDE, 1] or isinstance(shape[0], int):
        raise BundleError(f"{GRAPH}: its one input must be {INPUT}: uint8 [N, {SIDE}, {SIDE}, 1], N dynamic")
    for name, dimensions in ((PROBABILITY, 1), (HEATMAP, 3)):
        kind, shape = outputs.get(name, ("", []))
        if kind != "tensor(float)" or len(shape) != dimensions:
            raise BundleError(f"{GRAPH}: it must have an output {name}: float32 of {dimensions} dimension(s)")
