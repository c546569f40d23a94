"""The model: pixels in, probabilities out, computed by an onnxruntime session."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.bundle import FEATURES, HEATMAP, INPUT, PROBABILITY, Bundle, BundleError, InputGuard
from contract.guard import Statistics, score_of
from contract.image import SIDE
from service.inference.session import LiveSession


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a model for a batch of n images: one row per image, in the order of the batch.

    ``probability``: of PNEUMONIA, float32 (n,). ``guard_score``: how unlike the training data, float64 (n,), 0 or more,
    possibly infinite; None if no guard is in use. ``heatmap``: evidence for PNEUMONIA per cell, float32 (n, h, w),
    0..1, row 0 at the top of the upright image; None if it was not requested. ``covered_by``: the only population that
    covers each image, or None; None if no guard is in use.
    """

    probability: NDArray[np.float32]
    guard_score: NDArray[np.float64] | None = None
    heatmap: NDArray[np.float32] | None = None
    covered_by: list[str | None] | None = None

    def check(self, count: int) -> None:
        """Check that each output has one row for each of this many images.

        Raises:
            ValueError: one does not.
        """
        for column, axes in ((self.probability, 1), (self.guard_score, 1), (self.heatmap, 3)):
            if column is not None and (column.ndim != axes or len(column) != count):
                raise ValueError(f"the model returned shape {column.shape} for {count} images")


class Backend(Protocol):
    """The interface of a model to the service."""

    @property
    def provider(self) -> str:
        """The execution provider that runs the model, by onnxruntime's name."""

    @property
    def graph(self) -> str:
        """The name of the ONNX file in the bundle that is in use."""

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch.

        Args:
            batch: pixels, uint8 (n, 200, 200, 1).
            explain: whether the outputs include heatmaps, computed in the same run.
            alone: whether the service is otherwise idle. It affects the speed, not the outputs.
        """


class OnnxBackend:
    """A graph of a bundle in onnxruntime.

    Args:
        bundle: the verified bundle.
        live: the session that runs one of its graphs.
        guarded: whether to compute guard scores, if the bundle has a guard.

    Raises:
        BundleError: the inputs or outputs of the graph do not match the contract.
    """

    def __init__(self, bundle: Bundle, live: LiveSession, *, guarded: bool = True) -> None:
        guard = bundle.manifest.input_guard
        _check_signature(live, guard)
        self._live = live
        self._known = Statistics(guard) if guard and guarded else None
        self._names = [PROBABILITY, FEATURES] if self._known else [PROBABILITY]

    @property
    def provider(self) -> str:
        """The execution provider of the live session, which may differ from the requested one."""
        return self._live.provider

    @property
    def graph(self) -> str:
        """The name of the ONNX file in the bundle that is in use."""
        return self._live.graph

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch; the arguments are those of ``Backend.predict``. onnxruntime computes requested outputs only.

        Thread-safe: this object has no mutable state, and runs of an onnxruntime session are independent. On CUDA the
        runs are serialised (service/inference/buckets.py).
        """
        names = [*self._names, HEATMAP] if explain else self._names
        outputs = dict(zip(names, self._live.run(names, batch, alone=alone), strict=True))
        if self._known is None:
            return Outputs(outputs[PROBABILITY], heatmap=outputs.get(HEATMAP))
        apart = self._known.multiples(outputs[FEATURES])
        return Outputs(outputs[PROBABILITY], score_of(apart), outputs.get(HEATMAP), self._known.covered_by(apart))


def _check_signature(live: LiveSession, guard: InputGuard | None) -> None:
    """Check the inputs and outputs of the graph against the contract, and the features of its guard even if it is off.

    A dynamic width of the features is refused, too: numpy would broadcast features of width 1 to any other.
    """
    inputs = {value.name: (value.type, value.shape) for value in live.session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in live.session.get_outputs()}
    kind, shape = inputs.get(INPUT, ("", []))
    if len(inputs) != 1 or kind != "tensor(uint8)" or shape[1:] != [SIDE, SIDE, 1] or isinstance(shape[0], int):
        raise BundleError(f"{live.graph}: its only input must be {INPUT}: uint8 [N, {SIDE}, {SIDE}, 1], N dynamic")
    for name, dimensions in ((PROBABILITY, 1), (HEATMAP, 3)):
        kind, shape = outputs.get(name, ("", []))
        if kind != "tensor(float)" or len(shape) != dimensions:
            raise BundleError(f"{live.graph}: it must have an output {name}: float32 of {dimensions} dimension(s)")
    kind, shape = outputs.get(FEATURES, ("", []))
    if guard and (kind != "tensor(float)" or shape[1:] != [guard.features]):
        raise BundleError(f"{live.graph}: its guard needs an output {FEATURES}: float32 [N, {guard.features}]")
