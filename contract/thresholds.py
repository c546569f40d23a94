"""The rules for choosing operating points, shared by training and a site's own operating points."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The minimum sensitivity of rule-out, and the minimum specificity of rule-in.
KEPT = 0.98


class Labelled(NamedTuple):
    """Probabilities, float (n,), 0..1, and the truth, bool (n,): True is PNEUMONIA. Both classes occur."""

    probability: NDArray[np.float64]
    pneumonia: NDArray[np.bool_]


def balanced_threshold(*parts: Labelled) -> float:
    """The threshold of greatest Youden's J (sensitivity + specificity - 1); of equals, the one nearest to 0.5.

    Args:
        parts: of one or several populations; of several, the threshold maximises the smallest J of any of them.
    """
    candidates = np.unique(np.concatenate([_candidates(part) for part in parts]))
    gains = [min(_rate(part, t, True) + _rate(part, t, False) for part in parts) for t in candidates]
    best = candidates[np.isclose(gains, max(gains))]
    return float(best[np.abs(best - 0.5).argmin()])


def threshold_for(part: Labelled, pneumonia: bool, kept: float) -> float:
    """The threshold that classifies this fraction of one class correctly, and as much of the other as possible.

    Args:
        part: of both classes.
        pneumonia: True: the greatest threshold with this sensitivity; False: the smallest with this specificity.
        kept: minimum fraction of the class that is classified correctly, 0..1.
    """
    candidates = np.concatenate([[0.0], _candidates(part), [1.0]])
    enough = [t for t in candidates if _rate(part, t, pneumonia) >= kept]
    return float(max(enough) if pneumonia else min(enough, default=1.0))


def _candidates(part: Labelled) -> NDArray[np.float64]:
    """Midpoints of neighbouring probabilities, rounded to 4 digits so that the printed threshold is the one used."""
    values = np.unique(part.probability)
    return np.unique(np.round((values[1:] + values[:-1]) / 2, 4)) if len(values) > 1 else np.array([0.5])


def _rate(part: Labelled, threshold: float, pneumonia: bool) -> float:
    of_class = part.probability[part.pneumonia == pneumonia]
    return float(((of_class >= threshold) == pneumonia).mean())
