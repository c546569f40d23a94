"""Calibration corrects overconfident and underconfident probabilities, and keeps their order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from contract.bundle import Calibration
from training.evaluation.calibration import calibrated, calibration_error, fit_calibration, uncalibrated
from training.evaluation.metrics import Scores


def scores(scale: float, shift: float, count: int = 4000) -> Scores:
    """Images whose true log-odds are spread around 1, with probabilities of ``(true - shift) / scale``."""
    rng = np.random.default_rng(4)
    true = rng.normal(1, 2, count)
    label = (rng.random(count) < expit(true)).astype(np.uint8)
    return Scores(expit((true - shift) / scale), label, np.arange(count).astype(str))


@pytest.mark.parametrize(("scale", "shift"), [(0.4, 0.0), (2.5, 1.0), (1.0, -2.0)])
def test_fitting_recovers_the_distortion(scale: float, shift: float) -> None:
    distorted = scores(scale, shift)
    fitted = fit_calibration(distorted, "random numbers")
    assert fitted.scale == pytest.approx(scale, rel=0.12)
    assert fitted.shift == pytest.approx(shift, abs=0.15)
    before, after = calibration_error(distorted), calibration_error(calibrated(distorted, fitted))
    assert after.expected_calibration_error < 0.025 < before.expected_calibration_error
    assert after.brier < before.brier


@given(st.floats(0.05, 8), st.floats(-4, 4))
def test_calibration_keeps_the_order_and_can_be_undone(scale: float, shift: float) -> None:
    original, calibration = scores(1, 0, 50), Calibration(method="platt", scale=scale, shift=shift)
    changed = calibrated(original, calibration)
    assert (np.diff(changed.probability[np.argsort(original.probability)]) >= 0).all()
    back = uncalibrated(changed, calibration)
    exact = np.abs(scale * logit(original.probability) + shift) < 12  # nearer to 0 or 1, no digits are left
    assert back.probability[exact] == pytest.approx(original.probability[exact], abs=1e-4)


def test_perfectly_separated_classes_have_a_calibration_too() -> None:
    separated = Scores(np.repeat([0.2, 0.9], 20), np.repeat([0, 1], 20).astype(np.uint8), np.arange(40).astype(str))
    probability = calibrated(separated, fit_calibration(separated, "drawn images")).probability
    assert 0 < probability[0] < 0.2
    assert 0.9 < probability[-1] < 1


def test_a_network_worse_than_chance_is_not_calibrated() -> None:
    right = scores(1, 0)
    backwards = Scores(1 - right.probability, right.label, right.patient)
    fitted = fit_calibration(backwards, "drawn images")
    assert fitted == Calibration(method="none")
    assert calibrated(backwards, fitted).probability == pytest.approx(backwards.probability)


def test_probabilities_of_0_and_1_stay_finite() -> None:
    extreme = Scores(np.array([0.0, 1.0, 0.3]), np.array([0, 1, 1], np.uint8), np.array(["a", "b", "c"]))
    assert np.isfinite(fit_calibration(extreme, "three").scale)
    assert np.isfinite(calibrated(extreme, Calibration(method="platt", scale=3, shift=1)).probability).all()
