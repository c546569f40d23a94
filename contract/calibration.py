"""Calibration: Platt's sigmoid, and how far probabilities are from frequencies. One formula for all callers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.figures import Calibration

# Equal-width bins of the expected calibration error (Guo et al., ICML 2017, use 15).
BINS = 15
# The logit of 0 and 1 is infinite; probabilities are clipped to this range, in which float32 has finite logits.
_LEAST, _GREATEST = 1e-30, 1 - 2**-25
_NEWTON_STEPS, _SMALL_STEP = 100, 1e-9


def logits(probability: ArrayLike) -> NDArray[np.float64]:
    """``log(p / (1 - p))``, finite also for 0 and 1.

    Args:
        probability: 0..1, any shape.
    """
    p = np.clip(np.asarray(probability, np.float64), _LEAST, _GREATEST)
    odds: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return odds


def sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / (1 + exp(-z))``, 0..1, of the shape of z; without overflow for any z."""
    p: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -z))
    return p


def calibrate(probability: ArrayLike, calibration: Calibration) -> NDArray[np.float64]:
    """``sigmoid(scale * logit(p) + shift)`` (Platt, in Advances in Large Margin Classifiers, 1999).

    Args:
        probability: 0..1, any shape.
        calibration: with the method "none" the probabilities are returned as they are.

    Returns:
        0..1, of the same shape.
    """
    if calibration.method == "none":
        return np.asarray(probability, np.float64)
    return sigmoid(calibration.scale * logits(probability) + calibration.shift)


def platt_targets(pneumonia: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Platt's targets for n labels, float64 (n,): (N + 1) / (N + 2) for the N images with PNEUMONIA, 1 / (M + 2) for
    the M others. They are slightly inside 0 and 1, so that a fit converges for perfectly separated classes too.
    """
    ill, well = int(pneumonia.sum()), int((~pneumonia).sum())
    return np.where(pneumonia, (ill + 1) / (ill + 2), 1 / (well + 2))


def fit_platt(
    probability: NDArray[np.float64], pneumonia: NDArray[np.bool_], max_scale: float = math.inf
) -> tuple[float, float]:
    """Scale and shift of greatest likelihood for Platt's targets.

    Args:
        probability: shape (n,), 0..1, of both classes.
        pneumonia: shape (n,), the truth.
        max_scale: above 0; where the likelihood is greatest at a greater scale, the shift is fitted for this one.
    """
    odds, targets = logits(probability), platt_targets(pneumonia)
    ones = np.ones((len(odds), 1))
    scale, shift = _most_likely(np.column_stack([odds, ones]), np.zeros(len(odds)), targets, (1.0, 0.0))
    if scale > max_scale:
        scale, (shift,) = max_scale, _most_likely(ones, max_scale * odds, targets, (0.0,))
    return scale, shift


def _most_likely(
    inputs: NDArray[np.float64], offset: NDArray[np.float64], targets: NDArray[np.float64], start: tuple[float, ...]
) -> list[float]:
    """Logistic regression by Newton's method with step halving (Lin, Lin & Weng, Machine Learning 2007)."""
    found = np.array(start)

    def loss(parameters: NDArray[np.float64]) -> float:
        z = inputs @ parameters + offset
        return float(np.sum(np.logaddexp(0, z) - targets * z))

    for _ in range(_NEWTON_STEPS):
        p = sigmoid(inputs @ found + offset)
        gradient = inputs.T @ (p - targets)
        hessian = (inputs * (p * (1 - p))[:, np.newaxis]).T @ inputs + 1e-9 * np.eye(len(found))
        step = np.linalg.solve(hessian, gradient)
        while loss(found - step) > loss(found) and np.abs(step).max() > _SMALL_STEP:
            step /= 2
        found = found - step
        if np.abs(step).max() <= _SMALL_STEP:
            break
    return [float(value) for value in found]


@dataclass(frozen=True, slots=True)
class Bin:
    """The images in one range of probability: their number, mean probability and fraction with PNEUMONIA."""

    images: int
    probability: float
    pneumonia: float


def bins_of(probability: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each probability (0..1): 0 to ``BINS`` - 1, same shape. A bin has its lower edge, the last also 1."""
    return np.minimum((probability * BINS).astype(np.intp), BINS - 1)


def reliability(probability: NDArray[np.float64], pneumonia: NDArray[np.bool_]) -> list[Bin]:
    """The equal-width bins of probability that contain an image, in ascending order.

    Args:
        probability: shape (n,), 0..1.
        pneumonia: shape (n,), the truth.
    """
    place = bins_of(probability)
    rows = [place == number for number in np.unique(place)]
    return [Bin(int(at.sum()), float(probability[at].mean()), float(pneumonia[at].mean())) for at in rows]


def expected_calibration_error(probability: NDArray[np.float64], pneumonia: NDArray[np.bool_]) -> float:
    """Mean difference of probability and fraction of PNEUMONIA over equal-width bins (Guo et al., ICML 2017, eq. 3).

    Args:
        probability: shape (n,), 0..1, n at least 1.
        pneumonia: shape (n,), the truth.
    """
    gaps = [each.images * abs(each.probability - each.pneumonia) for each in reliability(probability, pneumonia)]
    return sum(gaps) / len(probability)
