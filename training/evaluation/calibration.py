"""Calibration: makes probabilities match observed frequencies on patients like those of validation.

``p' = sigmoid(scale * logit(p) + shift)``, both fitted by maximum likelihood on validation patients (Platt, in Advances
in Large Margin Classifiers, 1999; with a shift of 0 it is the temperature scaling of Guo et al., ICML 2017). The shift
is needed because training weighs both classes equally, whatever their prevalence. The map is monotone for a scale above
0, so it does not change the AUC.
"""

from contract.bundle import Calibration, CalibrationError
from contract.calibration import calibrate, fit_platt, logits, sigmoid
from training.evaluation.metrics import Scores, brier, expected_calibration_error

_MAX_SCALE = 10.0


def fit_calibration(scores: Scores, fitted_on: str) -> Calibration:
    """Fit the calibration of maximum likelihood.

    A network that is worse than chance gets none (method "none"): no monotone map can make its probabilities useful.

    Args:
        scores: uncalibrated, of both classes.
        fitted_on: describes the images, for the manifest.
    """
    scale, shift = fit_platt(scores.probability, scores.label == 1, _MAX_SCALE)
    if scale <= 0:
        return Calibration()
    return Calibration(method="platt", scale=scale, shift=shift, fitted_on=fitted_on)


def calibrated(scores: Scores, calibration: Calibration) -> Scores:
    """Apply a calibration to the probabilities."""
    return Scores(calibrate(scores.probability, calibration), scores.label, scores.patient)


def uncalibrated(scores: Scores, calibration: Calibration) -> Scores:
    """Undo a calibration: the probabilities before it."""
    probability = sigmoid((logits(scores.probability) - calibration.shift) / calibration.scale)
    return Scores(probability, scores.label, scores.patient)


def calibration_error(scores: Scores) -> CalibrationError:
    """Expected calibration error and Brier score of these probabilities."""
    return CalibrationError(expected_calibration_error=expected_calibration_error(scores), brier=brier(scores))
