"""The heatmap is a function of the image, exact in its sum, and bright where the evidence is."""

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from contract.image import squash
from tests.drawings import chest
from tests.trained import Trained
from training.architectures import build
from training.heatmap import contributions, heatmap
from training.names import HIDDEN, PROBABILITY


def pixels(opacity: float, mirrored: bool = False, count: int = 8) -> np.ndarray:
    drawn = [chest(9000 + seed, 224, 224, opacity) for seed in range(count)]
    return np.stack([squash(Image.fromarray(np.ascontiguousarray(d[:, ::-1]) if mirrored else d)) for d in drawn])


@pytest.mark.parametrize("architecture", ["deep", "deep-stacked"])
def test_contributions_add_up_to_the_log_odds(architecture: str) -> None:
    """The law that makes it exact: contributions + biases through the same switches = logit."""
    model = build(architecture, "rescale")
    hidden, last = model.get_layer(HIDDEN), model.get_layer(PROBABILITY)
    hidden.bias.assign(np.random.default_rng(0).normal(0, 0.1, hidden.bias.shape))
    last.bias.assign([0.3])
    batch = pixels(0.5, count=3)
    probability, places = contributions(model, batch)
    maps, probe = keras.Model(model.inputs[0], [hidden.output, last.output])(batch)
    switched = np.where(np.asarray(maps) > 0, np.asarray(last.kernel)[:, 0], 0)
    bias = switched @ np.asarray(hidden.bias) + np.asarray(last.bias)
    logit = np.log(np.asarray(probability) / (1 - np.asarray(probability)))
    assert np.asarray(probe)[:, 0] == pytest.approx(np.asarray(probability), abs=1e-6)
    assert np.asarray(ops.sum(places, axis=(1, 2))) + bias == pytest.approx(logit, abs=1e-3)


def test_no_evidence_is_dark_and_much_evidence_is_bright() -> None:
    shown = np.asarray(heatmap(ops.convert_to_tensor(np.array([[[-5.0, 0.0], [0.1, 50.0]]], np.float32))))
    assert shown[0, 0].tolist() == [0, 0]
    assert 0 < shown[0, 1, 0] < 0.7
    assert shown[0, 1, 1] > 0.99


def test_a_trained_network_finds_the_patch_where_it_was_drawn(trained: Trained) -> None:
    model = trained.run.best_model()
    sick, healthy = (contributions(model, pixels(opacity)) for opacity in (1.0, 0.0))
    assert np.asarray(sick[0]).min() > np.asarray(healthy[0]).max()  # it has learned something at all
    shown = np.asarray(heatmap(sick[1])).mean(0)
    row, column = np.unravel_index(shown.argmax(), shown.shape)
    # The patch is drawn around x = -0.42, y = 0.2 of -1..1: in a 6 x 6 map around column 1.7, row 3.6.
    assert column <= 2
    assert 2 <= row <= 4
    assert shown.mean() > np.asarray(heatmap(healthy[1])).mean()


def test_the_map_goes_where_the_evidence_goes(trained: Trained) -> None:
    model = trained.run.best_model()
    places = np.asarray(contributions(model, pixels(1.0))[1]).mean(0)
    covered = pixels(1.0)
    covered[:, 90:150, 30:90] = pixels(0.0)[:, 90:150, 30:90]
    without = np.asarray(contributions(model, covered)[1]).mean(0)
    lost = places - without
    assert lost[2:5, 0:3].sum() > 0.6 * lost.sum() > 0
