"""A bundle of two populations from a briefly trained network: what it states for each, and for unfamiliar images."""

from pathlib import Path

import numpy as np
import pytest

from contract.bundle import Bundle, BundleError, Manifest, read_bundle
from contract.guard import Statistics, distance
from tests.datasets import write_sources
from training.data.dataset import Dataset, load_dataset
from training.data.split import split_dataset
from training.errors import TrainingError
from training.evaluation.assess import graph_output
from training.exporting.bundle import export_run
from training.exporting.refit import refit_guard
from training.fitting.config import TrainingConfig
from training.fitting.fit import fit
from training.fitting.run import DataRecord, Run
from training.reporting.card import with_guard
from training.reporting.report import NO_EXTRA_DATA

CONFIG = TrainingConfig(
    architecture="compact", epochs=2, batch=12, learning_rate=1e-3, optimizer="adamw", folds=4, class_balance=True
)


@pytest.fixture(scope="module")
def made(narrow: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, bytes, str, Dataset]:
    folder: Path = tmp_path_factory.mktemp("populations")
    root = write_sources(folder)
    data = load_dataset(root, folder / "cache")
    split = split_dataset(data, CONFIG.split, folds=CONFIG.folds, seed=CONFIG.seed)
    run = Run.create(folder / "run", CONFIG, split, DataRecord.of(root, data))
    fit(run, data)
    export_run(run, data, folder / "models" / "drawn" / "1", "## Uses and directions\n\nDrawn.\n")
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
    known = Statistics(manifest.input_guard)
    apart = dict(zip(known.names, known.multiples(features), strict=True))
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


def test_a_guard_that_is_fitted_again_makes_a_new_bundle_of_the_same_network(
    made: tuple[Manifest, bytes, str, Dataset], tmp_path: Path
) -> None:
    manifest, graph, card, data = made
    parent = Bundle(manifest=manifest, graph=graph, card=card)
    about = "## Uses and directions\n\nFor tests.\n"
    refit_guard(parent, data, tmp_path / "drawn" / "2", about, NO_EXTRA_DATA)
    bundle = read_bundle(tmp_path / "drawn" / "2")
    for output in ("probability", "heatmap"):
        outputs = [graph_output(each, output)(data.pixels) for each in (graph, bundle.graph)]
        assert (outputs[0] == outputs[1]).all()
    assert bundle.manifest.input_guard
    assert bundle.manifest.operating_points == manifest.operating_points
    assert bundle.manifest.results["guard"]["network_of"] == "drawn/1"
    assert bundle.card.startswith("# drawn 2: ")
    assert "\nFor tests.\n" in bundle.card
    assert "covered by one population alone" in bundle.card
    performance = "### Under other conditions"
    assert bundle.card.partition(performance)[2][:2000] == card.partition(performance)[2][:2000]
    with pytest.raises(BundleError, match="already holds a bundle"):
        refit_guard(parent, data, tmp_path / "drawn" / "2", about, NO_EXTRA_DATA)


def test_a_card_of_other_hands_cannot_be_restated(made: tuple[Manifest, bytes, str, Dataset]) -> None:
    manifest = made[0]
    assert manifest.input_guard
    with pytest.raises(TrainingError, match="not written by this program"):
        with_guard("# Ours\n", "drawn 2", manifest.input_guard, {"adult": "", "child": ""}, "")
