"""The graph gives the network's outputs at every batch size, independent of the other rows; the bundle records it."""

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from contract.bundle import CARD, GRAPH, Calibration, read_bundle
from contract.image import squash
from tests.drawings import chest
from tests.trained import CONFIG, Trained
from training.errors import ExportError
from training.exporting.bundle import export_run
from training.exporting.onnx import OPSET, TOLERANCE, export_graph, verify
from training.fitting.config import TrainingConfig
from training.fitting.run import Run
from training.networks.architectures import build
from training.networks.features import fit_projection
from training.networks.names import HIDDEN, MAPS, PROBABILITY
from training.networks.readout import Readout


def pixels(count: int = 12) -> np.ndarray:
    return np.stack([squash(Image.fromarray(chest(seed, opacity=seed / count))) for seed in range(count)])


@pytest.mark.parametrize("architecture", ["deep", "deep-stacked", "compact", "efficientnet-lite"])
def test_keras_and_onnxruntime_agree(architecture: str) -> None:
    readout = Readout(build(architecture, "rescale"), Calibration(method="platt", scale=1.5, shift=-0.5))
    batch = pixels(2) if architecture == "deep-stacked" else pixels()
    assert verify(export_graph(readout), readout, batch) <= TOLERANCE


def test_no_constant_lacks_the_dimensions_of_the_images_that_it_multiplies() -> None:
    """Onnxruntime takes twenty times as long for a scalar of no dimensions and images whose last dimension is 1."""
    graph = onnx.load_from_string(export_graph(Readout(build("efficientnet-lite", "rescale")))).graph
    scalars = {each.name for each in graph.initializer if not each.dims}
    arithmetic = [node for node in graph.node if node.op_type in {"Add", "Sub", "Mul", "Div"}]
    assert len(arithmetic) > 5
    assert not scalars & {name for node in arithmetic for name in node.input}
    used = {name for node in graph.node for name in node.input}
    assert {each.name for each in graph.initializer} <= used  # onnxruntime warns of each that is not


def test_features_are_in_the_graph_too() -> None:
    raw, batch = Readout(build("compact", "rescale")), pixels()
    readout = Readout(raw.model, projection=fit_projection(raw.layouts(batch), 8))
    graph = export_graph(readout)
    verify(graph, readout, batch)
    features = onnxruntime.InferenceSession(graph).run(["features"], {"image": batch})[0]
    assert features.shape == (len(batch), 8)
    assert features == pytest.approx(readout.features(batch), abs=1e-3)
    off = readout.features(batch[::-1])
    assert np.abs(features - off).max() > 0.1  # they do depend on the image


def test_a_unit_at_its_switch_does_not_fail_the_verification() -> None:
    """The image whose hidden unit is put within rounding of zero is left out of the comparison of heatmaps."""
    model, batch = build("deep", "rescale"), pixels()
    hidden = model.get_layer(HIDDEN)
    flat = np.asarray(keras.Model(model.inputs[0], model.get_layer(MAPS).output)(batch)).reshape(len(batch), -1)
    bias = np.asarray(hidden.bias).copy()
    bias[7] = -(flat @ np.asarray(hidden.kernel))[3, 7]
    hidden.bias.assign(bias)
    readout = Readout(model)
    assert not readout.steady(batch, 1e-5)[3]
    assert readout.steady(batch, 1e-4).sum() > len(batch) / 2
    assert verify(export_graph(readout), readout, batch) <= TOLERANCE


def test_a_network_that_gives_nan_is_detected() -> None:
    readout = Readout(build("deep", "rescale"))
    readout.model.get_layer(PROBABILITY).bias.assign([np.nan])
    with pytest.raises(ExportError, match="differ by nan"):
        verify(export_graph(readout), readout, pixels(2))


def test_a_graph_of_another_network_is_detected() -> None:
    graph = export_graph(Readout(build("deep", "rescale")))
    with pytest.raises(ExportError, match="differ by"):
        verify(graph, Readout(build("deep", "rescale")), pixels(2))


def test_the_graph_is_as_the_contract_says(trained: Trained) -> None:
    model = onnx.load_from_string((trained.bundle / GRAPH).read_bytes())
    assert model.opset_import[0].version == OPSET
    assert model.producer_name == "tf2onnx"
    values = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    }
    assert values == {
        "image": ("UINT8", ["N", 200, 200, 1]),
        "probability": ("FLOAT", ["N"]),
        "heatmap": ("FLOAT", ["N", 6, 6]),
    }


def test_the_division_by_255_is_inside_the_graph(trained: Trained) -> None:
    """Pixels go in as they are; the trained Keras network, given the same, agrees."""
    session = onnxruntime.InferenceSession((trained.bundle / GRAPH).read_bytes())
    probability, shown = session.run(["probability", "heatmap"], {"image": trained.data.pixels[:40]})
    assert probability == pytest.approx(trained.probability(trained.data.pixels[:40]), abs=1e-5)
    assert 0 <= shown.min() <= shown.max() <= 1


def test_the_bundle_states_its_provenance_and_its_figures(trained: Trained) -> None:
    bundle = read_bundle(trained.bundle)
    manifest = bundle.manifest
    assert (manifest.name, manifest.version) == ("drawn", "1")
    assert manifest.provenance.configuration == CONFIG.model_dump()
    assert manifest.provenance.data_fingerprint == trained.data.fingerprint
    assert manifest.provenance.parameters == 83_713  # a narrow network, tests/narrow.py
    assert manifest.results["keras_onnx_difference"] <= TOLERANCE
    test, point = manifest.results["test"], manifest.operating_points["balanced"]
    assert test["threshold"] == point.threshold == manifest.threshold
    assert "validation patients" in point.chosen_on
    assert test["images"] == len(trained.run.split.test)
    for figure in ("auc", "sensitivity", "specificity"):
        assert f"{test[figure]['value']:.3f} ({test[figure]['low']:.3f} to" in bundle.card
    assert "Drawn." in bundle.card
    assert not set(map(str, trained.run.split.train)) & set((trained.bundle / CARD).read_text().split())


def test_only_rescaling_networks_can_be_exported(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = Run.create(
        tmp_path_factory.mktemp("l2"), TrainingConfig(normalisation="l2"), trained.run.split, trained.run.data
    )
    with pytest.raises(ExportError, match="only rescale can be served"):
        export_run(run, trained.data, run.folder / "m" / "1", "")
