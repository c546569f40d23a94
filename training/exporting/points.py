"""The operating points: named thresholds, each chosen by a rule on validation patients.

They are chosen on the patients' images, unchanged and under every realistic shift of the stress suite, all with equal
weight: a threshold that is best for the grey levels of one detector is not best for the next.
"""

from collections.abc import Sequence

import numpy as np

from contract.bundle import OperatingPoint
from contract.thresholds import KEPT
from training.data.dataset import Dataset
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import Scores, balanced_threshold, sensitivity, specificity, threshold_for
from training.evaluation.stress import REALISTIC, apply_shift

DEFAULT = "balanced"


def choose_points(scores: Sequence[Scores], chosen_on: str) -> dict[str, OperatingPoint]:
    """Choose ``balanced``, ``rule-out`` and ``rule-in``; sensitivity and specificity are those on the same scores.

    Args:
        scores: from ``shifted_scores``, calibrated: of each population that the points have to hold in.
        chosen_on: describes the images, for the manifest.
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
            chosen_on=f"{chosen_on}, unchanged and under {len(REALISTIC)} realistic shifts: {rule}",
        )
        for name, (threshold, rule) in rules.items()
    }


def shifted_scores(predict: Predict, data: Dataset, seed: int) -> Scores:
    """The scores of a dataset, unchanged and under each realistic shift, concatenated."""
    parts = [score(predict, data)]
    parts += [score(predict, apply_shift(shift, data, seed)) for shift in REALISTIC.values()]
    return joined(parts)


def joined(parts: Sequence[Scores]) -> Scores:
    """Concatenate several sets of scores."""
    return Scores(*(np.concatenate([getattr(part, field) for part in parts]) for field in Scores.__slots__))
