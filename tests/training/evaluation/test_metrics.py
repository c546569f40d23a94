"""Figures compared with known values, and properties of their intervals."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from training.data.dataset import Dataset
from training.data.folder import Radiograph
from training.errors import DataError, TrainingError
from training.evaluation.evaluate import choose_operating_point, measure, score
from training.evaluation.metrics import (
    Scores,
    accuracy,
    auc,
    balanced_threshold,
    brier,
    confusion,
    expected_calibration_error,
    sensitivity,
    specificity,
)


def scores(probability: list[float], label: list[int], patient: list[str] | None = None) -> Scores:
    patients = np.array(patient or [str(row) for row in range(len(label))])
    return Scores(np.array(probability), np.array(label, np.uint8), patients)


KNOWN = scores([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])


def test_figures_of_a_textbook_case() -> None:
    assert auc(KNOWN).value == 0.75
    assert sensitivity(KNOWN, 0.375).value == 0.5
    assert specificity(KNOWN, 0.375).value == 0.5
    assert accuracy(KNOWN, 0.3).value == 0.75
    assert brier(KNOWN) == pytest.approx((0.01 + 0.16 + 0.65**2 + 0.04) / 4)
    assert confusion(KNOWN, 0.375) == {
        "true_positive": 1,
        "false_negative": 1,
        "true_negative": 1,
        "false_positive": 1,
    }


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=40))
def test_the_area_is_scikit_learn_s(rows: list[tuple[int, int]]) -> None:
    labels = [label for _, label in rows]
    if len(set(labels)) == 2:
        found = scores([value / 5 for value, _ in rows], labels)
        assert auc(found).value == pytest.approx(roc_auc_score(labels, found.probability))


def test_the_threshold_itself_is_pneumonia() -> None:
    assert sensitivity(KNOWN, 0.35).value == 1
    assert specificity(KNOWN, 0.4).value == 0.5


def test_calibration_error_is_the_gap_of_predicted_and_observed() -> None:
    assert expected_calibration_error(scores([0.75] * 4, [1, 1, 1, 0])) == pytest.approx(0)
    assert expected_calibration_error(scores([1.0, 1.0, 0.0, 0.0], [0, 0, 1, 1])) == 1


def test_the_balanced_threshold_separates_what_can_be_separated() -> None:
    assert balanced_threshold(scores([0.1, 0.2, 0.7, 0.9], [0, 0, 1, 1])) == 0.45
    assert balanced_threshold(scores([0.5, 0.5], [0, 1])) == 0.5


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=40))
def test_no_threshold_does_better_than_the_balanced_one(rows: list[tuple[float, int]]) -> None:
    labels = [label for _, label in rows]
    if len(set(labels)) < 2:
        return
    found = scores([round(p, 3) for p, _ in rows], labels)
    best = balanced_threshold(found)

    def youden(threshold: float) -> float:
        called = found.probability >= threshold
        return float(called[found.label == 1].mean() - called[found.label == 0].mean())

    between = [0.0, *(np.unique(found.probability)[:-1] + np.diff(np.unique(found.probability)) / 2)]
    assert youden(best) >= max(map(youden, between[1:]), default=0) - 1e-9


def test_images_of_one_patient_count_as_one_in_the_interval() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(40) < 0.8
    probability = np.where(right, 0.9, 0.1)
    alone = scores(list(probability), [1] * 40)
    repeated = scores(list(np.repeat(probability, 5)), [1] * 200, [str(row // 5) for row in range(200)])
    narrow, honest = sensitivity(alone, 0.5), sensitivity(repeated, 0.5)
    assert narrow.value == honest.value
    assert honest.high - honest.low == pytest.approx(narrow.high - narrow.low, abs=0.03)


def test_a_perfect_figure_still_has_an_interval() -> None:
    perfect = sensitivity(scores([0.9] * 20, [1] * 20), 0.5)
    assert perfect.value == perfect.high == 1
    assert perfect.low == pytest.approx(0.839, abs=0.001)  # Wilson, 20 of 20
    of_ten = sensitivity(scores([0.9] * 20, [1] * 20, [str(row % 10) for row in range(20)]), 0.5)
    assert of_ten.low == pytest.approx(0.722, abs=0.001)  # ten patients


def test_intervals_contain_the_figure_and_are_reproducible() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    found = scores(list(np.clip(label * 0.4 + rng.random(200) * 0.6, 0, 1)), list(label))
    results = measure(found, 0.5, "drawn images")
    for figure in (results.auc, results.accuracy, results.sensitivity, results.specificity):
        assert figure.low < figure.value < figure.high
    assert results == measure(found, 0.5, "drawn images")


def test_the_operating_point_says_where_it_was_chosen() -> None:
    point = choose_operating_point(KNOWN, "four images")
    assert point.chosen_on.startswith("four images")
    assert point.sensitivity.value + point.specificity.value == 1.5


def test_a_diverged_network_is_an_error() -> None:
    radiographs = [Radiograph(name, Path(), 0, name, None) for name in ("a", "b")]
    data = Dataset(radiographs, np.zeros((2, 200, 200, 1), np.uint8), ["a", "b"], Counter(), [])
    with pytest.raises(TrainingError, match="diverged"):
        score(lambda pixels: np.full(len(pixels), np.nan, np.float32), data)


def test_one_class_alone_is_not_measured() -> None:
    with pytest.raises(DataError, match="both classes"):
        measure(scores([0.5, 0.6], [1, 1]), 0.5, "half the truth")
