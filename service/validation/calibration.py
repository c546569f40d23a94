"""Whether the probabilities are the frequencies that a site sees, and whether its prevalence explains a difference."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.bundle import Manifest
from contract.calibration import BINS, bins_of, expected_calibration_error, logits, reliability, sigmoid
from service.validation.schema import CalibrationFigures, ReliabilityBin, Verdict

# Samples of calibrated labels.
_SAMPLES = 500
# A calibration error up to this is small. Where chance alone gives more, there are too few images to say.
TOLERATED = 0.05


def error_by_chance(probability: NDArray[np.float64]) -> float:
    """The calibration error that perfectly calibrated probabilities stay below in 95 of 100 samples of this many
    images.

    Labels are drawn with exactly these probabilities: consistency resampling (Broecker & Smith, Weather and
    Forecasting 2007). The error is never negative, so that chance alone makes it greater than 0.

    Args:
        probability: shape (n,), 0..1, n at least 1.
    """
    draw, place = np.random.default_rng(0), bins_of(probability)
    expected = np.bincount(place, probability, BINS)
    errors = [
        np.abs(np.bincount(place, draw.random(len(probability)) < probability, BINS) - expected).sum()
        for _ in range(_SAMPLES)
    ]
    return float(np.quantile(errors, 0.95)) / len(probability)


def at_prevalence(probability: NDArray[np.float64], trained: float, site: float) -> NDArray[np.float64]:
    """The probabilities at another prevalence, for the same images of each class (Saerens, Latinne & Decaestecker,
    Neural Computation 2002, eq. 2.4).

    Args:
        probability: shape (n,), 0..1, right at the prevalence ``trained``.
        trained: fraction of PNEUMONIA where the probabilities were calibrated, above 0 and below 1.
        site: fraction of PNEUMONIA at the site, above 0 and below 1.
    """
    return sigmoid(logits(probability) + _log_odds(site) - _log_odds(trained))


def calibration_figures(
    probability: NDArray[np.float64], pneumonia: NDArray[np.bool_], trained: float | None
) -> CalibrationFigures:
    """The calibration of one set of images.

    Args:
        probability: shape (n,), 0..1, n at least 1.
        pneumonia: shape (n,), the truth.
        trained: fraction of PNEUMONIA where the probabilities were calibrated; None: not known.
    """
    error, chance, site = expected_calibration_error(probability, pneumonia), error_by_chance(probability), None
    corrected = explained = None
    site = float(pneumonia.mean())
    if trained is not None and 0 < trained < 1 and 0 < site < 1:
        shifted = at_prevalence(probability, trained, site)
        corrected = expected_calibration_error(shifted, pneumonia)
        explained = error > chance and corrected <= error_by_chance(shifted)
    return CalibrationFigures(
        bins=tuple(
            ReliabilityBin(images=each.images, probability=each.probability, pneumonia=each.pneumonia)
            for each in reliability(probability, pneumonia)
        ),
        error=error,
        by_chance=chance,
        verdict=_verdict(error, chance),
        prevalence=site,
        trained_prevalence=trained,
        error_at_prevalence=corrected,
        explained_by_prevalence=explained,
    )


def trained_prevalence(manifest: Manifest, population: str | None) -> float | None:
    """The fraction of PNEUMONIA where the probabilities were calibrated; None if the manifest does not state it."""
    if manifest.site and manifest.site.population == population:
        return manifest.site.prevalence
    if population is not None:
        return manifest.populations[population].prevalence
    validation: Mapping[str, Any] = manifest.results.get("validation") or {}
    try:
        return float(validation["pneumonia_images"]) / float(validation["images"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _verdict(error: float, chance: float) -> Verdict:
    if error > max(chance, TOLERATED):
        return "does not hold"
    return "holds" if chance <= TOLERATED else "too few to say"


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))
