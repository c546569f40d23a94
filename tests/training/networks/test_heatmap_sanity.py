"""Sanity checks of the served heatmaps (Adebayo et al., NeurIPS 2018): they depend on the evidence and on the weights.

They use the bundle in the repository and real radiographs.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from contract.bundle import HEATMAP, INPUT, PROBABILITY, Bundle, read_bundle
from contract.image import to_pixels
from tests import MODELS

SERVED = MODELS / "2"
CELL = 8  # pixels of the image per place of the map: 200 / 25
DELETED = 62  # a tenth of 25 x 25


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(SERVED)


@pytest.fixture(scope="module")
def sick(real_data: Path) -> NDArray[np.uint8]:
    files = sorted((real_data / "originals" / "PNEUMONIA").iterdir())[::3]
    return np.stack([to_pixels(file.read_bytes()) for file in files])


def answers(graph: bytes, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    probability, shown = session.run([PROBABILITY, HEATMAP], {INPUT: pixels})
    return probability, shown


def without(pixels: NDArray[np.uint8], places: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Remove an image's content at these places of the map by blurring it softly, since a hard edge is content too."""
    gone = np.zeros(625, np.uint8)
    gone[places] = 255
    mask = _blurred(gone.reshape(25, 25).repeat(CELL, 0).repeat(CELL, 1), 6) / 255
    mixed = pixels[..., 0] * (1 - mask) + _blurred(pixels[..., 0], 16) * mask
    return np.rint(mixed)[..., np.newaxis].astype(np.uint8)


def _blurred(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma)))


def _random_places(rng: np.random.Generator) -> NDArray[np.intp]:
    """As many random places as are deleted, in patches as coarse as the evidence."""
    return np.argsort(gaussian_filter(rng.normal(size=(25, 25)), 2).ravel())[-DELETED:]


def log_odds(probability: NDArray[np.float32]) -> NDArray[np.float64]:
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def test_the_map_of_the_served_network_is_fine_enough(bundle: Bundle) -> None:
    shape = answers(bundle.graph, np.zeros((1, 200, 200, 1), np.uint8))[1].shape
    assert min(shape[1:]) >= 25


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_image_has_a_flat_map(bundle: Bundle, grey: int) -> None:
    """Flat to within 1/255: a grey whose mean is not exact in float32 leaves differences of about 1e-4."""
    assert np.ptp(answers(bundle.graph, np.full((1, 200, 200, 1), grey, np.uint8))[1]) < 1 / 255


def test_deleting_the_evidence_lowers_the_probability_more_than_deleting_random_places(
    bundle: Bundle, sick: NDArray[np.uint8]
) -> None:
    probability, shown = answers(bundle.graph, sick)
    found = probability >= bundle.manifest.threshold
    rng, beaten = np.random.default_rng(0), []
    for image, evidence in zip(sick[found], shown[found], strict=True):
        top = np.argsort(evidence.ravel())[-DELETED:]
        random = [_random_places(rng) for _ in range(8)]
        after = log_odds(answers(bundle.graph, np.stack([without(image, places) for places in (top, *random)]))[0])
        beaten.append(after[0] < after[1:].mean())
    assert len(beaten) > 40
    assert np.mean(beaten) >= 0.8


def test_a_network_of_other_weights_draws_another_map(bundle: Bundle, sick: NDArray[np.uint8]) -> None:
    """Shuffle the weights within each convolution's kernel: their distribution stays, what was learnt is lost."""
    model, rng = onnx.load_from_string(bundle.graph), np.random.default_rng(0)
    kernels = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    for tensor in model.graph.initializer:
        if tensor.name in kernels:
            weights = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(rng.permuted(weights.ravel()).reshape(weights.shape), tensor.name)
            )
    ours, others = answers(bundle.graph, sick)[1], answers(model.SerializeToString(), sick)[1]
    alike = [
        np.corrcoef(one.ravel(), other.ravel())[0, 1] if np.ptp(other) else 0.0
        for one, other in zip(ours, others, strict=True)
    ]
    assert abs(np.mean(alike)) < 0.3
