"""The model: pixels in, probabilities out, by the graph of a live session."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.bundle import FEATURES, HEATMAP, INPUT, PROBABILITY, Bundle, BundleError, InputGuard
from contract.guard import distance
from contract.image import SIDE
from service.inference.session import LiveSession


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a model gives for a batch of n images: one row an image, in the order of the batch.

    ``probability``: of PNEUMONIA, float32 (n,). ``guard_score``: how unlike the training data, float64 (n,), 0 or more
    and perhaps infinite; None where no guard is in use. ``heatmap``: evidence for PNEUMONIA by place, float32
    (n, h, w), 0..1, row 0 at the top of the upright picture; None where nobody asked for it.
    """

    probability: NDArray[np.float32]
    guard_score: NDArray[np.float64] | None = None
    heatmap: NDArray[np.float32] | None = None


class Backend(Protocol):
    """What the service needs of a model."""

    @property
    def provider(self) -> str:
        """The execution provider that runs it, in onnxruntime's words."""

    @property
    def graph(self) -> str:
        """The file in the bundle that is run."""

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch of pixels, uint8 (n, 200, 200, 1); with heatmaps, of the same run, if it is to be explained.

        ``alone``: the service has nothing else to do meanwhile. It changes how fast the answer comes, not what it is.
        """


class OnnxBackend:
    """A bundle's graph in onnxruntime.

    Args:
        bundle: the bundle, checked.
        live: the session that runs one of its graphs.
        guarded: whether images get a guard score, where the bundle has a guard; if not, none is computed.

    Raises:
        BundleError: the graph has other inputs or outputs than the contract says.
    """

    def __init__(self, bundle: Bundle, live: LiveSession, *, guarded: bool = True) -> None:
        guard = bundle.manifest.input_guard
        _check_signature(live, guard)
        self._live = live
        self._guard = guard if guarded else None
        self._names = [PROBABILITY, FEATURES] if self._guard else [PROBABILITY]

    @property
    def provider(self) -> str:
        """The execution provider of the live session, not the one that was asked for."""
        return self._live.provider

    @property
    def graph(self) -> str:
        """The file in the bundle that is run."""
        return self._live.graph

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch of pixels, uint8 (n, 200, 200, 1). Only the outputs that are named are computed.

        From any number of threads at once: nothing here changes, and onnxruntime's runs keep apart what is theirs. On
        CUDA one waits for the other (service/inference/buckets.py).
        """
        names = [*self._names, HEATMAP] if explain else self._names
        found = dict(zip(names, self._live.run(names, batch, alone=alone), strict=True))
        score = distance(found[FEATURES], self._guard) if self._guard else None
        return Outputs(found[PROBABILITY], score, found.get(HEATMAP))


def _check_signature(live: LiveSession, guard: InputGuard | None) -> None:
    """The graph keeps the contract, and gives the features that its guard was fitted to, also while that is off.

    A width that is not stated is refused too: numpy would let features of width 1 pass for any other.
    """
    inputs = {value.name: (value.type, value.shape) for value in live.session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in live.session.get_outputs()}
    kind, shape = inputs.get(INPUT, ("", []))
    if len(inputs) != 1 or kind != "tensor(uint8)" or shape[1:] != [SIDE, SIDE, 1] or isinstance(shape[0], int):
        raise BundleError(f"{live.graph}: its one input must be {INPUT}: uint8 [N, {SIDE}, {SIDE}, 1], N dynamic")
    for name, dimensions in ((PROBABILITY, 1), (HEATMAP, 3)):
        kind, shape = outputs.get(name, ("", []))
        if kind != "tensor(float)" or len(shape) != dimensions:
            raise BundleError(f"{live.graph}: it must have an output {name}: float32 of {dimensions} dimension(s)")
    kind, shape = outputs.get(FEATURES, ("", []))
    if guard and (kind != "tensor(float)" or shape[1:] != [guard.features]):
        raise BundleError(f"{live.graph}: its guard needs an output {FEATURES}: float32 [N, {guard.features}]")
