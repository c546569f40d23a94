"""compact keeps to its budget, ignores exposure, and gives a row the same result in any batch."""

from pathlib import Path

import keras
import numpy as np
import pytest

from tests.narrow import narrow_networks
from tests.training.networks.drawn import pixels, probability
from training.fitting.config import RECIPES, TrainingConfig
from training.fitting.network import averaged, compiled
from training.networks.architectures import build
from training.networks.compact import StandardisedConv
from training.networks.names import LAYOUT, MAPS


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build("compact", "rescale")


def test_it_keeps_to_its_budget(model: keras.Model) -> None:
    """1.5 million weights, 0.5 GFLOP per image (two operations per multiply-accumulate)."""
    kernels = [layer for layer in model.layers if isinstance(layer, StandardisedConv)]
    flop = sum(2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3])) for layer in kernels)
    assert model.count_params() <= 1_500_000
    assert flop <= 0.5e9
    assert model.get_layer(MAPS).output.shape[1:3] == (25, 25)
    assert model.get_layer(LAYOUT).output.shape[1:3] == (13, 13)


def test_exposure_and_contrast_change_nothing(model: keras.Model) -> None:
    batch = (pixels() // 2).astype(np.uint8) * 2
    faint = (batch // 2 + 60).astype(np.uint8)
    assert probability(model, faint) == pytest.approx(probability(model, batch), abs=5e-3)
    assert np.ptp(probability(model, pixels())) > 1e-4


def test_a_row_has_the_same_result_in_any_batch(model: keras.Model) -> None:
    batch = pixels()
    alone = np.concatenate([probability(model, row[np.newaxis]) for row in batch])
    assert alone == pytest.approx(probability(model, batch), abs=1e-6)


def test_kernels_are_standardised_whatever_the_weights_are(model: keras.Model) -> None:
    layer = next(layer for layer in model.layers if isinstance(layer, StandardisedConv) and layer.size == 3)
    before = np.asarray(layer.standardised())
    assert before.mean((0, 1, 2)) == pytest.approx(0, abs=1e-6)
    kernel = np.asarray(layer.kernel)
    layer.kernel.assign(7 * kernel + 3)
    assert np.asarray(layer.standardised()) == pytest.approx(before, abs=1e-4)
    layer.kernel.assign(kernel)


def test_training_in_bfloat16_keeps_float32(tmp_path: Path) -> None:
    changes = {"architecture": "deep", "epochs": 2, "seed": 4, "precision": "mixed_bfloat16"}  # the quickest to compile
    config = TrainingConfig.model_validate({**RECIPES["robust"], **changes})
    with narrow_networks():
        model, paths = compiled(config, 1), []
    assert model.get_layer(MAPS).compute_dtype == "bfloat16"
    assert keras.mixed_precision.dtype_policy().name == "float32"
    for epoch in range(2):
        paths.append(tmp_path / f"{epoch}.keras")
        model.save(paths[-1])
        if not epoch:  # once: a CPU without bfloat16 instructions takes seconds per image
            model.train_on_batch(pixels()[:1], np.array([1], np.float32))
    with narrow_networks():
        mean = averaged(paths, config)
    assert mean.get_layer(MAPS).compute_dtype == "float32"
    for weight, *versions in zip(
        mean.get_weights(), *(keras.models.load_model(path, compile=False).get_weights() for path in paths), strict=True
    ):
        assert weight == pytest.approx(np.mean(versions, axis=0), abs=1e-6)
