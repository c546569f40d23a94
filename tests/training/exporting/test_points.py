"""Operating points have the sensitivity or specificity that they promise, on unchanged and shifted images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.thresholds import KEPT
from training.data.dataset import Dataset
from training.evaluation.metrics import Scores, threshold_for
from training.evaluation.stress import REALISTIC
from training.exporting.points import choose_points, shifted_scores


def scores(seed: int, count: int = 400, apart: float = 2.5) -> Scores:
    rng = np.random.default_rng(seed)
    label = (np.arange(count) % 3 > 0).astype(np.uint8)
    probability = 1 / (1 + np.exp(-rng.normal(apart * (label - 0.5))))
    return Scores(probability, label, np.arange(count).astype(str))


@given(st.integers(0, 30))
def test_each_point_keeps_its_promise(seed: int) -> None:
    points = choose_points([scores(seed)], "drawn patients")
    assert list(points) == ["balanced", "rule-out", "rule-in"]
    assert points["rule-out"].sensitivity.value >= KEPT
    assert points["rule-in"].specificity.value >= KEPT
    assert points["rule-out"].threshold <= points["balanced"].threshold <= points["rule-in"].threshold
    assert all("drawn patients, unchanged and under" in point.chosen_on for point in points.values())


def test_the_threshold_gives_up_no_more_than_necessary() -> None:
    drawn = scores(1)
    threshold = threshold_for(drawn, 1, 0.9)
    sick = np.sort(drawn.probability[drawn.label == 1])
    assert (sick >= threshold).mean() >= 0.9
    assert (sick >= threshold + 0.01).mean() < 0.9


def test_an_unreachable_rate_is_reached_by_one_answer_for_all() -> None:
    mixed = Scores(np.array([0.1, 0.9]), np.array([1, 0], np.uint8), np.array(["a", "b"]))
    assert threshold_for(mixed, 1, 1.0) == 0
    assert threshold_for(mixed, 0, 1.0) == 1


def test_thresholds_are_chosen_on_every_realistic_shift(data: Dataset) -> None:
    def brightness(pixels: np.ndarray) -> np.ndarray:
        return pixels.mean((1, 2, 3), dtype=np.float32) / 255

    pooled = shifted_scores(brightness, data, 0)
    assert len(pooled.label) == len(data.labels) * (1 + len(REALISTIC))
    each = pooled.probability.reshape(1 + len(REALISTIC), -1).mean(1)
    names = ["unchanged", *REALISTIC]
    assert each[names.index("brighter")] > each[0] + 0.05 > each[names.index("darker")] + 0.1
    assert (pooled.label.reshape(len(names), -1) == data.labels).all()
    assert pooled.probability[: len(data.labels)] == pytest.approx(brightness(data.pixels))
