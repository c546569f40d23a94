"""The input guard in use: what the service does about images unlike the training data of its model."""

import math
from dataclasses import dataclass

from contract.bundle import Manifest
from service.errors import UnlikeTrainingData
from service.settings import GuardMode, SettingsError


@dataclass(frozen=True, slots=True)
class Guard:
    """The input guard in use. It flags images that score above the threshold; in the mode ``off`` it flags none."""

    mode: GuardMode
    threshold: float = math.inf

    def flags(self, score: float) -> bool:
        """Whether an image of this score is flagged. NaN is."""
        return not score <= self.threshold  # unlike score > threshold, true for NaN

    def apply(self, score: float | None) -> bool:
        """Whether an image of this score is flagged; None: it has none.

        Raises:
            UnlikeTrainingData: it is, and the mode is ``refuse``.
        """
        if score is None or not self.flags(score):
            return False
        if self.mode == "refuse":
            raise UnlikeTrainingData(self.explain(score))
        return True

    def explain(self, score: float) -> str:
        """What the score of a flagged image means, for a physician."""
        consequence = "it was refused" if self.mode == "refuse" else "do not rely on the probability"
        value = f"{score:.3f}" if math.isfinite(score) else "not a number"
        return (
            "the image is unlike the radiographs that this model was trained on (see GET /model/card): "
            f"{consequence}; guard score {value}, flagged above {self.threshold:.3f}"
        )


def choose_guard(manifest: Manifest, mode: GuardMode) -> Guard:
    """The guard for a mode of the settings; ``off`` if the model has no guard and the mode is ``warn``.

    Raises:
        SettingsError: the mode is ``refuse``, and the model has no guard.
    """
    if manifest.input_guard is not None and mode != "off":
        return Guard(mode, manifest.input_guard.threshold)
    if mode == "refuse":
        raise SettingsError("XRAY_GUARD=refuse, but this bundle has no input guard")
    return Guard("off")
