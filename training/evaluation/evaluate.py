"""Figures of a model: the threshold is chosen on one set of images, the figures are measured on another."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from contract.bundle import Measured, OperatingPoint
from training.data.dataset import Dataset
from training.errors import DataError, TrainingError
from training.evaluation.metrics import (
    Scores,
    accuracy,
    auc,
    balanced_threshold,
    brier,
    confusion,
    expected_calibration_error,
    sensitivity,
    specificity,
)

# uint8 (n, 200, 200, 1) pixels in, float32 (n,) probabilities of PNEUMONIA out.
Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Results(BaseModel):
    """The figures on one set of images at one threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured_on: str
    images: int
    patients: int
    pneumonia_images: int
    threshold: float
    auc: Measured
    accuracy: Measured
    sensitivity: Measured
    specificity: Measured
    brier: float
    expected_calibration_error: float
    confusion: dict[str, int]


def score(predict: Predict, data: Dataset, batch: int = 32) -> Scores:
    """Compute the probabilities of a dataset's rows.

    Raises:
        TrainingError: a probability is NaN or infinite.
    """
    probability = in_batches(predict, data.pixels, batch)
    if not np.isfinite(probability).all():
        raise TrainingError("the network's probabilities are NaN: its training diverged (see history.json of the run)")
    return Scores.of(data, probability)


def in_batches(function: Predict, pixels: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float32]:
    """Apply a function to pixels in batches of this many rows; returns the results joined, (n, ...)."""
    return np.concatenate([function(pixels[start : start + batch]) for start in range(0, len(pixels), batch)])


def choose_operating_point(scores: Scores, chosen_on: str) -> OperatingPoint:
    """Choose the ``balanced`` operating point on these (validation) scores."""
    threshold = balanced_threshold(scores)
    return OperatingPoint(
        threshold=threshold,
        sensitivity=sensitivity(scores, threshold),
        specificity=specificity(scores, threshold),
        chosen_on=f"{chosen_on}: greatest sensitivity + specificity",
    )


def measure(scores: Scores, threshold: float, measured_on: str) -> Results:
    """Compute all figures of a set of scores at a threshold that was chosen on other images.

    Raises:
        DataError: a class has no image.
    """
    if not np.ptp(scores.label):
        raise DataError(f"{measured_on}: figures need images of both classes, and one class has none")
    return Results(
        measured_on=measured_on,
        images=len(scores.label),
        patients=len(np.unique(scores.patient)),
        pneumonia_images=int(scores.label.sum()),
        threshold=threshold,
        auc=auc(scores),
        accuracy=accuracy(scores, threshold),
        sensitivity=sensitivity(scores, threshold),
        specificity=specificity(scores, threshold),
        brier=brier(scores),
        expected_calibration_error=expected_calibration_error(scores),
        confusion=confusion(scores, threshold),
    )
