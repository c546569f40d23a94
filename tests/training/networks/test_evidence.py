"""Evidence outside of its area costs; where no area is set, and outside of training, nothing changes."""

import keras
import numpy as np
import pytest

from training.networks.evidence import LocatedEvidence


@pytest.fixture
def layer() -> LocatedEvidence:
    made = LocatedEvidence(0.0)
    made.build((1, 3, 3, 2))
    made.kernel.assign([[1.0], [-2.0]])
    made.bias.assign([0.5])
    return made


@pytest.fixture
def maps() -> np.ndarray:
    """One image: evidence of 3 in the corner and of 1 in the middle, and something that speaks against it."""
    maps = np.zeros((1, 3, 3, 2), np.float32)
    maps[0, 0, 0, 0], maps[0, 1, 1, 0], maps[0, 2, 2, 1] = 3, 1, 4
    return maps


def test_it_is_the_average_weighted_once(layer: LocatedEvidence, maps: np.ndarray) -> None:
    logit = (3 + 1 - 2 * 4) / 9 + 0.5
    assert np.asarray(layer(maps))[0, 0] == pytest.approx(1 / (1 + np.exp(-logit)))


@pytest.mark.parametrize("training", [False, True])
def test_without_an_area_nothing_is_added_to_the_loss(layer: LocatedEvidence, maps: np.ndarray, training: bool) -> None:
    layer(maps, training=training)
    assert sum(map(float, layer.losses)) == 0


def test_in_training_the_share_of_evidence_outside_is_added_by_its_probability(
    layer: LocatedEvidence, maps: np.ndarray
) -> None:
    outside = np.zeros((3, 3), np.float32)
    outside[0, 0], outside[2, 2] = 0.2, 1
    layer.outside.assign(outside)
    probability = np.asarray(layer(maps))[0, 0]
    assert layer.losses == []
    layer(maps, training=True)
    assert [float(loss) for loss in layer.losses] == [pytest.approx(probability * 0.2 * 3 / 4, rel=1e-4)]


def test_it_is_saved_with_its_area(layer: LocatedEvidence, maps: np.ndarray, tmp_path: object) -> None:
    layer.outside.assign(np.full((3, 3), 0.3, np.float32))
    image = keras.Input((3, 3, 2))
    model = keras.Model(image, layer(image))
    model.save(f"{tmp_path}/model.keras")
    again = keras.models.load_model(f"{tmp_path}/model.keras")
    assert np.asarray(again(maps)) == pytest.approx(np.asarray(model(maps)))
    assert np.asarray(again.layers[-1].outside) == pytest.approx(0.3)
