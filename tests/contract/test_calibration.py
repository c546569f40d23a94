"""The formula of a calibration: Platt's sigmoid, finite at both ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.bundle import Calibration
from contract.calibration import calibrate, expected_calibration_error, logits, reliability, sigmoid

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
