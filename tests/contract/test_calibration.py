"""The formula of a calibration and its fit: Platt's sigmoid, finite at both ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from contract.bundle import Calibration
from contract.calibration import (
    calibrate,
    expected_calibration_error,
    fit_platt,
    logits,
    platt_targets,
    reliability,
    sigmoid,
)

PLATT = Calibration(method="platt", scale=2.0, shift=-1.0)


def test_the_formula() -> None:
    odds = np.exp(2.0 * np.log(0.3 / 0.7) - 1.0)
    assert calibrate([0.3], PLATT) == pytest.approx([odds / (1 + odds)], rel=1e-12)


def test_without_a_method_nothing_changes() -> None:
    assert calibrate([0.0, 0.123456789, 1.0], Calibration()).tolist() == [0.0, 0.123456789, 1.0]


@given(st.lists(st.floats(0, 1), min_size=2))
def test_probabilities_stay_probabilities_in_the_same_order(values: list[float]) -> None:
    found = calibrate(sorted(values), PLATT)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    assert 0 <= found.min() <= found.max() <= 1


@given(st.floats(1e-6, 1 - 1e-6))
def test_logits_and_sigmoid_are_inverse(value: float) -> None:
    assert sigmoid(logits(value)) == pytest.approx(value, rel=1e-9)


def test_the_bins_of_calibrated_probabilities_agree_with_the_frequencies() -> None:
    probability, pneumonia = np.array([0.1, 0.1, 0.9, 0.9, 1.0]), np.array([False, False, True, True, True])
    assert [each.images for each in reliability(probability, pneumonia)] == [2, 2, 1]
    assert expected_calibration_error(probability, pneumonia) == pytest.approx((0.1 * 2 + 0.1 * 2) / 5)


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.floats(0.1, 0.9), st.floats(0.05, 3), st.floats(-3, 3))
def test_the_fit_is_the_best_one(seed: int, images: int, prevalence: float, spread: float, middle: float) -> None:
    draw = np.random.default_rng(seed)
    ill = draw.random(images) < prevalence
    ill[:2] = True, False
    odds = draw.normal(middle + spread * ill, spread)
    inputs, targets = logits(sigmoid(odds)), platt_targets(ill)

    def loss(parameters: np.ndarray) -> float:
        z = parameters[0] * inputs + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - targets * z))

    for max_scale in (np.inf, 10.0, 0.5):
        bounds = ((None, max_scale), (None, None))
        general = minimize(loss, (min(1.0, max_scale), 0.0), bounds=bounds, method="L-BFGS-B", tol=1e-12)
        scale, shift = fit_platt(sigmoid(odds), ill, max_scale)
        assert scale <= max_scale
        assert loss(np.array([scale, shift])) <= general.fun + 1e-9
        # The loss is convex: it is least where its slopes are 0. Where it is flat, the general one may end before that.
        excess = sigmoid(scale * inputs + shift) - targets
        assert np.mean(excess) == pytest.approx(0, abs=1e-6)
        slope = np.mean(excess * inputs)
        assert slope <= 1e-6 if scale == max_scale else slope == pytest.approx(0, abs=1e-6)


def test_the_fit_of_separated_classes_is_finite() -> None:
    ill = np.arange(40) < 20
    scale, shift = fit_platt(np.where(ill, 0.99, 0.01), ill)
    assert 0 < scale < 10
    assert np.isfinite(shift)
