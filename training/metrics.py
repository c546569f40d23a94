"""How well probabilities tell the classes apart, each figure with a 95 % interval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, roc_auc_score

from contract.bundle import Measured
from training.dataset import Dataset

RESAMPLES = 2000
# Equal-width bins of the expected calibration error (Guo et al., ICML 2017, use 15).
ECE_BINS = 15


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Probabilities of one set of images, row by row.

    Attributes:
        probability: float, shape (n,), 0..1, of PNEUMONIA.
        label: shape (n,), 1 for PNEUMONIA.
        patient: shape (n,): rows of one value are one patient's.
    """

    probability: NDArray[np.float64]
    label: NDArray[np.uint8]
    patient: NDArray[np.str_]

    @classmethod
    def of(cls, data: Dataset, probability: NDArray[np.floating]) -> "Scores":
        """The scores of a dataset's rows."""
        patients = np.array([radiograph.patient for radiograph in data.radiographs])
        return cls(np.asarray(probability, np.float64), data.labels, patients)

    def rows(self, at: NDArray[np.intp]) -> "Scores":
        """These rows, in this order, repeats included."""
        return Scores(self.probability[at], self.label[at], self.patient[at])


def balanced_threshold(scores: Scores) -> float:
    """The threshold of greatest Youden's J (sensitivity + specificity - 1); of several, the one nearest to 0.5.

    Candidates lie halfway between neighbouring probabilities, rounded to 4 digits so that a reader sees what is used.
    """
    values = np.unique(scores.probability)
    candidates = np.unique(np.round((values[1:] + values[:-1]) / 2, 4)) if len(values) > 1 else np.array([0.5])
    gains = [_rate(scores, t, 1) + _rate(scores, t, 0) for t in candidates]
    best = candidates[np.isclose(gains, max(gains))]
    return float(best[np.abs(best - 0.5).argmin()])


def sensitivity(scores: Scores, threshold: float) -> Measured:
    """The share of PNEUMONIA images called PNEUMONIA."""
    return _measured_rate(scores, threshold, 1)


def specificity(scores: Scores, threshold: float) -> Measured:
    """The share of NORMAL images called NORMAL."""
    return _measured_rate(scores, threshold, 0)


def accuracy(scores: Scores, threshold: float) -> Measured:
    """The share of images called what they are."""
    return _measured_share(scores, (scores.probability >= threshold) == scores.label)


def auc(scores: Scores) -> Measured:
    """The area under the ROC curve: how often a PNEUMONIA image has a higher probability than a NORMAL one."""
    return _bootstrapped(scores, lambda drawn: float(roc_auc_score(drawn.label, drawn.probability)))


def brier(scores: Scores) -> float:
    """Mean squared distance of probability and truth, 0 best."""
    return float(brier_score_loss(scores.label, scores.probability))


def expected_calibration_error(scores: Scores) -> float:
    """Mean distance of probability and share of PNEUMONIA over equal-width bins (Guo et al., ICML 2017, eq. 3)."""
    bins = np.minimum((scores.probability * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [
        (bins == b).mean() * abs(scores.probability[bins == b].mean() - scores.label[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def confusion(scores: Scores, threshold: float) -> dict[str, int]:
    """Counts of images by truth and call."""
    called, truth = scores.probability >= threshold, scores.label == 1
    return {
        "true_positive": int((called & truth).sum()),
        "false_negative": int((~called & truth).sum()),
        "true_negative": int((~called & ~truth).sum()),
        "false_positive": int((called & ~truth).sum()),
    }


def _rate(scores: Scores, threshold: float, label: int) -> float:
    of_class = scores.probability[scores.label == label]
    return float(((of_class >= threshold) == label).mean())


def _measured_rate(scores: Scores, threshold: float, label: int) -> Measured:
    of_class = scores.rows(np.flatnonzero(scores.label == label))
    return _measured_share(of_class, (of_class.probability >= threshold) == label)


def _measured_share(scores: Scores, right: NDArray[np.bool_]) -> Measured:
    """A share with its interval: the bootstrap by patient, or, where that has no spread because all or none were right,
    the Wilson score interval (JASA 1927) with the number of patients, not of images, as its n.
    """
    patients = len(np.unique(scores.patient))
    if right.all() or not right.any():
        wilson = binomtest(patients if right.all() else 0, patients).proportion_ci(method="wilson")
        return Measured(value=float(right.mean()), low=float(wilson.low), high=float(wilson.high))
    marked = Scores(right.astype(np.float64), scores.label, scores.patient)
    return _bootstrapped(marked, lambda drawn: float(drawn.probability.mean()), both_classes=False)


def _bootstrapped(scores: Scores, figure: Callable[[Scores], float], both_classes: bool = True) -> Measured:
    """Percentile interval over resamples of patients, with all images of each (Efron & Tibshirani 1993, ch. 13).

    Images of one patient are alike, so resampling images would make the interval too narrow.
    """
    rng = np.random.default_rng(0)
    _, patient = np.unique(scores.patient, return_inverse=True)
    rows_of = np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient))[:-1])
    drawn_figures = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([rows_of[p] for p in rng.integers(0, len(rows_of), len(rows_of))])
        if not both_classes or np.ptp(scores.label[rows]):
            drawn_figures.append(figure(scores.rows(rows)))
    low, high = np.percentile(drawn_figures, (2.5, 97.5))
    return Measured(value=figure(scores), low=float(low), high=float(high))
