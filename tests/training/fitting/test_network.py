"""The figures of a step are those of its rows."""

import numpy as np
import pytest

from training.fitting.config import TrainingConfig
from training.fitting.network import compiled


def test_accuracy_compares_each_row_with_its_own_target() -> None:
    model = compiled(TrainingConfig(architecture="baseline", learning_rate=1e-9), steps=1)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 200, 200, 1), np.uint8)
    probability = np.asarray(model.predict_on_batch(pixels))[:, 0]
    level = np.median(probability)
    model.get_layer("probability").bias.assign([-np.log(level / (1 - level))])  # half of the rows are above a half
    sick = np.asarray(model.predict_on_batch(pixels))[:, 0] > 0.5
    assert 0 < sick.mean() < 1
    for targets in (sick.astype(np.uint8), np.where(sick, 0.7, 0.2)):
        assert model.test_on_batch(pixels, targets, np.ones(8), return_dict=True)["accuracy"] == pytest.approx(1)
    assert model.train_on_batch(pixels, ~sick, np.ones(8), return_dict=True)["accuracy"] == pytest.approx(0)
