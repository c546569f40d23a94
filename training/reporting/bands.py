"""ROC and precision-recall curves with pointwise 95 % bands over the resamples of patients."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.evaluation.metrics import Scores, Weights, resampled

# Takes the weighted counts of PNEUMONIA and of NORMAL at or above each threshold, from the highest threshold down;
# returns the curve's values on GRID.
CurveValues = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

# The x values, 0..1, at which curves are evaluated.
GRID = np.linspace(0, 1, 101)


class Curve(BaseModel):
    """A curve with x and y in 0..1, and its band from ``low`` to ``high``. All four have one length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def roc(scores: Scores) -> Curve:
    """Sensitivity over 1 - specificity."""
    return _curve(scores, _sensitivities)


def precision_recall(scores: Scores) -> Curve:
    """Precision (PPV) at the prevalence of PNEUMONIA in these scores, over recall (sensitivity)."""
    return _curve(scores, _precisions)


def _curve(scores: Scores, values: CurveValues) -> Curve:
    ones: Weights = np.ones((1, len(scores.label)))
    figure = _of_each_resample(scores, ones, values)[0]
    low, high = np.nanpercentile(_of_each_resample(scores, resampled(scores), values), (2.5, 97.5), axis=0)
    rounded = (np.round(axis, 5).tolist() for axis in (GRID, figure, low, high))
    return Curve(**dict(zip(("x", "y", "low", "high"), rounded, strict=True)))


def _of_each_resample(scores: Scores, weights: Weights, values: CurveValues) -> NDArray[np.float64]:
    """The curve of each row of weights, shape (rows, 101); NaN where a row lacks a class."""
    order = np.argsort(-scores.probability, kind="stable")
    last = np.flatnonzero(np.diff(scores.probability[order], append=-1))  # the last image of each probability
    sick = scores.label[order] == 1
    true = np.cumsum(weights[:, order] * sick, axis=1)[:, last]
    false = np.cumsum(weights[:, order] * ~sick, axis=1)[:, last]
    complete = (true[:, -1:] > 0) & (false[:, -1:] > 0)
    rows = zip(true, false, complete[:, 0], strict=True)
    return np.stack([values(t, f) if both_classes else np.full(len(GRID), np.nan) for t, f, both_classes in rows])


def _sensitivities(true: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation between thresholds, starting at (0, 0); of several points with equal x, the highest."""
    # The offset makes np.interp use the last of several points with equal x.
    return np.interp(GRID + 1e-12, np.append(0, false / false[-1]), np.append(0, true / true[-1]))


def _precisions(true: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.float64]:
    """The precision at the first threshold that reaches the recall; not interpolated (Davis & Goadrich 2006)."""
    recall = true / true[-1]
    first = np.searchsorted(recall, GRID - 1e-9)
    first[0] = np.flatnonzero(true > 0)[0]
    first = np.maximum(first, first[0])
    return (true / np.maximum(true + false, 1))[first]
