"""ROC and precision-recall curves with 95 % bands: at each place of the axis, over the resamples of patients."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from training.evaluation.metrics import Scores, Weights, resampled

# Weighted counts of PNEUMONIA and of NORMAL at or over each threshold, from the highest down, to a value at each place.
Read = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]

# Where along the axis, 0..1, curves are read off.
GRID = np.linspace(0, 1, 101)


class Curve(BaseModel):
    """A curve over a share of 0..1 each way, with its band. All of one length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def roc(scores: Scores) -> Curve:
    """Sensitivity over 1 - specificity."""
    return _curve(scores, _sensitivities)


def precision_recall(scores: Scores) -> Curve:
    """Precision (PPV) at the share of PNEUMONIA of these scores, over recall (sensitivity)."""
    return _curve(scores, _precisions)


def _curve(scores: Scores, read: Read) -> Curve:
    ones: Weights = np.ones((1, len(scores.label)))
    figure = _over(scores, ones, read)[0]
    low, high = np.nanpercentile(_over(scores, resampled(scores), read), (2.5, 97.5), axis=0)
    rounded = (np.round(values, 5).tolist() for values in (GRID, figure, low, high))
    return Curve(**dict(zip(("x", "y", "low", "high"), rounded, strict=True)))


def _over(scores: Scores, weights: Weights, read: Read) -> NDArray[np.float64]:
    """The curve of each row of weights, shape (rows, 101); not a number where a row lacks a class."""
    order = np.argsort(-scores.probability, kind="stable")
    last = np.flatnonzero(np.diff(scores.probability[order], append=-1))  # of the images of one probability
    sick = scores.label[order] == 1
    true = np.cumsum(weights[:, order] * sick, axis=1)[:, last]
    false = np.cumsum(weights[:, order] * ~sick, axis=1)[:, last]
    complete = (true[:, -1:] > 0) & (false[:, -1:] > 0)
    rows = zip(true, false, complete[:, 0], strict=True)
    return np.stack([read(t, f) if whole else np.full(len(GRID), np.nan) for t, f, whole in rows])


def _sensitivities(true: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.float64]:
    """Straight lines between the thresholds, from (0, 0) on; of several points above one another, the highest."""
    # Where several points stand above one another, np.interp goes to the last, up to the place and on from it.
    return np.interp(GRID + 1e-12, np.append(0, false / false[-1]), np.append(0, true / true[-1]))


def _precisions(true: NDArray[np.float64], false: NDArray[np.float64]) -> NDArray[np.float64]:
    """At the first threshold that reaches the recall: precision must not be interpolated (Davis & Goadrich 2006)."""
    recall = true / true[-1]
    first = np.searchsorted(recall, GRID - 1e-9)
    first[0] = np.flatnonzero(true > 0)[0]
    first = np.maximum(first, first[0])
    return (true / np.maximum(true + false, 1))[first]
