"""Calibration undoes what made probabilities too sure or too shy, and changes no order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from contract.bundle import Calibration
from training.evaluation.calibration import calibrated, calibration_error, fit_calibration, uncalibrated
from training.evaluation.metrics import Scores


def scores(scale: float, shift: float, count: int = 4000) -> Scores:
    """Images whose true log-odds are spread around 1, told as ``(true - shift) / scale``."""
    rng = np.random.default_rng(4)
    true = rng.normal(1, 2, count)
    label = (rng.random(count) < expit(true)).astype(np.uint8)
    return Scores(expit((true - shift) / scale), label, np.arange(count).astype(str))


@pytest.mark.parametrize(("scale", "shift"), [(0.4, 0.0), (2.5, 1.0), (1.0, -2.0)])
def test_the_distortion_is_found(scale: float, shift: float) -> None:
    told = scores(scale, shift)
    found = fit_calibration(told, "a drawing of lots")
    assert found.scale == pytest.approx(scale, rel=0.12)
    assert found.shift == pytest.approx(shift, abs=0.15)
    before, after = calibration_error(told), calibration_error(calibrated(told, found))
    assert after.expected_calibration_error < 0.025 < before.expected_calibration_error
    assert after.brier < before.brier


@given(st.floats(0.05, 8), st.floats(-4, 4))
def test_there_and_back_and_in_the_same_order(scale: float, shift: float) -> None:
    told, calibration = scores(1, 0, 50), Calibration(method="platt", scale=scale, shift=shift)
    changed = calibrated(told, calibration)
    assert (np.diff(changed.probability[np.argsort(told.probability)]) >= 0).all()
    back = uncalibrated(changed, calibration)
    sure = np.abs(scale * logit(told.probability) + shift) < 12  # nearer to 0 or 1 the probability has no digits left
    assert back.probability[sure] == pytest.approx(told.probability[sure], abs=1e-4)


def test_classes_told_apart_perfectly_still_have_a_calibration() -> None:
    told = Scores(np.repeat([0.2, 0.9], 20), np.repeat([0, 1], 20).astype(np.uint8), np.arange(40).astype(str))
    found = fit_calibration(told, "a drawing")
    sure = calibrated(told, found).probability
    assert 0 < sure[0] < 0.2
    assert 0.9 < sure[-1] < 1


def test_a_network_that_has_it_backwards_is_left_as_it_is() -> None:
    told = scores(1, 0)
    backwards = Scores(1 - told.probability, told.label, told.patient)
    found = fit_calibration(backwards, "a drawing")
    assert found == Calibration(method="none")
    assert calibrated(backwards, found).probability == pytest.approx(backwards.probability)


def test_certainty_does_not_become_infinity() -> None:
    told = Scores(np.array([0.0, 1.0, 0.3]), np.array([0, 1, 1], np.uint8), np.array(["a", "b", "c"]))
    assert np.isfinite(fit_calibration(told, "three").scale)
    assert np.isfinite(calibrated(told, Calibration(method="platt", scale=3, shift=1)).probability).all()
