"""Metrics of a set of probabilities; sensitivity, specificity, accuracy and AUC have a 95 % interval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from contract import calibration, thresholds
from contract.bundle import Measured
from contract.calibration import Bin
from training.data.dataset import Dataset

RESAMPLES = 2000

# float, shape (resamples, images): how many times each image is in each resample.
Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Probabilities of one set of images, row by row.

    Attributes:
        probability: float, shape (n,), 0..1, of PNEUMONIA.
        label: shape (n,), 1 for PNEUMONIA.
        patient: shape (n,): rows with equal values belong to one patient.
    """

    probability: NDArray[np.float64]
    label: NDArray[np.uint8]
    patient: NDArray[np.str_]

    @classmethod
    def of(cls, data: Dataset, probability: NDArray[np.floating]) -> "Scores":
        """Combine probabilities (n,) with the labels and patients of a dataset's n rows."""
        patients = np.array([radiograph.patient for radiograph in data.radiographs])
        return cls(np.asarray(probability, np.float64), data.labels, patients)

    def rows(self, at: NDArray[np.intp]) -> "Scores":
        """Select rows by index, (m,), in this order; an index may occur more than once."""
        return Scores(self.probability[at], self.label[at], self.patient[at])


def balanced_threshold(*scores: Scores) -> float:
    """The threshold of greatest Youden's J; of several populations, that of the greatest smallest J."""
    return thresholds.balanced_threshold(*map(_labelled, scores))


def threshold_for(scores: Scores, label: int, kept: float) -> float:
    """The threshold that classifies this fraction of one class correctly, and as much of the other as possible.

    Args:
        scores: of both classes.
        label: 1: the greatest threshold with this sensitivity; 0: the smallest threshold with this specificity.
        kept: minimum fraction of the class that is classified correctly, 0..1.
    """
    return thresholds.threshold_for(_labelled(scores), label == 1, kept)


def sensitivity(scores: Scores, threshold: float) -> Measured:
    """The fraction of PNEUMONIA images classified as PNEUMONIA."""
    return _measured_rate(scores, threshold, 1)


def specificity(scores: Scores, threshold: float) -> Measured:
    """The fraction of NORMAL images classified as NORMAL."""
    return _measured_rate(scores, threshold, 0)


def accuracy(scores: Scores, threshold: float) -> Measured:
    """The fraction of images classified correctly."""
    return share(scores, (scores.probability >= threshold) == scores.label)


def auc(scores: Scores) -> Measured:
    """The area under the ROC curve: how often a PNEUMONIA image has a higher probability than a NORMAL one."""
    _, place = np.unique(scores.probability, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    sick = (scores.label == 1)[order]

    def area(weights: Weights) -> NDArray[np.float64]:
        """Mann and Whitney's U divided by its maximum; pairs of equal probability count half."""
        positive = np.add.reduceat(weights[:, order] * sick, starts, axis=1)
        negative = np.add.reduceat(weights[:, order] * ~sick, starts, axis=1)
        below = np.cumsum(negative, axis=1) - negative / 2
        return (positive * below).sum(1) / (positive.sum(1) * negative.sum(1))

    return _bootstrapped(scores, area)


def brier(scores: Scores) -> float:
    """Mean squared difference of probability and truth; 0 is best."""
    return float(brier_score_loss(scores.label, scores.probability))


def reliability(scores: Scores) -> list[Bin]:
    """The equal-width bins of probability that contain an image, in ascending order."""
    return calibration.reliability(scores.probability, scores.label == 1)


def expected_calibration_error(scores: Scores) -> float:
    """Mean difference of probability and fraction of PNEUMONIA over equal-width bins."""
    return calibration.expected_calibration_error(scores.probability, scores.label == 1)


def confusion(scores: Scores, threshold: float) -> dict[str, int]:
    """Numbers of images by label and classification."""
    called, truth = scores.probability >= threshold, scores.label == 1
    return {
        "true_positive": int((called & truth).sum()),
        "false_negative": int((~called & truth).sum()),
        "true_negative": int((~called & ~truth).sum()),
        "false_positive": int((called & ~truth).sum()),
    }


def _labelled(scores: Scores) -> thresholds.Labelled:
    return thresholds.Labelled(scores.probability, scores.label == 1)


def _measured_rate(scores: Scores, threshold: float, label: int) -> Measured:
    of_class = scores.rows(np.flatnonzero(scores.label == label))
    return share(of_class, (of_class.probability >= threshold) == label)


def share(scores: Scores, right: NDArray[np.bool_]) -> Measured:
    """The fraction of rows that are right, shape (n,), with its interval.

    The interval is the bootstrap by patient. If all rows or none are right, that has no spread; then it is the Wilson
    score interval (JASA 1927), whose n is the number of patients, not of images.
    """
    patients = len(np.unique(scores.patient))
    if right.all() or not right.any():
        wilson = binomtest(patients if right.all() else 0, patients).proportion_ci(method="wilson")
        return Measured(value=float(right.mean()), low=float(wilson.low), high=float(wilson.high))
    return _bootstrapped(scores, lambda weights: (weights @ right) / weights.sum(1))


def mean(scores: Scores, values: NDArray[np.floating]) -> Measured:
    """The mean of a value of each row, 0..1, shape (n,), with the interval of the bootstrap by patient."""
    # Rounding may put the mean of ones slightly above 1.
    return _bootstrapped(scores, lambda weights: np.minimum((weights @ values) / weights.sum(1), 1))


def _bootstrapped(scores: Scores, figure: Callable[[Weights], NDArray[np.float64]]) -> Measured:
    """Percentile interval of a figure over the resamples. A resample without one of the classes is left out."""
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(figure(resampled(scores)), (2.5, 97.5))
    return Measured(value=float(figure(np.ones((1, len(scores.label))))[0]), low=float(low), high=float(high))


def resampled(scores: Scores) -> Weights:
    """Draw resamples of patients, each with all of the patient's images (Efron & Tibshirani 1993, ch. 13).

    Images of one patient are similar, so resampling images would make intervals too narrow. A resample is a row of
    weights: how many times it contains each image.
    """
    _, patient = np.unique(scores.patient, return_inverse=True)
    patients = patient.max() + 1
    drawn = np.random.default_rng(0).multinomial(patients, np.full(patients, 1 / patients), RESAMPLES)
    weights: Weights = drawn[:, patient].astype(np.float64)
    return weights
