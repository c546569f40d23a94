"""The input guards of the bundles in the repository, on both graphs: they flag what is no frontal chest radiograph."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.bundle import FEATURES, Bundle, read_bundle
from contract.guard import Statistics, distance
from contract.image import to_pixels
from tests import MODELS, VERSIONS
from tests.training.exporting.test_guard import not_radiographs
from training.evaluation.assess import graph_output
from training.evaluation.evaluate import in_batches


@pytest.fixture(params=[version for version in VERSIONS if version != "1"])  # it has no guard
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["float32", "int8"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def features_of(version: str, kind: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    graph = bundle_of(version).graph if kind == "float32" else bundle_of(version).int8_graph
    assert graph is not None
    return in_batches(graph_output(graph, FEATURES), pixels)


@cache
def features_in(version: str, kind: str, folder: Path) -> NDArray[np.float32]:
    """Those of a folder's images; several tests judge the same."""
    return features_of(version, kind, pixels_in(folder, bundle_of(version).manifest.image_contract))


@cache
def bundle_of(version: str) -> Bundle:
    return read_bundle(MODELS / version)


@cache
def pixels_in(folder: Path, contract: int) -> NDArray[np.uint8]:
    return np.stack([to_pixels(file.read_bytes(), contract=contract) for file in files_in(folder)])


def files_in(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.rglob("*")) if file.is_file()]


def flagged(version: str, features: NDArray[np.float32]) -> NDArray[np.bool_]:
    guard = bundle_of(version).manifest.input_guard
    assert guard
    return distance(features, guard) > guard.threshold


def test_drawn_images_are_flagged(version: str, kind: str) -> None:
    greys = np.stack([np.full((200, 200, 1), grey, np.uint8) for grey in (0, 128, 255)])
    assert flagged(version, features_of(version, kind, np.concatenate([not_radiographs(), greys]))).all()


def test_real_images_of_other_things_are_flagged(version: str, kind: str, real_data: Path) -> None:
    assert flagged(version, features_in(version, kind, real_data / "not_chest")).mean() >= 0.95


def test_radiographs_of_the_training_population_are_not(version: str, kind: str, real_data: Path) -> None:
    """Full-size originals, trained on or not; the card states the fraction for held-out patients, and that pneumonia/5
    flags too many of these.
    """
    most = 0.09 if version == "5" else 0.02
    assert flagged(version, features_in(version, kind, real_data / "originals")).mean() <= most


def test_inverted_radiographs_are_flagged(version: str, kind: str, real_data: Path) -> None:
    normal = pixels_in(real_data / "originals" / "NORMAL", bundle_of(version).manifest.image_contract)
    assert flagged(version, features_of(version, kind, 255 - normal)).mean() >= 0.95


def test_lateral_views_are_flagged_where_populations_are_told_apart(version: str, kind: str, real_data: Path) -> None:
    others = real_data / "not_chest"
    is_lateral = [file.parent.name == "lateral_chest" for file in files_in(others)]
    lateral = flagged(version, features_in(version, kind, others)[is_lateral])
    assert lateral.all() if version != "3" else lateral.mean() >= 0.95


@pytest.mark.parametrize("version", [version for version in VERSIONS if version not in {"1", "2", "3"}])
@pytest.mark.parametrize(("folder", "population"), [("adults", "adult"), ("originals", "child")])
def test_an_image_says_which_population_it_is_like(
    real_data: Path, folder: str, population: str, version: str, kind: str
) -> None:
    """Adults of other patients; full-size originals of children, trained on or not."""
    guard = bundle_of(version).manifest.input_guard
    assert guard
    known = Statistics(guard)
    covered = known.covered_by(known.multiples(features_in(version, kind, real_data / folder)))
    right, none = covered.count(population), covered.count(None)
    assert right >= (0.9 if version == "5" else 0.95) * len(covered)
    assert len(covered) - right - none <= 0.01 * len(covered)


def test_adults_are_known_to_the_guard_that_was_trained_on_adults(version: str, kind: str, real_data: Path) -> None:
    """Of other patients of the hospital it was trained on."""
    share = flagged(version, features_in(version, kind, real_data / "adults")).mean()
    assert share <= 0.05 if bundle_of(version).manifest.populations else share >= 0.5
