"""The model: pixels in, probabilities out, by the graph of a live session."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.bundle import HEATMAP, INPUT, PROBABILITY, Bundle, BundleError
from contract.image import SIDE
from service.session import LiveSession, open_session
from service.settings import Device, Precision


class Backend(Protocol):
    """What the service needs of a model."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, in onnxruntime's words."""

    @property
    def graph(self) -> str:
        """The file in the bundle that is run."""

    def predict(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of PNEUMONIA, float32 (n,), of a batch of pixels, uint8 (n, 200, 200, 1)."""


class OnnxBackend:
    """A bundle's graph in onnxruntime.

    Args:
        bundle: the bundle, checked.
        device: where it should run.
        precision: of the graph that should run.
        threads: of one call, on the CPU.

    Raises:
        SettingsError, DeviceError: device and precision cannot be had.
        BundleError: the graph cannot be loaded, or has other inputs or outputs than the contract says.
    """

    def __init__(self, bundle: Bundle, device: Device, precision: Precision, threads: int) -> None:
        self._live = open_session(bundle, device, precision, threads)
        _check_signature(self._live)

    @property
    def provider(self) -> str:
        """The execution provider of the live session, not the one that was asked for."""
        return self._live.provider

    @property
    def graph(self) -> str:
        """The file in the bundle that is run."""
        return self._live.graph

    def predict(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities of PNEUMONIA, float32 (n,), of a batch of pixels, uint8 (n, 200, 200, 1)."""
        probability: NDArray[np.float32] = self._live.session.run([PROBABILITY], {INPUT: batch})[0]
        return probability


def _check_signature(live: LiveSession) -> None:
    inputs = {value.name: (value.type, value.shape) for value in live.session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in live.session.get_outputs()}
    kind, shape = inputs.get(INPUT, ("", []))
    if len(inputs) != 1 or kind != "tensor(uint8)" or shape[1:] != [SIDE, SIDE, 1] or isinstance(shape[0], int):
        raise BundleError(f"{live.graph}: its one input must be {INPUT}: uint8 [N, {SIDE}, {SIDE}, 1], N dynamic")
    for name, dimensions in ((PROBABILITY, 1), (HEATMAP, 3)):
        kind, shape = outputs.get(name, ("", []))
        if kind != "tensor(float)" or len(shape) != dimensions:
            raise BundleError(f"{live.graph}: it must have an output {name}: float32 of {dimensions} dimension(s)")
