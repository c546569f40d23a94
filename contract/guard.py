"""The score of the input guard, an image's distance from the training images: one formula for training and service."""

import numpy as np
from numpy.typing import NDArray

from contract.figures import InputGuard

Features = NDArray[np.float32]


class Statistics:
    """The statistics of a guard as arrays, made once for many calls.

    Args:
        guard: with d locations and scales.
    """

    def __init__(self, guard: InputGuard) -> None:
        populations = guard.populations.values()
        self.names = list(guard.populations)
        # (populations, d), of a guard without populations (1, d); and (populations, 1)
        self._location = np.array([each.location for each in populations] or [guard.location])
        self._scale = np.array([each.scale for each in populations] or [guard.scale])
        self._threshold = np.array([[each.threshold] for each in populations] or [[1.0]])

    def multiples(self, features: Features) -> NDArray[np.float64]:
        """The distance from each population as a multiple of its threshold: a population covers an image up to 1.

        The graph's projection makes the features uncorrelated over the training images, so the distance is that of
        Mahalanobis divided by the square root of their number: about 1 for an image like the training images.

        Args:
            features: float, shape (n, d), the graph's output of that name.

        Returns:
            float64, shape (populations, n), 0 or more; infinite where a feature is NaN or infinite. Of a guard without
            populations (1, n), the distance itself.
        """
        standardised = features.astype(np.float64) - self._location[:, np.newaxis]
        standardised /= self._scale[:, np.newaxis]
        apart = np.sqrt(np.mean(standardised**2, axis=2))
        multiples: NDArray[np.float64] = np.where(np.isfinite(apart), apart, np.inf) / self._threshold
        return multiples

    def covered_by(self, multiples: NDArray[np.float64]) -> list[str | None]:
        """For each image the only population that covers it, by name; None if several or none do, or if there are none.

        Args:
            multiples: float64 (populations, n), from ``multiples``.
        """
        if not self.names:
            return [None] * multiples.shape[1]
        inside = multiples <= 1
        alone, first = inside.sum(axis=0) == 1, inside.argmax(axis=0)
        return [self.names[place] if is_alone else None for is_alone, place in zip(alone, first, strict=True)]


def score_of(multiples: NDArray[np.float64]) -> NDArray[np.float64]:
    """The guard's score, (n,): how unlike the training images an image is. With several populations 1 is a distance
    equal to the nearest population's threshold.
    """
    nearest: NDArray[np.float64] = multiples.min(axis=0)
    return nearest


def distance(features: Features, guard: InputGuard) -> NDArray[np.float64]:
    """The guard's score of images, float64 (n,), from their features, float (n, d)."""
    return score_of(Statistics(guard).multiples(features))
