"""Curves compared with scikit-learn's, and bands that contain them."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from training.evaluation.metrics import Scores, auc
from training.reporting.bands import GRID, Curve, precision_recall, roc


def drawn(images: int, patients: int, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    label = np.arange(images) % 2
    probability = np.clip(np.round(label * 0.3 + rng.random(images) * 0.7, 2), 0, 1)
    return Scores(probability, label.astype(np.uint8), np.array([str(row % patients) for row in range(images)]))


def test_the_roc_curve_is_scikit_learn_s() -> None:
    scores = drawn(300, 300)
    curve = roc(scores)
    x, y, _ = roc_curve(scores.label, scores.probability, drop_intermediate=False)
    for at, value in zip(GRID, curve.y, strict=True):
        assert y[x <= at + 1e-9].max() - 1e-5 <= value <= y[x > at + 1e-9].min(initial=1) + 1e-5
    assert float(np.trapezoid(curve.y, curve.x)) == pytest.approx(auc(scores).value, abs=0.01)
    assert (curve.y[0], curve.y[-1]) == (y[x == 0].max().round(5), 1)


def test_precision_is_that_of_the_first_threshold_that_reaches_the_recall() -> None:
    scores = drawn(300, 300)
    curve = precision_recall(scores)
    precision, recall, _ = precision_recall_curve(scores.label, scores.probability)
    for at, value in zip(GRID[1:], curve.y[1:], strict=True):
        first = np.flatnonzero(recall[:-1] >= at - 1e-9)[-1]  # scikit-learn goes from the lowest threshold up
        assert value == pytest.approx(precision[first], abs=1e-5)


@pytest.mark.parametrize("of", [roc, precision_recall])
def test_the_band_holds_the_curve_and_is_wider_for_fewer_patients(of: object) -> None:
    def width(curve: Curve) -> float:
        assert all(
            low <= y + 1e-9 and y <= high + 1e-9 for low, y, high in zip(curve.low, curve.y, curve.high, strict=True)
        )
        return float(np.mean(np.subtract(curve.high, curve.low)))

    many, few = (of(drawn(400, patients, 1)) for patients in (400, 21))  # type: ignore[operator]
    assert width(few) > 0
    assert width(many) > 0
    smaller = of(drawn(60, 60, 1))  # type: ignore[operator]
    assert width(smaller) > width(many)


def test_a_perfect_model_has_the_corner() -> None:
    scores = Scores(np.array([0.1, 0.2, 0.8, 0.9]), np.array([0, 0, 1, 1], np.uint8), np.array(list("abcd")))
    assert set(roc(scores).y) == {1}
    assert set(precision_recall(scores).y) == {1}
