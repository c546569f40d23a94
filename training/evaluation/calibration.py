"""Calibration: probabilities that mean what they say, on patients like those of validation.

``p' = sigmoid(scale * logit(p) + shift)``, both fitted by maximum likelihood on validation patients (Platt, in Advances
in Large Margin Classifiers, 1999; with a shift of 0 it is the temperature scaling of Guo et al., ICML 2017). The shift
is there because training weighs both classes the same, and patients do not come that way. It is monotone for a scale
above 0: no AUC changes.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from contract.bundle import Calibration, CalibrationError
from training.evaluation.metrics import Scores, brier, expected_calibration_error

# A float32 probability of 0 or 1 has no logit; these are the last that do.
_LEAST, _GREATEST = 1e-30, 1 - 2**-25
_MAX_SCALE = 10.0


def fit_calibration(scores: Scores, fitted_on: str) -> Calibration:
    """The calibration of greatest likelihood; none for a network that is right less than by chance: no map that keeps
    the order makes such probabilities mean anything.

    Args:
        scores: uncalibrated, of both classes.
        fitted_on: says what they are of.
    """
    logits = _logits(scores.probability)
    labels = _targets(scores.label)

    def loss(parameters: NDArray[np.float64]) -> float:
        z = parameters[0] * logits + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - labels * z))

    found = minimize(loss, (1.0, 0.0), bounds=((None, _MAX_SCALE), (None, None)), method="L-BFGS-B")
    scale, shift = (float(value) for value in found.x)
    if scale <= 0:
        return Calibration()
    return Calibration(method="platt", scale=scale, shift=shift, fitted_on=fitted_on)


def calibrated(scores: Scores, calibration: Calibration) -> Scores:
    """The same images with calibrated probabilities."""
    probability = expit(calibration.scale * _logits(scores.probability) + calibration.shift)
    return Scores(probability, scores.label, scores.patient)


def uncalibrated(scores: Scores, calibration: Calibration) -> Scores:
    """The same images with the probabilities there were before calibration."""
    probability = expit((_logits(scores.probability) - calibration.shift) / calibration.scale)
    return Scores(probability, scores.label, scores.patient)


def calibration_error(scores: Scores) -> CalibrationError:
    """How far these probabilities lie from what happened."""
    return CalibrationError(expected_calibration_error=expected_calibration_error(scores), brier=brier(scores))


def _logits(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = logit(np.clip(probability, _LEAST, _GREATEST))
    return values


def _targets(label: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Platt's targets: not quite 0 and 1, so that classes which are told apart perfectly have an answer too."""
    sick, well = int((label == 1).sum()), int((label == 0).sum())
    return np.where(label == 1, (sick + 1) / (sick + 2), 1 / (well + 2))
