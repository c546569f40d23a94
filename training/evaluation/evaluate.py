"""What is measured of a model: the threshold is chosen on one set of images, the figures hold for another."""

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
    """What was measured on one set of images at one threshold."""

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
    """Probabilities of a dataset's rows.

    Raises:
        TrainingError: they are not numbers.
    """
    probability = in_batches(predict, data.pixels, batch)
    if not np.isfinite(probability).all():
        raise TrainingError("the network gives no numbers: its training has diverged (the epochs are in history.json)")
    return Scores.of(data, probability)


def in_batches(work: Predict, pixels: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float32]:
    """What some work gives for these pixels, (n, ...), done so many rows at a time."""
    return np.concatenate([work(pixels[start : start + batch]) for start in range(0, len(pixels), batch)])


def choose_operating_point(scores: Scores, chosen_on: str) -> OperatingPoint:
    """The ``balanced`` operating point, chosen on these (validation) scores."""
    threshold = balanced_threshold(scores)
    return OperatingPoint(
        threshold=threshold,
        sensitivity=sensitivity(scores, threshold),
        specificity=specificity(scores, threshold),
        chosen_on=f"{chosen_on}: greatest sensitivity + specificity",
    )


def measure(scores: Scores, threshold: float, measured_on: str) -> Results:
    """All figures of a set of scores at a threshold that was chosen elsewhere.

    Raises:
        DataError: there is no image of one of the classes.
    """
    if not np.ptp(scores.label):
        raise DataError(f"{measured_on}: images of both classes are needed to measure anything")
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
