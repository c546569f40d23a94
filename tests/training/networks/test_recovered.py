"""A network comes back out of the graph of its bundle, and other graphs are refused."""

import numpy as np
import pytest

from contract.bundle import read_bundle
from tests import MODELS, VERSIONS
from training.errors import TrainingError
from training.evaluation.assess import graph_predict
from training.networks.readout import Readout
from training.networks.recovered import recovered


@pytest.mark.parametrize("version", [version for version in VERSIONS if version != "1"])
def test_it_computes_what_the_graph_computes(version: str) -> None:
    bundle = read_bundle(MODELS / version)
    pixels = np.random.default_rng(4).integers(0, 256, (4, 200, 200, 1), np.uint8)
    network = Readout(recovered(bundle.graph), bundle.manifest.calibration)
    assert np.asarray(network(pixels)["probability"]) == pytest.approx(graph_predict(bundle.graph)(pixels), abs=1e-5)


def test_its_kernels_are_as_large_as_those_of_an_untrained_network() -> None:
    """So that steps of training and weight decay mean the same to both."""
    network = recovered(read_bundle(MODELS / "3").graph)
    for layer in network.layers:
        if len(layer.weights) == 3:
            kernel = np.asarray(layer.kernel)
            variances = kernel.var(axis=(0, 1, 2)) * np.prod(kernel.shape[:3])
            assert variances == pytest.approx(np.full(len(variances), 2), abs=1e-3)


def test_a_graph_of_another_network_is_refused() -> None:
    with pytest.raises(TrainingError, match="no network that"):
        recovered(read_bundle(MODELS / "1").graph)
