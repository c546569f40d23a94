"""A bundle of two populations from a briefly trained network: what it states for each, and for unfamiliar images."""

from pathlib import Path

import numpy as np
import pytest

from contract.bundle import Manifest, read_bundle
from contract.guard import distance, multiples
from tests.datasets import write_sources
from training.data.dataset import Dataset, load_dataset
from training.data.split import split_dataset
from training.evaluation.assess import graph_output
from training.exporting.bundle import export_run
from training.fitting.config import TrainingConfig
from training.fitting.fit import fit
from training.fitting.run import DataRecord, Run

CONFIG = TrainingConfig(
    architecture="compact", epochs=2, batch=8, learning_rate=1e-3, optimizer="adamw", folds=4, class_balance=True
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, bytes, str, Dataset]:
    folder: Path = tmp_path_factory.mktemp("populations")
    root = write_sources(folder)
    data = load_dataset(root, folder / "cache")
    split = split_dataset(data, CONFIG.split, folds=CONFIG.folds, seed=CONFIG.seed)
    run = Run.create(folder / "run", CONFIG, split, DataRecord.of(root, data))
    fit(run, data)
    export_run(run, data, folder / "models" / "drawn" / "1", "Drawn.")
    bundle = read_bundle(folder / "models" / "drawn" / "1")
    return bundle.manifest, bundle.graph, bundle.card, data


def test_each_population_has_points_and_a_calibration(made: tuple[Manifest, bytes, str, Dataset]) -> None:
    manifest = made[0]
    assert set(manifest.populations) == {"child", "adult"}
    for name, population in manifest.populations.items():
        assert population.operating_points.keys() == manifest.operating_points.keys()
        assert (
            f"population {name}" in population.calibration.fitted_on + population.operating_points["balanced"].chosen_on
        )
    assert manifest.populations["adult"].from_age == 18


def test_the_points_for_an_unknown_population_are_the_cautious_ones(made: tuple[Manifest, bytes, str, Dataset]) -> None:
    assert "in every population" in made[0].operating_points["rule-out"].chosen_on


def test_an_image_is_judged_by_the_population_it_is_nearest_to(made: tuple[Manifest, bytes, str, Dataset]) -> None:
    manifest, graph, _, data = made
    assert manifest.input_guard is not None
    features = graph_output(graph, "features")(data.pixels)
    apart = multiples(features, manifest.input_guard)
    score = distance(features, manifest.input_guard)
    assert (score == np.minimum(apart["child"], apart["adult"])).all()
    nearer = np.where(apart["child"] < apart["adult"], "child", "adult")
    # How clearly a briefly trained network separates them depends on the CPU; names that were swapped would give less.
    assert (nearer == data.populations).mean() > 0.5


def test_the_card_tells_of_each_population(made: tuple[Manifest, bytes, str, Dataset]) -> None:
    card = made[2]
    assert "### Each population" in card
    assert "**`adult`**: adults. AUC" in card
    assert "| source clinic |" in card
    assert "the probability alone" in card
