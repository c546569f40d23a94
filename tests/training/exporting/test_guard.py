"""The fitted guard accepts radiographs of other patients and flags other images; and the int8 graph."""

import keras
import numpy as np
import onnxruntime
import pytest

from contract.guard import distance
from training.data.dataset import Dataset
from training.data.split import split_dataset
from training.evaluation.assess import Parts
from training.evaluation.evaluate import in_batches
from training.evaluation.int8 import compare
from training.exporting.guard import ALONE, COMPONENTS, fit_guard, of_training
from training.exporting.onnx import export_graph
from training.exporting.quantise import quantise
from training.networks.architectures import build
from training.networks.features import fit_projection
from training.networks.readout import Readout


@pytest.fixture(scope="module")
def parts(data: Dataset) -> Parts:
    return Parts.of(data, split_dataset(data, "patient", folds=4, seed=1))


@pytest.fixture(scope="module")
def readout(parts: Parts) -> Readout:
    keras.utils.set_random_seed(0)
    raw = Readout(build("compact", "rescale"))
    return Readout(raw.model, projection=fit_projection(of_training(raw.layouts, parts.train, 0), COMPONENTS))


@pytest.fixture(scope="module")
def graph(readout: Readout) -> bytes:
    return export_graph(readout)


def not_radiographs() -> np.ndarray:
    """Noise, stripes, and a page of text lines."""
    rng = np.random.default_rng(2)
    page = np.full((200, 200), 255, np.uint8)
    page[::9, 20:180] = 0
    stripes = np.broadcast_to((np.arange(200) % 20 < 10) * 200, (200, 200)).astype(np.uint8)
    return np.stack([rng.integers(0, 256, (200, 200), np.uint8), stripes, page])[..., np.newaxis]


def test_a_fitted_guard_separates_radiographs_from_other_images(parts: Parts, readout: Readout) -> None:
    guard = fit_guard(in_batches(readout.features, parts.train.pixels), readout.features, parts.validation)
    known = distance(readout.features(parts.held_out.pixels), guard)
    strange = distance(readout.features(not_radiographs()), guard)
    assert strange.min() > guard.threshold
    assert strange.min() > 1.5 * np.median(known)
    in_training = distance(in_batches(readout.features, parts.train.pixels), guard)
    assert np.sqrt((in_training**2).mean()) == pytest.approx(1, abs=0.25)
    assert len(guard.reference) == 21
    assert guard.reference[0] <= guard.reference[10] <= guard.threshold <= guard.reference[-1] + 1e-4
    assert guard.false_alarms.value <= max(ALONE.false_alarms, 1 / len(parts.validation.labels))
    assert "validation patients" in guard.chosen_on


def test_features_are_uncorrelated_in_training(parts: Parts) -> None:
    raw = Readout(build("compact", "rescale"))
    layouts = in_batches(raw.layouts, parts.train.pixels)
    projection = fit_projection(layouts, 6)
    correlation = np.corrcoef((layouts @ projection.components).T)
    assert projection.components.shape == (16 * 160, 6)
    assert np.abs(correlation - np.eye(6)).max() < 0.02


def test_the_int8_graph_is_smaller_and_gives_nearly_the_same_outputs(
    parts: Parts, readout: Readout, graph: bytes
) -> None:
    guard = fit_guard(in_batches(readout.features, parts.train.pixels), readout.features, parts.validation)
    int8 = quantise(graph, parts.train.pixels)
    assert len(int8) < 0.75 * len(graph)
    check = compare(graph, int8, parts.held_out, "drawn patients", 0.5, guard)
    assert check.images == len(parts.held_out.labels)
    assert 0 < check.largest_difference < 0.1
    assert check.flagged_by_guard is not None
    one, other = (onnxruntime.InferenceSession(each) for each in (graph, int8))
    assert [(value.name, value.shape[1:]) for value in one.get_outputs()] == [
        (value.name, value.shape[1:]) for value in other.get_outputs()
    ]
    assert "QuantizeLinear" not in str(graph)
    assert int8.count(b"QuantizeLinear") > 20


def test_an_int8_graph_that_changes_too_much_is_not_acceptable(parts: Parts, readout: Readout, graph: bytes) -> None:
    keras.utils.set_random_seed(1)
    other = export_graph(Readout(build("compact", "rescale")))
    same = compare(graph, graph, parts.held_out, "", 0.5, None)
    middle = float(
        np.median(in_batches(lambda batch: np.asarray(readout(batch)["probability"]), parts.held_out.pixels))
    )
    changed = compare(graph, other, parts.held_out, "", middle, None)
    assert same.acceptable
    assert same.largest_difference == 0
    assert not changed.acceptable
