"""What the service does about images unlike those its model was trained on."""

import math
from dataclasses import dataclass

from contract.bundle import Manifest
from service.settings import GuardMode, SettingsError


@dataclass(frozen=True, slots=True)
class Guard:
    """The input guard in use: images that score over the threshold are flagged. ``off`` flags none."""

    mode: GuardMode
    threshold: float = math.inf

    def flags(self, score: float) -> bool:
        """Whether an image of this score is unlike those of training."""
        return not score <= self.threshold  # this way round, NaN is flagged too

    def words(self, score: float) -> str:
        """What an image of this score that was flagged means, for a physician."""
        outcome = "it is not read" if self.mode == "refuse" else "do not rely on the probability"
        shown = f"{score:.3f}" if math.isfinite(score) else "not a number"
        return (
            "the picture is unlike the radiographs this model was trained on (GET /model/card says which): "
            f"{outcome}; guard score {shown}, flagged over {self.threshold:.3f}"
        )


def choose_guard(manifest: Manifest, asked: GuardMode) -> Guard:
    """The guard that the settings ask for; ``off`` where the model has none.

    Raises:
        SettingsError: images should be refused by a guard that the model does not have.
    """
    if manifest.input_guard is not None and asked != "off":
        return Guard(asked, manifest.input_guard.threshold)
    if asked == "refuse":
        raise SettingsError("XRAY_GUARD=refuse, but this bundle has no input guard")
    return Guard("off")
