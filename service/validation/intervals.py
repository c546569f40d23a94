"""95 % intervals of shares and of the AUC, by patient: images of one patient are alike, and count for less than others.

Closed formulas, so that equal data give equal figures, at any number of images (docs/decisions/0022).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.bundle import Measured

# The 97.5th percentile of the standard normal distribution.
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval, the number of images it is of, and how many independent ones those are worth.

    ``design_effect``: images divided by ``worth``, 1 or more (Kish, Survey Sampling, 1965).
    """

    measured: Measured
    images: int
    worth: float

    @property
    def design_effect(self) -> float:
        """How many images are worth one independent image."""
        return self.images / self.worth


def wilson(share: float, n: float) -> tuple[float, float]:
    """The Wilson score interval (Wilson, JASA 1927; recommended by Brown, Cai & DasGupta, Statistical Science 2001).

    Args:
        share: observed, 0..1.
        n: independent observations, above 0; need not be whole.
    """
    centre, width = share + _Z**2 / (2 * n), _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    low, high = (centre - width) / (1 + _Z**2 / n), (centre + width) / (1 + _Z**2 / n)
    return max(0.0, min(low, share)), min(1.0, max(high, share))  # rounding must not exclude the share


def share_by_patient(right: NDArray[np.bool_], patient: NDArray[np.intp]) -> Estimate | None:
    """The share of images that are right: Wilson's interval for as many images as they are worth.

    That number is the images divided by the design effect of a ratio estimator (Rao & Scott, Biometrics 1992). If all
    or none are right, the design effect cannot be estimated, and the number of patients takes its place.

    Args:
        right: shape (n,).
        patient: shape (n,), a number for each patient.

    Returns:
        None without images.
    """
    if len(right) == 0:
        return None
    images, share = len(right), float(right.mean())
    _, place = np.unique(patient, return_inverse=True)
    size, hits = np.bincount(place), np.bincount(place, weights=right)
    patients = len(size)
    worth = float(patients)
    if 0 < share < 1 and patients > 1:
        variance = patients / (patients - 1) * float(((hits - share * size) ** 2).sum()) / images**2
        worth = images / max(1.0, variance / (share * (1 - share) / images))
    low, high = wilson(share, worth)
    return Estimate(Measured(value=share, low=low, high=high), images, worth)


def auc_by_patient(
    probability: NDArray[np.float64], pneumonia: NDArray[np.bool_], patient: NDArray[np.intp]
) -> Estimate | None:
    """The area under the ROC curve, with Obuchowski's variance for clustered data (Biometrics 1997).

    Each patient may have images of both classes. The interval is symmetric in the logit of the area, so that it stays
    within 0..1 (Pepe, The Statistical Evaluation of Medical Tests, 2003, ch. 5). An area of 0 or 1 has no variance:
    then it is Wilson's interval of a share, for the number of patients of the rarer class.

    Args:
        probability: shape (n,), 0..1.
        pneumonia: shape (n,), the truth.
        patient: shape (n,), a number for each patient.

    Returns:
        None if one class has no images.
    """
    images = len(probability)
    if pneumonia.all() or not pneumonia.any():
        return None
    _, place = np.unique(patient, return_inverse=True)
    sick = _placements(probability[pneumonia], probability[~pneumonia])
    well = 1 - _placements(probability[~pneumonia], probability[pneumonia])
    area = float(sick.mean())
    count = int(place.max()) + 1
    deviations: list[NDArray[np.float64]] = [
        np.bincount(place[rows], weights=values - area, minlength=count).astype(np.float64)
        for rows, values in ((pneumonia, sick), (~pneumonia, well))
    ]
    sizes = [np.bincount(place[rows], minlength=count) for rows in (pneumonia, ~pneumonia)]
    scarce = min(int((size > 0).sum()) for size in sizes)
    variance = _variance(deviations, sizes) if scarce > 1 else 0.0
    if variance <= 0 or not 0 < area < 1:
        low, high = wilson(area, scarce)
        return Estimate(Measured(value=area, low=low, high=high), images, images)
    half = _Z * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    low, high = (1 / (1 + math.exp(-(centre + sign * half))) for sign in (-1, 1))
    return Estimate(Measured(value=area, low=low, high=high), images, images)


def _placements(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each value, the share of the others that lie below it; equal ones count half."""
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    shares: NDArray[np.float64] = (below + up_to) / (2 * len(others))
    return shares


def _variance(deviations: list[NDArray[np.float64]], sizes: list[NDArray[np.intp]]) -> float:
    """Obuchowski's equation 6 from the sums of deviations by patient, of the images with and without PNEUMONIA."""
    (sick, well), (m, n) = deviations, (int(size.sum()) for size in sizes)
    with_sick, with_well = (int((size > 0).sum()) for size in sizes)
    patients = len(sick)
    of_sick = with_sick / (with_sick - 1) * float((sick**2).sum()) / m**2
    of_well = with_well / (with_well - 1) * float((well**2).sum()) / n**2
    return of_sick + of_well + 2 * patients / (patients - 1) * float((sick * well).sum()) / (m * n)
