"""The operating points: named thresholds, each chosen by a rule on validation patients.

They are chosen on the patients' images as they are and under every realistic shift of the stress suite, all counted
alike: a threshold that is best for one detector's grey levels alone does not stay best at the next.
"""

from collections.abc import Sequence

import numpy as np

from contract.bundle import OperatingPoint
from training.data.dataset import Dataset
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import Scores, balanced_threshold, sensitivity, specificity, threshold_for
from training.evaluation.stress import REALISTIC, apply_shift

DEFAULT = "balanced"
# What rule-out keeps of the sick, and rule-in of the healthy.
KEPT = 0.98


def choose_points(scores: Sequence[Scores], chosen_on: str) -> dict[str, OperatingPoint]:
    """``balanced``, ``rule-out`` and ``rule-in``, with what they do on the scores they are chosen on.

    Args:
        scores: of ``shifted_scores``, calibrated, of each population that the points have to hold in.
        chosen_on: says what they are of.
    """
    everyone = joined(scores)
    each = " in every population" if len(scores) > 1 else ""
    rules = {
        DEFAULT: (
            balanced_threshold(*scores),
            f"greatest sensitivity + specificity{' in the population where that is least' if each else ''}",
        ),
        "rule-out": (
            min(threshold_for(part, 1, KEPT) for part in scores),
            f"greatest specificity with a sensitivity of at least {KEPT}{each}",
        ),
        "rule-in": (
            max(threshold_for(part, 0, KEPT) for part in scores),
            f"greatest sensitivity with a specificity of at least {KEPT}{each}",
        ),
    }
    return {
        name: OperatingPoint(
            threshold=threshold,
            sensitivity=sensitivity(everyone, threshold),
            specificity=specificity(everyone, threshold),
            chosen_on=f"{chosen_on}, as they are and under {len(REALISTIC)} realistic shifts: {rule}",
        )
        for name, (threshold, rule) in rules.items()
    }


def shifted_scores(predict: Predict, data: Dataset, seed: int) -> Scores:
    """The scores of a dataset as it is and under each realistic shift, one after the other."""
    parts = [score(predict, data)]
    parts += [score(predict, apply_shift(shift, data, seed)) for shift in REALISTIC.values()]
    return joined(parts)


def joined(parts: Sequence[Scores]) -> Scores:
    """Several sets of scores as one."""
    return Scores(*(np.concatenate([getattr(part, field) for part in parts]) for field in Scores.__slots__))
