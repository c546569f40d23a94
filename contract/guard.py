"""The score of the input guard, an image's distance from the training images: one formula for training and service."""

import numpy as np
from numpy.typing import NDArray

from contract.figures import Familiar, InputGuard


def distance(features: NDArray[np.float32], guard: InputGuard) -> NDArray[np.float64]:
    """The guard's score: how unlike the training images an image is.

    The graph's projection makes the features uncorrelated over the training images, so this is the Mahalanobis
    distance divided by the square root of their number: about 1 for an image like the training images. With several
    populations it is the smallest of ``multiples``: 1 is a distance equal to the nearest population's threshold.

    Args:
        features: float, shape (n, d), the graph's output of that name.
        guard: with d locations and scales.

    Returns:
        float64, shape (n,), 0 or more; infinite where a feature is NaN or infinite.
    """
    if guard.populations:
        nearest: NDArray[np.float64] = np.min(list(multiples(features, guard).values()), axis=0)
        return nearest
    return _root_mean_square(features, guard)


def multiples(features: NDArray[np.float32], guard: InputGuard) -> dict[str, NDArray[np.float64]]:
    """The distance from each population as a multiple of its threshold: a population covers an image up to 1.

    Args:
        features: float, shape (n, d).
        guard: of several populations; for a guard of one, the result is empty.

    Returns:
        float64, shape (n,), for each population by its name.
    """
    return {
        name: _root_mean_square(features, familiar) / familiar.threshold for name, familiar in guard.populations.items()
    }


def only_covering(features: NDArray[np.float32], guard: InputGuard) -> list[str | None]:
    """For each image the only population that covers it, by name; None if several or none do, or if the guard has no
    populations.

    Args:
        features: float, shape (n, d).
        guard: with d locations and scales.
    """
    covered = {name: apart <= 1 for name, apart in multiples(features, guard).items()}
    covering = [[name for name, inside in covered.items() if inside[row]] for row in range(len(features))]
    return [names[0] if len(names) == 1 else None for names in covering]


def _root_mean_square(features: NDArray[np.float32], known: InputGuard | Familiar) -> NDArray[np.float64]:
    """Root mean square of the standardised features, (n,)."""
    standardised = (features.astype(np.float64) - known.location) / known.scale
    score: NDArray[np.float64] = np.sqrt(np.mean(standardised**2, axis=1))
    return np.where(np.isfinite(score), score, np.inf)
