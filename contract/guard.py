"""How far an image lies from those a model was trained on: one formula, for the fit and for the service."""

import numpy as np
from numpy.typing import NDArray

from contract.bundle import InputGuard


def distance(features: NDArray[np.float32], guard: InputGuard) -> NDArray[np.float64]:
    """The root mean square of the standardised features: about 1 for an image like those of training.

    With features that are uncorrelated in training (the graph sees to that) it is the Mahalanobis distance over the
    root of their number.

    Args:
        features: float, shape (n, d), the graph's output of that name.
        guard: with d locations and scales.

    Returns:
        float64, shape (n,), 0 or more; infinite where a feature is not a number.
    """
    standardised = (features.astype(np.float64) - guard.location) / guard.scale
    score: NDArray[np.float64] = np.sqrt(np.mean(standardised**2, axis=1))
    return np.where(np.isfinite(score), score, np.inf)
