"""Compares the int8 graph of a bundle with its float32 graph."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.bundle import FEATURES, InputGuard, Measured
from contract.guard import distance
from training.data.dataset import Dataset
from training.evaluation.assess import graph_output, graph_predict
from training.evaluation.evaluate import in_batches, score
from training.evaluation.metrics import auc, share

# The largest acceptable loss of AUC, and fraction of changed decisions, on held-out images.
MAX_AUC_LOSS, MAX_CHANGED = 0.002, 0.005
# The largest mean difference of probabilities with which the limits above will hold for other images, too. A few
# hundred images determine a mean better than the rate of decisions that change once in four hundred.
MAX_MEAN_DIFFERENCE = 0.002


class Int8Check(BaseModel):
    """The int8 graph compared with the float32 graph, on the same images, at the default threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: int
    auc_float32: float
    auc_int8: float
    decisions_changed: float
    mean_difference: float
    largest_difference: float
    flagged_by_guard: Measured | None

    @property
    def acceptable(self) -> bool:
        """Whether the int8 graph may be served instead of the float32 graph."""
        return self._is_within(1)

    @property
    def keeps_results(self) -> bool:
        """Whether it keeps half the limits of ``acceptable`` and that of the mean difference: a margin for other
        images.
        """
        return self._is_within(0.5) and self.mean_difference <= MAX_MEAN_DIFFERENCE

    def _is_within(self, share: float) -> bool:
        loss = self.auc_float32 - self.auc_int8
        return loss <= share * MAX_AUC_LOSS and self.decisions_changed <= share * MAX_CHANGED


def compare(  # noqa: PLR0913, PLR0917  two graphs, and what they are compared on
    graph: bytes, int8_graph: bytes, data: Dataset, measured_on: str, threshold: float, guard: InputGuard | None
) -> Int8Check:
    """Measure what the int8 graph changes.

    Args:
        graph: float32.
        int8_graph: from ``quantise``.
        data: images that were not used for training, calibration or choosing.
        measured_on: describes these images.
        threshold: PNEUMONIA is a probability at or above it, 0..1.
        guard: the bundle's, fitted on the float32 graph.
    """
    plain, rounded = score(graph_predict(graph), data), score(graph_predict(int8_graph), data)
    difference = np.abs(plain.probability - rounded.probability)
    flagged = None
    if guard:
        far = distance(in_batches(graph_output(int8_graph, FEATURES), data.pixels), guard) > guard.threshold
        flagged = share(rounded, far)
    return Int8Check(
        measured_on=measured_on,
        images=len(difference),
        auc_float32=auc(plain).value,
        auc_int8=auc(rounded).value,
        decisions_changed=float(np.mean((plain.probability >= threshold) != (rounded.probability >= threshold))),
        mean_difference=float(difference.mean()),
        largest_difference=float(difference.max()),
        flagged_by_guard=flagged,
    )
