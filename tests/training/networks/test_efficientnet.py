"""efficientnet-lite begins with weights of ImageNet, keeps to the budget, and gives a row one result in any batch."""

import keras
import numpy as np
import pytest

from tests.training.networks.drawn import pixels, probability
from training.exporting.onnx import export_graph
from training.fitting.config import TrainingConfig
from training.fitting.network import compiled
from training.networks.architectures import build
from training.networks.efficientnet import WEIGHTS
from training.networks.names import LAYOUT, MAPS, PROBABILITY
from training.networks.readout import Readout
from training.networks.recovered import recovered


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build("efficientnet-lite", "rescale")


def multiplications(layer: keras.layers.Layer) -> int:
    """Multiply-accumulates of a convolution for one image: none of another layer."""
    kernel = getattr(layer, "kernel", None)
    return 0 if kernel is None else int(np.prod(kernel.shape) * np.prod(layer.output.shape[1:-1]))


def test_it_keeps_to_its_budget(model: keras.Model) -> None:
    """1.5 million weights, 0.5 GFLOP per image (two operations per multiply-accumulate)."""
    assert model.count_params() <= 1_500_000
    assert 0.4e9 < 2 * sum(map(multiplications, model.layers)) <= 0.5e9
    assert model.get_layer(MAPS).output.shape[1:3] == (25, 25)
    assert model.get_layer(LAYOUT).output.shape[1:3] == (13, 13)


def test_each_layer_of_its_blocks_has_weights_of_imagenet(model: keras.Model) -> None:
    with np.load(WEIGHTS) as stored:
        named = [layer for layer in model.layers if layer.name == "stem" or layer.name.startswith("block")]
        assert {layer.name for layer in named} == {key.rpartition(".")[0] for key in stored}
        for layer in named:
            assert np.asarray(layer.kernel) == pytest.approx(stored[f"{layer.name}.kernel"].astype(np.float32))
            assert np.asarray(layer.bias) == pytest.approx(stored[f"{layer.name}.bias"].astype(np.float32))


def test_exposure_and_contrast_change_nothing(model: keras.Model) -> None:
    batch = (pixels() // 2).astype(np.uint8) * 2
    faint = (batch // 2 + 60).astype(np.uint8)
    assert probability(model, faint) == pytest.approx(probability(model, batch), abs=5e-3)
    assert np.ptp(probability(model, pixels())) > 1e-4


def test_a_row_has_the_same_result_in_any_batch(model: keras.Model) -> None:
    batch = pixels()
    alone = np.concatenate([probability(model, row[np.newaxis]) for row in batch])
    assert alone == pytest.approx(probability(model, batch), abs=1e-6)


def test_training_changes_all_weights_but_those_of_the_first_blocks_and_they_come_back_from_a_graph() -> None:
    model = compiled(TrainingConfig(architecture="efficientnet-lite", optimizer="adamw"), steps=1)
    before = {weight.path: np.asarray(weight) for weight in model.weights}
    model.train_on_batch(pixels(), np.array([0, 1, 0, 1], np.float32))
    same = {weight.path.split("/")[0] for weight in model.weights if np.array_equal(weight, before[weight.path])}
    assert {name.split("_")[0] for name in same} == {"stem", "block0", "block1", "block2", "probability"}  # its area
    assert np.asarray(model.get_layer(PROBABILITY).bias)[0] != 0
    again = recovered(export_graph(Readout(model)))
    assert probability(again, pixels()) == pytest.approx(probability(model, pixels()), abs=1e-5)
