"""Intervals by patient: against known formulas where images are independent, and wider where they are not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from service.validation.intervals import auc_by_patient, share_by_patient, wilson


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipy_s(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_images_of_different_patients_count_in_full() -> None:
    right = np.arange(100) % 10 != 0
    found = share_by_patient(right, np.arange(100))
    assert found is not None
    assert found.worth == pytest.approx(100, rel=0.02)
    assert (found.measured.low, found.measured.high) == pytest.approx(wilson(0.9, 100), abs=2e-3)


def test_the_same_image_five_times_counts_once() -> None:
    right = np.arange(100) % 10 != 0
    once = share_by_patient(right, np.arange(100))
    repeated = share_by_patient(np.repeat(right, 5), np.repeat(np.arange(100), 5))
    assert once is not None
    assert repeated is not None
    assert repeated.worth == pytest.approx(once.worth)
    assert repeated.design_effect == pytest.approx(5, rel=0.02)
    assert repeated.measured.model_dump() == pytest.approx(once.measured.model_dump())


def test_if_all_are_right_patients_count() -> None:
    found = share_by_patient(np.ones(60, np.bool_), np.repeat(np.arange(20), 3))
    assert found is not None
    assert (found.measured.low, found.measured.high) == pytest.approx(wilson(1, 20))


def test_without_images_there_is_no_share() -> None:
    assert share_by_patient(np.zeros(0, np.bool_), np.zeros(0, np.intp)) is None


def test_intervals_of_clustered_shares_cover_the_truth() -> None:
    """Patients differ (beta-binomial), with one to six images each; 95 % intervals, 400 samples."""
    draw = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        patient = np.repeat(np.arange(60), draw.integers(1, 7, 60))
        right = draw.random(len(patient)) < draw.beta(4, 1, 60)[patient]  # mean 0.8
        found = share_by_patient(right, patient)
        assert found is not None
        covered += found.measured.low <= 0.8 <= found.measured.high
    assert 0.92 <= covered / 400 <= 0.98


def delong(sick: np.ndarray, well: np.ndarray) -> tuple[float, float]:
    """Area and standard error by DeLong, DeLong & Clarke-Pearson (Biometrics 1988), from all pairs."""
    kernel = (sick[:, None] > well) + 0.5 * (sick[:, None] == well)
    of_sick, of_well = kernel.mean(1), kernel.mean(0)
    return float(kernel.mean()), math.sqrt(of_sick.var(ddof=1) / len(sick) + of_well.var(ddof=1) / len(well))


def a_sample() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(3)
    pneumonia = np.arange(80) % 2 == 0
    return np.round(1 / (1 + np.exp(-draw.normal(1.2 * pneumonia))), 2), pneumonia  # rounded: some are equal


def test_of_single_images_the_auc_s_interval_is_delong_s() -> None:
    probability, pneumonia = a_sample()
    area, error = delong(probability[pneumonia], probability[~pneumonia])
    found = auc_by_patient(probability, pneumonia, np.arange(80))
    assert found is not None
    half = 1.959964 * error / (area * (1 - area))
    bounds = [1 / (1 + math.exp(-(math.log(area / (1 - area)) + sign * half))) for sign in (-1, 1)]
    assert found.measured.value == pytest.approx(area)
    assert [found.measured.low, found.measured.high] == pytest.approx(bounds)


def test_the_same_images_three_times_give_the_same_interval() -> None:
    probability, pneumonia = a_sample()
    once = auc_by_patient(probability, pneumonia, np.arange(80))
    thrice = auc_by_patient(*(np.repeat(column, 3) for column in (probability, pneumonia, np.arange(80))))
    assert once is not None
    assert thrice is not None
    assert thrice.measured.model_dump() == pytest.approx(once.measured.model_dump())


def test_a_perfect_area_has_an_interval() -> None:
    pneumonia = np.arange(40) < 10
    found = auc_by_patient(pneumonia.astype(float), pneumonia, np.arange(40))
    assert found is not None
    assert (found.measured.low, found.measured.high) == pytest.approx(wilson(1, 10))


def test_one_class_has_no_area() -> None:
    assert auc_by_patient(np.array([0.1, 0.9]), np.array([True, True]), np.arange(2)) is None
