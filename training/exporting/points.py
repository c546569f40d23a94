"""The operating points: named thresholds, each chosen by a rule on validation patients.

They are chosen on the patients' images, unchanged and under every realistic shift of the stress suite, all with equal
weight: a threshold that is best for the grey levels of one detector is not best for the next.
"""

import numpy as np

from contract.bundle import OperatingPoint
from training.data.dataset import Dataset
from training.evaluation.evaluate import Predict, score
from training.evaluation.metrics import Scores, balanced_threshold, sensitivity, specificity, threshold_for
from training.evaluation.stress import REALISTIC, apply_shift

DEFAULT = "balanced"
# The minimum sensitivity of rule-out, and the minimum specificity of rule-in.
KEPT = 0.98


def choose_points(scores: Scores, chosen_on: str) -> dict[str, OperatingPoint]:
    """Choose ``balanced``, ``rule-out`` and ``rule-in``; sensitivity and specificity are those on the same scores.

    Args:
        scores: from ``shifted_scores``, calibrated.
        chosen_on: describes the images, for the manifest.
    """
    rules = {
        DEFAULT: (balanced_threshold(scores), "greatest sensitivity + specificity"),
        "rule-out": (threshold_for(scores, 1, KEPT), f"greatest specificity with a sensitivity of at least {KEPT}"),
        "rule-in": (threshold_for(scores, 0, KEPT), f"greatest sensitivity with a specificity of at least {KEPT}"),
    }
    return {
        name: OperatingPoint(
            threshold=threshold,
            sensitivity=sensitivity(scores, threshold),
            specificity=specificity(scores, threshold),
            chosen_on=f"{chosen_on}, unchanged and under {len(REALISTIC)} realistic shifts: {rule}",
        )
        for name, (threshold, rule) in rules.items()
    }


def shifted_scores(predict: Predict, data: Dataset, seed: int) -> Scores:
    """The scores of a dataset, unchanged and under each realistic shift, concatenated."""
    parts = [score(predict, data)]
    parts += [score(predict, apply_shift(shift, data, seed)) for shift in REALISTIC.values()]
    return Scores(*(np.concatenate([getattr(part, field) for part in parts]) for field in Scores.__slots__))
