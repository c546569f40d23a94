"""A network trained in seconds on drawn radiographs, for the tests that need a real one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contract.bundle import read_bundle
from tests import ROOT
from tests.build_cache import cache_key, cached, installed_packages
from tests.datasets import write_data_folder
from tests.narrow import narrow_networks
from training.data.dataset import Dataset, load_dataset
from training.data.split import split_dataset
from training.exporting.bundle import export_run
from training.fitting.config import TrainingConfig
from training.fitting.fit import fit
from training.fitting.run import DataRecord, Run
from training.networks.readout import Readout

# Higher than the specification's learning rate, with which the network would learn nothing in a few epochs.
CONFIG = TrainingConfig(architecture="deep", epochs=6, batch=8, learning_rate=0.01, folds=4, seed=3)
_BUNDLE = Path("models", "drawn", "1")
_SOURCES = [
    ROOT / name
    for name in (
        "contract",
        "training",
        "tests/trained.py",
        "tests/narrow.py",
        "tests/datasets.py",
        "tests/drawings.py",
    )
]


@dataclass(frozen=True)
class Trained:
    """A finished run, its data, and the bundle exported from it."""

    run: Run
    data: Dataset
    bundle: Path

    def probability(self, pixels: np.ndarray) -> np.ndarray:
        """The Keras network's probabilities, calibrated like the bundle's, (n,), for pixels (n, 200, 200, 1)."""
        readout = Readout(self.run.best_model(), read_bundle(self.bundle).manifest.calibration)
        return np.asarray(readout(pixels)["probability"])


def cached_training(cache: Path) -> Trained:
    """Train and export, unless the cache has the result of the same code, drawings and packages."""
    folder = cached(cache, cache_key(_SOURCES, installed_packages()), _train_in)
    return Trained(Run(folder / "run"), load_dataset(folder / "data", folder / "cache"), folder / _BUNDLE)


def _train_in(folder: Path) -> None:
    root = write_data_folder(folder / "data", patients=12, images_each=2)
    data = load_dataset(root, folder / "cache")
    split = split_dataset(data, CONFIG.split, folds=CONFIG.folds, seed=CONFIG.seed)
    run = Run.create(folder / "run", CONFIG, split, DataRecord.of(root, data))
    with narrow_networks():
        fit(run, data)
    export_run(run, data, folder / _BUNDLE, "Drawn.")
