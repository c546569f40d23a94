"""The heatmap's contributions add up to the log-odds exactly, and it is bright where the evidence is."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from contract.image import squash
from tests.drawings import chest
from tests.trained import Trained
from training.networks.architectures import build
from training.networks.heatmap import contributions, heatmap
from training.networks.names import HIDDEN, MAPS, PROBABILITY
from training.networks.readout import Readout


def pixels(opacity: float, mirrored: bool = False, count: int = 8) -> np.ndarray:
    drawn = [chest(9000 + seed, 224, 224, opacity) for seed in range(count)]
    return np.stack([squash(Image.fromarray(np.ascontiguousarray(d[:, ::-1]) if mirrored else d)) for d in drawn])


def maps_of(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.inputs[0], model.get_layer(MAPS).output)(batch))


@pytest.mark.parametrize("architecture", ["deep", "deep-stacked"])
def test_contributions_add_up_to_the_log_odds(architecture: str) -> None:
    """The property that makes it exact: contributions + biases through the same switches = logit."""
    model = build(architecture, "rescale")
    hidden, last = model.get_layer(HIDDEN), model.get_layer(PROBABILITY)
    hidden.bias.assign(np.random.default_rng(0).normal(0, 0.1, hidden.bias.shape))
    last.bias.assign([0.3])
    batch = pixels(0.5, count=3)
    logit, places = contributions(model, maps_of(model, batch))
    active, probability = keras.Model(model.inputs[0], [hidden.output, last.output])(batch)
    switched = np.where(np.asarray(active) > 0, np.asarray(last.kernel)[:, 0], 0)
    bias = switched @ np.asarray(hidden.bias) + np.asarray(last.bias)
    assert np.asarray(probability)[:, 0] == pytest.approx(np.asarray(ops.sigmoid(logit)), abs=1e-6)
    assert np.asarray(ops.sum(places, axis=(1, 2))) + bias == pytest.approx(np.asarray(logit), abs=1e-3)


def test_contributions_of_compact_add_up_to_the_log_odds() -> None:
    model, batch = build("compact", "rescale"), pixels(0.5, count=3)
    model.get_layer(PROBABILITY).bias.assign([0.3])
    logit, places = contributions(model, maps_of(model, batch))
    assert places.shape == (3, 25, 25)
    assert np.asarray(ops.sum(places, axis=(1, 2))) + 0.3 == pytest.approx(np.asarray(logit), abs=1e-4)
    assert np.asarray(model(batch))[:, 0] == pytest.approx(np.asarray(ops.sigmoid(logit)), abs=1e-6)


@pytest.mark.parametrize("grey", [0, 90, 255])
def test_the_map_of_compact_is_flat_where_the_image_is(grey: int) -> None:
    model = build("compact", "rescale")
    for layer in model.layers:
        if hasattr(layer, "bias") and layer.bias is not None:  # initial biases are 0, which would be too easy
            layer.bias.assign(np.random.default_rng(1).normal(0, 0.5, layer.bias.shape))
    shown = np.asarray(Readout(model)(np.full((1, 200, 200, 1), grey, np.uint8))["heatmap"])
    assert np.ptp(shown) == pytest.approx(0, abs=1e-4)
    assert np.ptp(np.asarray(Readout(model)(pixels(1.0, count=1))["heatmap"])) > 1e-3


def test_no_evidence_is_dark_and_much_evidence_is_bright() -> None:
    shown = np.asarray(heatmap(ops.convert_to_tensor(np.array([[[-5.0, 0.0], [0.1, 50.0]]], np.float32))))
    assert shown[0, 0].tolist() == [0, 0]
    assert 0 < shown[0, 1, 0] < 0.7
    assert shown[0, 1, 1] > 0.99


def test_a_trained_network_finds_the_patch_where_it_was_drawn(trained: Trained) -> None:
    model = trained.run.best_model()
    sick, healthy = (contributions(model, maps_of(model, pixels(opacity))) for opacity in (1.0, 0.0))
    assert np.asarray(sick[0]).min() > np.asarray(healthy[0]).max()  # it has learned something at all
    shown = np.asarray(heatmap(sick[1])).mean(0)
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    # The patch is drawn around x = -0.42, y = 0.2 of -1..1: in a 6 x 6 map around column 1.7, row 3.6.
    assert column <= 2
    assert 2 <= row <= 4
    assert shown.mean() > np.asarray(heatmap(healthy[1])).mean()


def test_covering_the_evidence_darkens_the_map_there(trained: Trained) -> None:
    model = trained.run.best_model()
    places = np.asarray(contributions(model, maps_of(model, pixels(1.0)))[1]).mean(0)
    covered = pixels(1.0)
    covered[:, 90:150, 30:90] = pixels(0.0)[:, 90:150, 30:90]
    without = np.asarray(contributions(model, maps_of(model, covered))[1]).mean(0)
    lost = places - without
    assert lost[2:5, 0:3].sum() > 0.6 * lost.sum() > 0
