"""The formula of a calibration, Platt's sigmoid: one formula for training, the service and its validation."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from contract.figures import Calibration

# The logit of 0 and 1 is infinite; probabilities are clipped to this range, in which float32 has finite logits.
_LEAST, _GREATEST = 1e-30, 1 - 2**-25


def logits(probability: ArrayLike) -> NDArray[np.float64]:
    """``log(p / (1 - p))``, finite also for 0 and 1.

    Args:
        probability: 0..1, any shape.
    """
    p = np.clip(np.asarray(probability, np.float64), _LEAST, _GREATEST)
    odds: NDArray[np.float64] = np.log(p) - np.log1p(-p)
    return odds


def sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """``1 / (1 + exp(-z))``, without overflow for any z."""
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
