"""The networks are those of the specification."""

import keras
import numpy as np
import pytest
from PIL import Image

from contract.image import squash
from tests.drawings import chest
from training.networks.architectures import ARCHITECTURES, NORMALISATIONS, build

# (filters of the convolutions, sides of the pooled maps, parameters), computed by hand from the specification.
SPECIFIED = {
    "baseline": ([32], [100], 896 + (100 * 100 * 32 + 1) * 128 + 129),
    "deep": ([32, 64, 128, 256, 128], [100, 50, 25, 12, 6], 1_273_537),
    "deep-stacked": ([32, 64, 128, 256, 128], [100, 50], 683_456 + (50 * 50 * 128 + 1) * 128 + 129),
}


def pixels(count: int = 2) -> np.ndarray:
    return np.stack([squash(Image.fromarray(chest(seed))) for seed in range(count)])


def test_the_table_holds_the_specified_networks() -> None:
    assert SPECIFIED.keys() <= ARCHITECTURES.keys()


@pytest.mark.parametrize("name", SPECIFIED)
def test_layers_and_parameters(name: str) -> None:
    model = build(name, "rescale")
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    filters, sides, parameters = SPECIFIED[name]
    assert [layer.filters for layer in convolutions] == filters
    assert [layer.output.shape[1] for layer in pools] == sides
    assert model.count_params() == parameters
    for layer in convolutions:
        assert layer.kernel_size == (3, 3)
        assert layer.padding == "same"
        assert layer.activation is keras.activations.relu
        assert isinstance(layer.kernel_initializer, keras.initializers.HeUniform)
    assert convolutions[0].input.shape == (None, 200, 200, 3)


@pytest.mark.parametrize("name", SPECIFIED)
def test_pixels_in_probability_out(name: str) -> None:
    probability = np.asarray(build(name, "rescale")(pixels()))
    assert probability.shape == (2, 1)
    assert ((probability > 0) & (probability < 1)).all()


def normalised(normalisation: str, batch: np.ndarray) -> np.ndarray:
    image = keras.Input((200, 200, 1), dtype="uint8")
    return np.asarray(keras.Model(image, NORMALISATIONS[normalisation](image))(batch))


def test_rescale_is_the_division_by_255() -> None:
    assert np.allclose(normalised("rescale", pixels()), pixels() / 255, atol=1e-7)


def test_l2_is_what_keras_utils_normalize_does() -> None:
    batch = pixels()
    assert np.allclose(normalised("l2", batch), keras.utils.normalize(batch.astype(float), axis=1), atol=1e-6)


def test_none_leaves_the_pixels_as_they_are() -> None:
    assert (normalised("none", pixels()) == pixels()).all()
